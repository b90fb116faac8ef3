"""Runs on disk without training, and runs of a second, for the tests of what is saved."""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
from gymnasium import spaces
from safetensors.numpy import load_file

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.policy.observations import init_obs_moments
from proximax.policy.policy import make_policy
from proximax.runs.checkpoint import MANIFEST, Snapshot, checkpoint_names, save_checkpoint
from proximax.runtime.files import json_bytes, sha256, write_json
from proximax.runtime.prng import key_from_data
from proximax.spaces.serialization import describe_space
from proximax.types import Moments, RewardScale, RolloutState, TrainState

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
# The package does not exist: no load may try to import what a config names.
CONFIG = RunConfig("canary_package:X-v0", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,)))
ROWS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
# Six updates of a tiny network on an environment inside the program.
TINY = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 2, "hidden": (4,), "eval_episodes": 2}
TINY |= {"steps": 6 * 16, "quiet": True, "preset": "none"}


def filled(observation_space, action_space, config):
    """(policy, params, moments) of three seeds, far from the fresh policy's near-zero head."""
    policy, rng = make_policy(observation_space, action_space, config), np.random.default_rng(1)
    params = policy.init(key_from_data(np.zeros(2, np.uint32)))
    params = jax.tree.map(lambda x: rng.standard_normal((3, *x.shape)).astype(np.float32), params)

    def learned(fresh):
        shape = 3, *fresh.mean.shape
        moments = Moments(np.full(3, 50.0), rng.standard_normal(shape), 50 * rng.uniform(1, 9, shape))
        return Moments(*(x.astype(np.float32) for x in moments))

    fresh = init_obs_moments(observation_space, config)
    return policy, params, jax.tree.map(learned, fresh, is_leaf=lambda x: isinstance(x, Moments))


def arrays(action_space=BOX):
    return filled(OBS, action_space, CONFIG.ppo)


def snapshot(params, moments, update=4, evaluation=None, environment=None, **progress):
    """A run's state with these policies; what else it has depends on ``update``."""
    zeros = np.full((3, 2), update, np.float32)
    state = TrainState(
        params=params,
        opt_state=(np.full(3, update, np.int32), jax.tree.map(np.zeros_like, params)),
        obs_moments=moments,
        reward_scale=RewardScale(zeros, Moments(*np.zeros((3, 3), np.float32))),
        rollout=RolloutState(
            (), np.full((3, 2, 3), np.nan), zeros > 0, (), np.array(zeros, float), zeros.astype(float)
        ),
        beta=np.ones(3, np.float32),
        learning_rate=np.ones(3, np.float32),
        hyperparameters={},
        key=key_from_data(np.full((3, 2), update, np.uint32)),
        update=np.full(3, update, np.int32),
    )
    return Snapshot(state, environment, progress, update, update * 100, evaluation)


def header(observation_space=OBS, action_space=BOX, config=CONFIG, network="built-in"):
    found = {"network": network, "config": config.to_json()}
    return found | {
        "observation_space": describe_space(observation_space),
        "action_space": describe_space(action_space),
    }


PARAMS = arrays()[1:]


def save(run, update, **how):
    """A checkpoint of the run, without training; returns its folder."""
    run.mkdir(parents=True, exist_ok=True)
    return save_checkpoint(run / "checkpoints", header(), snapshot(*PARAMS, update=update, **how))


def save_run(path, params, moments, observation_space=OBS, action_space=BOX, config=CONFIG):
    """A finished run's directory, without training."""
    path.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path / "checkpoints", header(observation_space, action_space, config), snapshot(params, moments))
    write_json(path / "config.json", config.to_json())
    write_json(path / "result.json", {"returns": [None, 3.0, 1.0]})
    return path


def newest(run, file=""):
    """The newest checkpoint of a run, or a file of it."""
    folder = Path(run) / "checkpoints"
    return folder / checkpoint_names(folder)[0] / file


def sign(manifest, changes):
    """Change a manifest as an attacker would, its checksum too; ``...`` removes."""
    values = {**json.loads(manifest.read_text()), **changes}
    values = {k: v for k, v in values.items() if v is not ... and k != "sha256"}
    stated = {} if changes.get("sha256") is ... else {"sha256": sha256(json_bytes(values))}
    manifest.write_bytes(json_bytes(values | stated))


def sign_file(path):
    """Make the manifest state what a file now holds."""
    manifest = path.parent / MANIFEST
    files = json.loads(manifest.read_text())["files"]
    data = path.read_bytes()
    sign(manifest, {"files": {**files, path.name: {"bytes": len(data), "sha256": sha256(data)}}})


def rows_of(path):
    """The rows of a log, but for what a clock says."""
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "time_s"} for row in rows]


def saved(run):
    """What a run has saved and logged, but for its times."""
    (last,) = sorted((run / "checkpoints").glob("step-*"))[-1:]
    tensors = load_file(last / "policy.safetensors") | load_file(last / "state.safetensors")
    hashes = {name: hashlib.sha256(x.tobytes()).hexdigest() for name, x in tensors.items() if "time" not in name}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timeless = [{name: value for name, value in row.items() if name != "time_s"} for row in rows]
    result = json.loads((run / "result.json").read_text())
    environment = json.loads((last / "manifest.json").read_text())["environment"]
    return hashes, timeless, result["returns"], environment
