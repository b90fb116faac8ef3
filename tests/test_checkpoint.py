"""Policies saved and loaded, and no hostile file that gets past. FAULTS.md 20, 24, 38, S1-S4."""

import contextlib
import functools
import hashlib
import json
import os
import pickle
import struct
import tempfile
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack
from strategies import JSON, SPACES, broken, damaged
from toys import ACTIONS, NESTED_OBS, quick_compiler, view

from proximax.agent import split_agents
from proximax.checkpoint import describe_space, load, load_agents, make_space, save_agents, write_json
from proximax.config import PPOConfig, RunConfig
from proximax.errors import CheckpointError, StorageError, UsageError
from proximax.keys import host_key
from proximax.networks import mlp
from proximax.observations import init_obs_moments
from proximax.policy import make_policy
from proximax.spaces import leaves
from proximax.types import Moments

OBS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
# The package does not exist: no load may try to import what a config names.
CONFIG = RunConfig("canary_package:X-v0", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,)))
ROWS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def filled(observation_space, action_space, config):
    """(policy, params, moments) of three seeds, far from the fresh policy's near-zero head."""
    policy, rng = make_policy(observation_space, action_space, config), np.random.default_rng(1)
    params = policy.init(host_key(np.zeros(2, np.uint32)))
    params = jax.tree.map(lambda x: rng.standard_normal((3, *x.shape)).astype(np.float32), params)

    def learned(fresh):
        shape = 3, *fresh.mean.shape
        moments = Moments(np.full(3, 50.0), rng.standard_normal(shape), 50 * rng.uniform(1, 9, shape))
        return Moments(*(x.astype(np.float32) for x in moments))

    fresh = init_obs_moments(observation_space, config)
    return policy, params, jax.tree.map(learned, fresh, is_leaf=lambda x: isinstance(x, Moments))


def arrays(action_space=BOX):
    return filled(OBS, action_space, CONFIG.ppo)


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
BOX_JSON = {"kind": "Box", "shape": [2], "dtype": "float32", "low": "-1.0", "high": "1.0"}
BAD_SPACES = [
    *(
        5,
        None,
        "Dict",
        [BOX_JSON],
        {},
        {"spaces": {}},
        {"kind": ["Dict"], "spaces": {}},
        {"kind": "Text", "shape": [5]},
    ),
    *({"kind": "Dict", "spaces": bad} for bad in ({}, [BOX_JSON], 5, {"a": 5}, {"a": {"kind": "Evil"}}, {"a": None})),
    *({"kind": "Tuple", "spaces": bad} for bad in ([], {"a": BOX_JSON}, "ab", [BOX_JSON, 5], 7)),
    *({"kind": "MultiDiscrete", "nvec": n, "start": s} for n, s in (([], []), ([0], [0]), ([2], [0, 0]), ([2.5], [0]))),
    *({"kind": "MultiDiscrete", "nvec": n, "start": [0]} for n in ("2", [-1], [[2], [2, 3]], [10**30], {"a": 2})),
    *({"kind": "MultiBinary", "shape": bad} for bad in ("3", [-1], [0], [0, 2], None, {})),
    *({**BOX_JSON, **bad} for bad in ({"low": "x"}, {"low": [1]}, {"low": ["1"] * 3}, {"dtype": "O"}, {"shape": "a"})),
    *({**BOX_JSON, **bad} for bad in ({"dtype": "evil"}, {"low": ...}, {"shape": [-2]}, {"shape": [10**30]})),
    *({"kind": "Discrete", "shape": [n], "start": s} for n, s in ((0, 0), (2, "0"), ("2", 0), (2, 10**30), (2.5, 0))),
]
HUGE = [{"kind": "MultiBinary", "shape": 10**30}, {"kind": "MultiBinary", "shape": [2**13, 2**14]}]
HUGE += [{**BOX_JSON, "shape": [2**27]}, {"kind": "Discrete", "shape": [2**27], "start": 0}]
HUGE += [{"kind": "MultiDiscrete", "nvec": [2**62] * 4, "start": [0] * 4}]  # an int64 sum is 0
HUGE += [{"kind": "Tuple", "spaces": [{"kind": "Dict", "spaces": {"a": {**BOX_JSON, "shape": [2**22]}}}] * 17}]
HUGE += [{"kind": "Tuple", "spaces": [HUGE[3], {"kind": "Discrete", "shape": [-(2**27)], "start": 0}]}]
BAD_SPACES += [*HUGE, {"kind": "Discrete", "shape": [3], "start": 0, "dtype": "float32"}]
BAD_SPACES = [{k: v for k, v in s.items() if v is not ...} if isinstance(s, dict) else s for s in BAD_SPACES]
BAD_MANIFEST += [{what: bad} for bad in BAD_SPACES for what in ("observation_space", "action_space")]
short = "{!s:.40}".format
FILES = {
    "config.json": BAD_CONFIG,
    "checkpoints/policy.json": BAD_MANIFEST,
    "result.json": [{"returns": 5}, {"returns": [10**400]}],
}


