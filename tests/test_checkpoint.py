"""Policies saved and loaded, and no hostile file that gets past. FAULTS.md 20, 24, 38, S1-S4."""

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import jax
import numpy as np
import pytest
from gymnasium import spaces
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack

from proximax.agent import split_agents
from proximax.checkpoint import load, load_agents, save_agents, write_json
from proximax.config import PPOConfig, RunConfig
from proximax.errors import CheckpointError, StorageError, UsageError
from proximax.networks import mlp
from proximax.policy import make_policy
from proximax.types import Moments, host_key

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
# The package does not exist: no load may try to import what a config names.
CONFIG = RunConfig("canary_package:X-v0", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,)))
ROWS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def arrays(action_space=BOX):
    """(policy, params, moments) of three seeds, far from the fresh policy's near-zero head."""
    policy, rng = make_policy(OBS, action_space, CONFIG.ppo), np.random.default_rng(1)
    params = policy.init(host_key(np.zeros(2, np.uint32)))
    params = jax.tree.map(lambda x: rng.standard_normal((3, *x.shape)).astype(np.float32), params)
    moments = Moments(np.full(3, 50.0), rng.standard_normal((3, 3)), 50 * rng.uniform(1, 9, (3, 3)))
    return policy, params, Moments(*(x.astype(np.float32) for x in moments))


@pytest.fixture
def run(tmp_path):
    """A finished run's directory, without training."""
    save_agents(tmp_path, *arrays()[1:], OBS, BOX, "built-in")
    write_json(tmp_path / "config.json", CONFIG.to_json())
    write_json(tmp_path / "result.json", {"returns": [None, 3.0, 1.0]})
    return tmp_path


def test_a_saved_policy_comes_back_bit_for_bit(run):
    agents, config = load_agents(run)
    assert config == CONFIG
    for saved, loaded in zip(split_agents(*arrays(), OBS, BOX), agents, strict=True):
        for one, other in ((saved.params, loaded.params), (saved.obs_moments, loaded.obs_moments)):
            jax.tree.map(np.testing.assert_array_equal, one, other)
            assert all(x.dtype == np.float32 for x in jax.tree.leaves(other))
    assert (agents[2].observation_space, agents[2].action_space) == (OBS, BOX)


def test_load_takes_the_best_seed_or_the_one_named(run):
    each = [agent.params["log_std"].tolist() for agent in load_agents(run)[0]]
    assert load(run).params["log_std"].tolist() == each[1]
    assert [load(run, seed=s).params["log_std"].tolist() for s in (5, 6, 7)] == each
    with pytest.raises(CheckpointError, match="has no seed 8; it has 5 to 7"):
        load(run, seed=8)
    (run / "result.json").unlink()
    assert load(run).params["log_std"].tolist() == each[0]  # cut short before its evaluation
    (run / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json is missing: .* is not the directory of a finished run"):
        load(run)


def test_a_policy_of_ones_own_network_asks_for_it(run):
    edit(run / "checkpoints" / "policy.json", {"network": "own"})
    with pytest.raises(CheckpointError, match="network of your own: pass it as network="):
        load(run)
    assert load(run, network=mlp(2, (4,))).obs_moments is not None
    with pytest.raises(CheckpointError, match=r"does not fit this network: .*\['critic'\]"):
        load(run, network=mlp(2, (4,), shared_torso=True))


def edit(path, changes):  # ``...`` removes
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("boom"),)


def header(text, body=b""):
    return lambda data: struct.pack("<Q", len(text)) + text + body


def tensor(name, x):
    """The run's own tensors with ``name`` changed; ``None`` leaves it out."""
    return lambda data: pack({k: v for k, v in (unpack(data) | {name: x}).items() if v is not None})


BYTE = b'"dtype":"U8","shape":[1],"data_offsets":[0,1]'
LOG_STD = "[0]['log_std']"
HOSTILE = {
    "pickle": lambda data: pickle.dumps(Bomb()),
    "torch": lambda data: b"PK\x03\x04" + b"\0" * 26 + b"archive/data.pkl" + pickle.dumps(Bomb()),
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-4],
    "trailing bytes": lambda data: data + b"x",
    "header of a terabyte": lambda data: struct.pack("<Q", 2**40) + data[8:],
    "deep header": header(b'{"a":' * 100_000),
    "overlap": header(b'{"a":{' + BYTE + b'},"b":{' + BYTE + b"}}", b"\0"),
    "negative shape": header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"\0" * 4),
    "unknown dtype": header(b'{"a":{"dtype":"OBJ","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
    "extra tensor": tensor("evil", np.zeros(1, np.float32)),
    "missing tensor": tensor(LOG_STD, None),
    "wrong shape": tensor(LOG_STD, np.zeros((3, 1), np.float32)),
    "wrong dtype": tensor(LOG_STD, np.zeros((3, 2), np.int64)),
    "NaN": tensor(LOG_STD, np.full((3, 2), np.nan, np.float32)),
    "infinity": tensor("[1].mean", np.full((3, 3), np.inf, np.float32)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_fault_38_hostile_tensors_are_refused_and_nothing_runs(run, name, monkeypatch):
    monkeypatch.chdir(run)
    path = run / "checkpoints" / "policy.safetensors"
    path.write_bytes(HOSTILE[name](path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"policy\.safetensors is damaged: its sha256"):
        load(run)
    edit(run / "checkpoints" / "policy.json", {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})  # an attacker
    with pytest.raises(CheckpointError, match=r"policy\.safetensors") as caught:
        load(run)
    assert (caught.value.code, Path("boom").exists()) == (4, False)


BAD_JSON = [b"", b"{", b"[]", b"[" * 100_000, b'{"a":' * 100_000, b"\x80\x04."]
BAD_CONFIG = [{"evil": 1}, {"env": ...}, {"seed": "x"}, {"seeds": 10**6}, {"ppo": 5}, {"ppo": {"evil": 1}}]
BAD_CONFIG += [{"ppo": {"hidden": hidden}} for hidden in (5, [-1], ["4"], [2.5], [8], [])]
BAD_CONFIG += [{"ppo": {"hidden": [4], "activation": "lambda x: x"}}, {"ppo": {"hidden": [4], "log_std_init": "0"}}]
BAD_MANIFEST = [{"format": 2}, *({name: ...} for name in ("format", "sha256", "network", "action_space"))]
BAD_MANIFEST += [{"observation_space": s} for s in (..., [], {"kind": "Evil"}, {"kind": "Discrete", "shape": []})]
BAD_MANIFEST += [{"action_space": {"kind": "Discrete", "shape": [10**30], "start": 0}}]
short = "{!s:.40}".format
FILES = {"config.json": BAD_CONFIG, "checkpoints/policy.json": BAD_MANIFEST, "result.json": [{"returns": 5}]}


@pytest.mark.parametrize(("file", "bad"), [(f, x) for f in FILES for x in BAD_JSON + FILES[f]], ids=short)
def test_fault_38_hostile_json_is_refused(run, file, bad):
    edit(run / file, bad) if isinstance(bad, dict) else (run / file).write_bytes(bad)
    with pytest.raises((CheckpointError, UsageError)):
        load(run)


@pytest.mark.parametrize("failing", [(os, "fsync"), (Path, "replace")])
def test_fault_24_a_save_that_fails_keeps_the_old_policy_and_leaves_no_half_file(run, failing, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr(*failing, full)
    with pytest.raises(StorageError, match=f"could not save the policy in {run}: .*No space left"):
        save_agents(run, *jax.tree.map(np.negative, arrays()[1:]), OBS, BOX, "built-in")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
