"""Policies loaded again, and no hostile file that gets past. FAULTS.md 20, 24, 38, S1-S4."""

import json
import pickle
import struct
from pathlib import Path

import jax
import numpy as np
import pytest
from gymnasium import spaces
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack
from saved import BOX, CONFIG, OBS, arrays, filled, newest, save_run, sign, sign_file
from test_space_json import BAD_SPACES, BOX_JSON, short
from toys import ACTIONS, NESTED_OBS, quick_compiler, view

from proximax.agent import split_agents
from proximax.checkpoint import MANIFEST, POLICY
from proximax.config import PPOConfig, RunConfig
from proximax.errors import CheckpointError, UsageError
from proximax.files import write_json
from proximax.loading import load, load_agents
from proximax.networks import mlp
from proximax.space_json import describe_space


@pytest.fixture
def run(tmp_path):
    """A finished run's directory, without training."""
    return save_run(tmp_path, *arrays()[1:])


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
    with pytest.raises(CheckpointError, match=r"config\.json is missing: .* is no run directory"):
        load(run)


def test_a_policy_of_ones_own_network_asks_for_it(run):
    sign(newest(run, MANIFEST), {"network": "own"})
    with pytest.raises(CheckpointError, match="network of your own: pass it as network="):
        load(run)
    assert load(run, network=mlp(2, (4,))).obs_moments is not None
    with pytest.raises(CheckpointError, match=r"does not fit this run: .*\['critic'\]"):
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
LOG_STD = ".params['log_std']"
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
    "infinity": tensor(".obs_moments.mean", np.full((3, 3), np.inf, np.float32)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_fault_38_hostile_tensors_are_refused_and_nothing_runs(run, name, monkeypatch):
    monkeypatch.chdir(run)
    path = newest(run, POLICY)
    before = path.read_bytes()
    path.write_bytes(HOSTILE[name](before))
    told = "its sha256" if path.stat().st_size == len(before) else r"[\d,]+ bytes, \d+ were written"
    with pytest.raises(CheckpointError, match=rf"policy\.safetensors is damaged: {told}"):
        load(run)
    sign_file(path)  # as an attacker would
    with pytest.raises(CheckpointError, match=r"policy\.safetensors") as caught:
        load(run)
    assert (caught.value.code, Path("boom").exists()) == (4, False)


BAD_JSON = [b"", b"{", b"[]", b"[" * 100_000, b'{"a":' * 100_000, b"\x80\x04."]
BAD_CONFIG = [{"evil": 1}, {"env": ...}, {"seed": "x"}, {"seeds": 10**6}, {"ppo": 5}, {"ppo": {"evil": 1}}]
BAD_CONFIG += [{"ppo": {"hidden": hidden}} for hidden in (5, [-1], ["4"], [2.5], [8], [])]
BAD_CONFIG += [{"ppo": {"hidden": [4], "activation": "lambda x: x"}}, {"ppo": {"hidden": [4], "log_std_init": "0"}}]
BAD_MANIFEST = [
    {"format": 1},
    {"format": 3},
    {"format": "2"},
    {"files": {}},
    {"files": {POLICY: 5}},
    {"evaluation": 1e999},
]
BAD_MANIFEST += [{name: ...} for name in ("format", "sha256", "network", "action_space", "files", "progress", "update")]
BAD_MANIFEST += [{"files": {POLICY: {"bytes": "x"}}}, {"files": {POLICY: {"bytes": 4, "sha256": 7}}}]
BAD_MANIFEST += [{"observation_space": s} for s in (..., [], {"kind": "Evil"}, {"kind": "Discrete", "shape": []})]
BAD_MANIFEST += [{"action_space": {"kind": "Discrete", "shape": [10**30], "start": 0}}]
BAD_MANIFEST += [{what: bad} for bad in BAD_SPACES for what in ("observation_space", "action_space")]
MANIFEST_PATH = f"checkpoints/step-000000000400/{MANIFEST}"
FILES = {"config.json": BAD_CONFIG, MANIFEST_PATH: BAD_MANIFEST, "result.json": [{"returns": 5}]}


@pytest.mark.parametrize(("file", "bad"), [(f, x) for f in FILES for x in BAD_JSON + FILES[f]], ids=short)
def test_fault_38_hostile_json_is_refused(run, file, bad):
    if isinstance(bad, bytes):
        (run / file).write_bytes(bad)
    elif file == MANIFEST_PATH and 1e999 not in bad.values():
        sign(run / file, bad)
    else:
        edit(run / file, bad)
    with pytest.raises((CheckpointError, UsageError)):
        load(run)


@pytest.mark.parametrize("what", ["observation_space", "action_space"])
@pytest.mark.parametrize("depth", [3, 60, 150, 300, 450, 700, 2_000, 100_000])
@pytest.mark.parametrize("around", ['{"kind": "Dict", "spaces": {"a": %s}}', '{"kind": "Tuple", "spaces": [%s]}'])
def test_fault_38_a_deeply_nested_space_is_refused(run, what, depth, around):
    path = newest(run, MANIFEST)
    values = json.loads(path.read_text())
    before, after = around.split("%s")
    values[what] = "HERE"
    space = before * depth + json.dumps(describe_space(spaces.Box(-1.0, 1.0, (5,)))) + after * depth
    path.write_text(json.dumps(values).replace('"HERE"', space))
    with pytest.raises(CheckpointError):
        load(run)


def test_fault_38_a_space_larger_than_the_policys_own_file_is_refused(run):
    sign(newest(run, MANIFEST), {"observation_space": {**BOX_JSON, "shape": [2**20]}})
    with pytest.raises(CheckpointError, match=r"describes a space of 1\.049e\+06 elements; at most \d+ are read"):
        load(run)


@pytest.mark.parametrize(("name", "masked"), [*((name, False) for name in ACTIONS), ("nested", True)])
def test_a_nested_policy_acts_the_same_after_saving_and_loading(name, masked, tmp_path):
    space = ACTIONS[name]
    sight = spaces.Dict(action_mask=spaces.MultiBinary(13), see=NESTED_OBS) if masked else NESTED_OBS
    config = RunConfig("canary_package:X-v0", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,), branch_torsos=masked))
    policy, params, moments = filled(sight, space, config.ppo)
    save_run(tmp_path, params, moments, sight, space, config)
    again, _ = load_agents(tmp_path)
    rows = [view(np.array([episode, t, 0.7 * t - episode])) for episode in range(3) for t in range(6)]
    batch = jax.tree.map(lambda *x: np.stack(x), *rows)
    if masked:
        mask = np.random.default_rng(0).random((18, 13)) < 0.5
        mask[:, [0, 2, 5, 7, 9]] = True
        batch = {"see": batch, "action_mask": mask.astype(np.int8)}
    saved = split_agents(policy, params, moments, sight, space)
    for one, other in zip(saved, again, strict=True):
        jax.tree.map(np.testing.assert_array_equal, (one.params, one.obs_moments), (other.params, other.obs_moments))
    with quick_compiler():
        for sample in (False, True):
            before, after = (agents[1].act(batch, sample=sample) for agents in (saved, again))
            jax.tree.map(np.testing.assert_array_equal, before, after)
            assert jax.tree.structure(before) == jax.tree.structure(after)
    again[0].check_spaces(sight, space)
    (tmp_path / "config.json").unlink()
    write_json(tmp_path / "config.json", {**config.to_json(), "ppo": {"hidden": [5]}})
    with pytest.raises(CheckpointError, match=r"policy\.safetensors"):
        load(tmp_path)
