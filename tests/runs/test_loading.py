"""Policies loaded again, and no hostile file that gets past. Faults 20, 24, 38, S1-S4."""

import functools
import json
import pickle
import shutil
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

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.errors import CheckpointError, UsageError
from proximax.networks.dense import mlp
from proximax.policy.agent import split_agents
from proximax.runs.checkpoint import MANIFEST, POLICY, STATE, save_checkpoint
from proximax.runs.directory import METRICS_FILE
from proximax.runs.loading import load, load_agents, load_config, run_problem
from proximax.runs.metrics import History
from proximax.runtime.files import json_bytes, sha256, write_json
from proximax.spaces.serialization import describe_space
from proximax.training.resume import load_resume_point
from tests.support.bad_spaces import BAD_SPACES, BOX_JSON, short
from tests.support.saved_runs import (
    BOX,
    CONFIG,
    OBS,
    arrays,
    filled,
    header,
    newest,
    save_run,
    sign,
    sign_file,
    snapshot,
)
from tests.support.strategies import broken, damaged
from tests.support.toy_gym import ACTIONS, NESTED_OBS, view


@pytest.fixture
def run(tmp_path):
    """A finished run's directory, without training."""
    return save_run(tmp_path, *arrays()[1:])


@pytest.mark.trap(28)
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
    assert load(run).params["log_std"].tolist() == each[0]  # by the settings in its checkpoint
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(CheckpointError, match=r"config\.json is missing: .* is not a run directory"):
        load(run)


def test_a_policy_of_ones_own_network_asks_for_it(run):
    sign(newest(run, MANIFEST), {"network": "own"})
    with pytest.raises(CheckpointError, match="custom network: pass it as network="):
        load(run)
    assert load(run, network=mlp(2, (4,))).obs_moments is not None
    with pytest.raises(CheckpointError, match=r"does not fit this run: .*\['critic'\]"):
        load(run, network=mlp(2, (4,), shared_torso=True))


def test_what_is_no_run_is_told_and_a_result_what_to_pass_of_it(tmp_path):
    class Ended:
        agent = None

    assert run_problem(tmp_path) == run_problem("zoo:CartPole-v1") == ""
    assert run_problem(7) == "run = 7: must be a path or an Agent"
    assert run_problem(Ended()).endswith("must be a path or an Agent: its .agent, or its .directory")


def edit(path, changes):  # ``...`` removes
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("boom"),)


def raw(text, body=b""):
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
    "deep header": raw(b'{"a":' * 100_000),
    "overlap": raw(b'{"a":{' + BYTE + b'},"b":{' + BYTE + b"}}", b"\0"),
    "negative shape": raw(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"\0" * 4),
    "unknown dtype": raw(b'{"a":{"dtype":"OBJ","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
    "extra tensor": tensor("evil", np.zeros(1, np.float32)),
    "missing tensor": tensor(LOG_STD, None),
    "wrong shape": tensor(LOG_STD, np.zeros((3, 1), np.float32)),
    "wrong dtype": tensor(LOG_STD, np.zeros((3, 2), np.int64)),
    "NaN": tensor(LOG_STD, np.full((3, 2), np.nan, np.float32)),
    "infinity": tensor(".obs_moments.mean", np.full((3, 3), np.inf, np.float32)),
}


@pytest.mark.fault(38)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tensors_are_refused_and_nothing_runs(run, name, monkeypatch):
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


@pytest.mark.fault(38)
@pytest.mark.parametrize(("file", "bad"), [(f, x) for f in FILES for x in BAD_JSON + FILES[f]], ids=short)
def test_hostile_json_is_refused(run, file, bad):
    if isinstance(bad, bytes):
        (run / file).write_bytes(bad)
    elif file == MANIFEST_PATH and 1e999 not in bad.values():
        sign(run / file, bad)
    else:
        edit(run / file, bad)
    with pytest.raises((CheckpointError, UsageError)):
        load(run)


@pytest.mark.fault(38)
@pytest.mark.parametrize("what", ["observation_space", "action_space"])
@pytest.mark.parametrize("depth", [3, 60, 150, 300, 450, 700, 2_000, 100_000])
@pytest.mark.parametrize("around", ['{"kind": "Dict", "spaces": {"a": %s}}', '{"kind": "Tuple", "spaces": [%s]}'])
def test_a_deeply_nested_space_is_refused(run, what, depth, around):
    path = newest(run, MANIFEST)
    values = json.loads(path.read_text())
    before, after = around.split("%s")
    values[what] = "HERE"
    space = before * depth + json.dumps(describe_space(spaces.Box(-1.0, 1.0, (5,)))) + after * depth
    path.write_text(json.dumps(values).replace('"HERE"', space))
    with pytest.raises(CheckpointError):
        load(run)


@pytest.mark.fault(38)
def test_a_space_larger_than_the_policys_own_file_is_refused(run):
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
    for sample in (False, True):
        seed = 0 if sample else None  # else samples are others for every agent
        before, after = (agents[1].act(batch, sample=sample, seed=seed) for agents in (saved, again))
        jax.tree.map(np.testing.assert_array_equal, before, after)
        assert jax.tree.structure(before) == jax.tree.structure(after)
    again[0].check_spaces(sight, space)
    (tmp_path / "config.json").unlink()
    write_json(tmp_path / "config.json", {**config.to_json(), "ppo": {"hidden": [5]}})
    with pytest.raises(CheckpointError, match=r"policy\.safetensors"):
        load(tmp_path)


# ---------------------------------------------------------------- any damage