@pytest.mark.parametrize(("file", "bad"), [(f, x) for f in FILES for x in BAD_JSON + FILES[f]], ids=short)
def test_fault_38_hostile_json_is_refused(run, file, bad):
    edit(run / file, bad) if isinstance(bad, dict) else (run / file).write_bytes(bad)
    with pytest.raises((CheckpointError, UsageError)):
        load(run)


@pytest.mark.parametrize("what", ["observation_space", "action_space"])
@pytest.mark.parametrize("depth", [3, 60, 150, 300, 450, 700, 2_000, 100_000])
@pytest.mark.parametrize("around", ['{"kind": "Dict", "spaces": {"a": %s}}', '{"kind": "Tuple", "spaces": [%s]}'])
def test_fault_38_a_deeply_nested_space_is_refused(run, what, depth, around):
    path = run / "checkpoints" / "policy.json"
    values = json.loads(path.read_text())
    before, after = around.split("%s")
    values[what] = "HERE"
    space = before * depth + json.dumps(describe_space(spaces.Box(-1.0, 1.0, (5,)))) + after * depth
    path.write_text(json.dumps(values).replace('"HERE"', space))
    with pytest.raises(CheckpointError):
        load(run)


@pytest.mark.parametrize(
    "around", [lambda x: {"kind": "Dict", "spaces": {"a": x}}, lambda x: {"kind": "Tuple", "spaces": [x]}]
)
def test_fault_38_a_space_too_deep_for_the_stack_is_refused(around):
    values = BOX_JSON
    for _ in range(5_000):
        values = around(values)
    with pytest.raises(CheckpointError, match="describes no space proximax knows"):
        make_space(values)


@pytest.mark.parametrize("failing", [(os, "fsync"), (Path, "replace")])
def test_fault_24_a_save_that_fails_keeps_the_old_policy_and_leaves_no_half_file(run, failing, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr(*failing, full)
    with pytest.raises(StorageError, match=f"could not save the policy in {run}: .*No space left"):
        save_agents(run, *jax.tree.map(np.negative, arrays()[1:]), OBS, BOX, "built-in")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


# ---------------------------------------------------------------- spaces of every kind

INF = np.inf


def box(low, high, dtype=np.float32):
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


DESCRIBED = [
    spaces.Box(-INF, INF, (3,)),
    box([[0, -1], [-INF, 2.5]], [[0.1, INF], [7, 1e30]]),
    spaces.Box(-0.1, 1 / 3, (2,), np.float64),
    spaces.Box(0, 255, (2, 3, 1), np.uint8),
    spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    spaces.Box(-2.0, 6.0, ()),
    spaces.Discrete(4, start=-7),
    spaces.Discrete(4, start=-7, dtype=np.int32),
    spaces.Discrete(200, dtype=np.uint8),
    spaces.MultiDiscrete([2, 3], start=[5, -1]),
    spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[1, 0], [-3, 7]]),
    spaces.MultiDiscrete([2, 3], start=[5, -1], dtype=np.int16),
    spaces.MultiBinary(3),
    spaces.MultiBinary([3]),
    spaces.MultiBinary([2, 3]),
    spaces.Dict(action_mask=spaces.MultiBinary([4]), obs=spaces.Discrete(500)),
    spaces.Tuple((spaces.Tuple((spaces.Discrete(2),)), spaces.Dict({"": spaces.Box(-1.0, 1.0, (1,)), "ü '": BOX}))),
]
DESCRIBED += [spaces.Dict(b=spaces.Tuple(DESCRIBED), a=spaces.Dict({str(i): x for i, x in enumerate(DESCRIBED)}))]


@pytest.mark.parametrize("space", DESCRIBED, ids=lambda space: f"{space!s:.60}")
def test_a_described_space_is_made_again_equal(space):
    again = make_space(json.loads(json.dumps(describe_space(space), allow_nan=False)))
    assert again == space
    assert again.dtype == space.dtype
    assert type(again) is type(space)


def test_spaces_of_older_files_which_do_not_name_a_dtype_are_of_int64():
    assert make_space({"kind": "Discrete", "shape": [4], "start": -7}) == spaces.Discrete(4, start=-7)
    found = make_space({"kind": "MultiDiscrete", "nvec": [2, 3], "start": [5, -1]})
    assert found == spaces.MultiDiscrete([2, 3], start=[5, -1])
    assert found.dtype == np.int64


@pytest.mark.parametrize("huge", HUGE, ids=short)
def test_fault_38_a_huge_space_is_refused_before_anything_of_its_size_is_made(huge, monkeypatch):
    for kind in ("Box", "Discrete", "MultiBinary", "MultiDiscrete"):
        monkeypatch.setattr(spaces, kind, lambda *_, **__: pytest.fail("it was made"))
    with pytest.raises(CheckpointError, match=r"describes a space of .* elements; at most 67108864 are read"):
        make_space(huge)