SIGHT = spaces.Dict(see=OBS, kind=spaces.MultiDiscrete([2, 3], start=[1, 0]))
STEPS = 4 * CONFIG.batch_size
FOLDER = f"checkpoints/step-{STEPS:012d}"
JSON_FILES = ("config.json", "result.json", f"{FOLDER}/{MANIFEST}")
TENSOR_FILES = (f"{FOLDER}/{POLICY}", f"{FOLDER}/{STATE}")


@functools.cache
def finished_run():
    """The files of a run with nested spaces that could be gone on with, by their names."""
    history = History(CONFIG.seed, CONFIG.seeds)
    history.update = 4
    recorder = {"history": history.to_tree(), "logs": {METRICS_FILE: {"size": 5, "waiting": ""}}}
    progress = {"recorder": recorder, "time_s": 1.5, "compile_s": 0.5, "evaluated": 2, "reached": False}
    environment = {"ended": np.zeros(2, bool), "envs": [{"rng": 2**127, "at": np.inf}]}
    made = snapshot(*filled(SIGHT, BOX, CONFIG.ppo)[1:], environment=environment, **progress)._replace(steps=STEPS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_checkpoint(folder / "checkpoints", header(SIGHT), made)
        write_json(folder / "config.json", CONFIG.to_json())
        write_json(folder / "result.json", {"returns": [None, 3.0, 1.0], "steps": 5})
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def signed(manifest):
    """A manifest's bytes with the checksum that it should state, where there is one."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    try:
        stated = sha256(json_bytes(rest))
    except ValueError:  # NaN
        stated = ""
    return json.dumps(rest | {"sha256": stated}).encode()


def forged(files, path):
    """The files with a manifest that states what ``path``, one with tensors, now holds."""
    manifest, data = json.loads(files[f"{FOLDER}/{MANIFEST}"]), files[path]
    manifest["files"][Path(path).name] = {"bytes": len(data), "sha256": sha256(data)}
    return {**files, f"{FOLDER}/{MANIFEST}": signed(manifest)}


def used(files, megabytes=64):
    """What comes of loading a run of these files, and of going on with it: each a fault or nothing.

    It takes little memory; any other exception than a fault is a failure.
    """
    faults: list[Exception | None] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / FOLDER).mkdir(parents=True)
        for path, data in files.items():
            (folder / path).write_bytes(data)
        for use in (
            load,
            lambda run: load_resume_point(run, CONFIG),
        ):  # what goes on sets damaged ones aside: after ``load``
            tracemalloc.start()
            try:
                use(folder)
                faults.append(None)
            except (CheckpointError, UsageError) as error:
                faults.append(error)
            finally:
                _, most = tracemalloc.get_traced_memory()
                tracemalloc.stop()
            assert most < megabytes * 2**20
    return faults


def test_what_is_not_damaged_is_loaded_and_gone_on_with():
    files = finished_run()
    assert used(files) == [None, None]
    for path in TENSOR_FILES:
        assert used(forged(files, path)) == [None, None]


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    ("network", "sizes"),
    [
        *(("auto", {"hidden": hidden}) for hidden in ([2000, 2000], [10**9], [10**30, 5])),
        ("gru", {"hidden": [4], "recurrent_units": 30_000}),
        ("lstm", {"hidden": [4], "recurrent_units": 2000, "recurrent_layers": 64}),
        ("mingru", {"hidden": [2000, 2000], "recurrent_units": 1}),
    ],
)
def test_a_network_larger_than_the_policys_own_file_is_refused_before_it_is_made(network, sizes):
    files = finished_run()
    config = json.loads(files["config.json"]) | {"network": network}
    config["ppo"] |= sizes
    fault, _ = used({**files, "config.json": json.dumps(config).encode()}, megabytes=8)
    assert fault is not None


@pytest.mark.fault(38)
@pytest.mark.parametrize("path", JSON_FILES + TENSOR_FILES)
@given(forge=st.booleans(), data=st.data())
def test_any_damaged_bytes_are_a_policy_or_a_fault(path, forge, data):
    files = finished_run()
    changed = {**files, path: data.draw(damaged(files[path]))}
    if path in JSON_FILES:
        used(changed)
    elif forge:
        used(forged(changed, path))
    elif changed != files:  # ``load`` reads the policy alone
        assert [fault is None for fault in used(changed)] == [path.endswith(STATE), False]


@pytest.mark.fault(38)
@pytest.mark.parametrize("path", JSON_FILES)
@given(data=st.data())
def test_json_with_any_one_part_wrong_is_a_policy_or_a_fault(path, data):
    files = finished_run()
    changed = data.draw(broken(json.loads(files[path])))
    used({**files, path: signed(changed) if path.endswith(MANIFEST) else json.dumps(changed).encode()})


@pytest.mark.fault(38)
@pytest.mark.parametrize("path", TENSOR_FILES)
@given(data=st.data())
def test_a_header_with_any_one_part_wrong_is_a_policy_or_a_fault(path, data):
    files = finished_run()
    size = struct.unpack("<Q", files[path][:8])[0]
    changed = json.dumps(data.draw(broken(json.loads(files[path][8 : 8 + size])))).encode()
    used(forged({**files, path: struct.pack("<Q", len(changed)) + changed + files[path][8 + size :]}, path))


def test_a_file_in_place_of_a_run_and_a_cut_config_come_with_a_remedy(tmp_path):
    (file := tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match=r"file is a file, not a run directory\. In Python proximax\.load"):
        load_config(file)
    config = tmp_path / "config.json"
    config.write_text('{"env": ')
    with pytest.raises(CheckpointError, match=r"config.json cannot be read: .*\. No checkpoint has the settings"):
        load_config(tmp_path)
    (tmp_path / "checkpoints" / "step-000000000100").mkdir(parents=True)
    with pytest.raises(
        CheckpointError, match=r"config.json cannot be read: .*\. Delete or rename it: the settings are"
    ):
        load_config(tmp_path)