def test_fault_38_a_space_larger_than_the_policys_own_file_is_refused(run):
    edit(run / "checkpoints" / "policy.json", {"observation_space": {**BOX_JSON, "shape": [2**20]}})
    with pytest.raises(CheckpointError, match=r"describes a space of 1\.049e\+06 elements; at most \d+ are read"):
        load(run)


@pytest.mark.parametrize(("name", "masked"), [*((name, False) for name in ACTIONS), ("nested", True)])
def test_a_nested_policy_acts_the_same_after_saving_and_loading(name, masked, tmp_path):
    space = ACTIONS[name]
    sight = spaces.Dict(action_mask=spaces.MultiBinary(13), see=NESTED_OBS) if masked else NESTED_OBS
    config = RunConfig("canary_package:X-v0", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,), branch_torsos=masked))
    policy, params, moments = filled(sight, space, config.ppo)
    save_agents(tmp_path, params, moments, sight, space, "built-in")
    write_json(tmp_path / "config.json", config.to_json())
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


# ---------------------------------------------------------------- any space, any damage


@given(SPACES)
def test_any_space_is_made_again_equal(space):
    again = make_space(json.loads(json.dumps(describe_space(space), allow_nan=False)))
    assert again == space
    assert str(again) == str(space)
    assert jax.tree.map(lambda x: x.dtype, leaves(again)) == jax.tree.map(lambda x: x.dtype, leaves(space))


@given(SPACES.flatmap(lambda space: broken({"space": describe_space(space)})) | JSON.map(lambda x: {"space": x}))
def test_fault_38_a_description_with_any_one_part_wrong_is_a_space_or_a_fault(values):
    with contextlib.suppress(CheckpointError):
        make_space(values.get("space"), most=10_000)


@functools.cache
def finished_run():
    """The files of a run with nested spaces, by their names."""
    sight = spaces.Dict(see=OBS, kind=spaces.MultiDiscrete([2, 3], start=[1, 0]))
    with tempfile.TemporaryDirectory() as folder:
        save_agents(Path(folder), *filled(sight, BOX, CONFIG.ppo)[1:], sight, BOX, "built-in")
        write_json(Path(folder) / "config.json", CONFIG.to_json())
        write_json(Path(folder) / "result.json", {"returns": [None, 3.0, 1.0], "steps": 5})
        return {str(x.relative_to(folder)): x.read_bytes() for x in Path(folder).rglob("*") if x.is_file()}


def loaded(files, megabytes=64):
    """A run of these files is loaded or refused, in little memory; any other exception is a failure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "checkpoints").mkdir()
        for path, data in files.items():
            (folder / path).write_bytes(data)
        tracemalloc.start()
        with contextlib.suppress(CheckpointError, UsageError):
            load(folder)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < megabytes * 2**20


@pytest.mark.parametrize("hidden", [[2000, 2000], [10**9], [10**30, 5]])
def test_fault_38_a_network_larger_than_the_policys_own_file_is_refused_before_it_is_made(hidden):
    files = finished_run()
    config = json.loads(files["config.json"])
    config["ppo"]["hidden"] = hidden
    loaded({**files, "config.json": json.dumps(config).encode()}, megabytes=8)


TENSORS, MANIFEST = "checkpoints/policy.safetensors", "checkpoints/policy.json"


@given(st.sampled_from(["config.json", "result.json", MANIFEST, TENSORS]), st.booleans(), st.data())
def test_fault_38_any_damaged_bytes_are_a_policy_or_a_fault(path, forged, data):
    """``forged``: the checksum is that of the damaged file."""
    files = finished_run()
    changed = data.draw(damaged(files[path]))
    files = {**files, path: changed}
    if forged and path == TENSORS:
        old, new = (hashlib.sha256(x).hexdigest().encode() for x in (finished_run()[path], changed))
        files[MANIFEST] = files[MANIFEST].replace(old, new)
    loaded(files)


@given(st.sampled_from(["config.json", "result.json", MANIFEST]), st.data())
def test_fault_38_json_with_any_one_part_wrong_is_a_policy_or_a_fault(path, data):
    files = finished_run()
    changed = data.draw(broken(json.loads(files[path])))
    loaded({**files, path: json.dumps(changed).encode()})


@given(st.data())
def test_fault_38_a_header_with_any_one_part_wrong_is_a_policy_or_a_fault(data):
    files = finished_run()
    size = struct.unpack("<Q", files[TENSORS][:8])[0]
    changed = json.dumps(data.draw(broken(json.loads(files[TENSORS][8 : 8 + size])))).encode()
    tensors = struct.pack("<Q", len(changed)) + changed + files[TENSORS][8 + size :]
    manifest = json.loads(files[MANIFEST]) | {"sha256": hashlib.sha256(tensors).hexdigest()}
    loaded({**files, TENSORS: tensors, MANIFEST: json.dumps(manifest).encode()})
