"""Runs from a stranger: hostile files are refused, nothing in them runs, nothing is written. Faults 38, S1-S4, S7.

Each file is loaded in another process by ``proximax eval``, ``proximax.load`` and ``proximax train --resume``, under an
audit hook that sees what Python does, with memory for what a small run needs.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack

from tests.support.cli_process import contents, environment, run_command

pytestmark = pytest.mark.process

CANARY = "canary_package"  # a package that writes a file when it is imported
GIGABYTES = 8  # of address space: compiling takes two

# Loads run after run; says how each command ended, and what happened meanwhile that must not.
DRIVER = """
import contextlib, io, json, os, resource, sys
import proximax
from proximax.cli import main
from proximax.runtime import compilation

# All runs are one run, but for what is spoilt on disk: what evaluates them is compiled once.
programs, jit = {}, compilation.jit
def once(function, *how, **named):
    made, name = jit(function, *how, **named), getattr(getattr(function, "func", None), "__name__", "")
    return programs.setdefault(name, made) if name == "score_jax" else made
compilation.jit = once

runs, canary, gigabytes = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (gigabytes << 30, gigabytes << 30))
seen, watching = [], []
NEVER = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class", "marshal.load")
NEVER += ("socket.connect", "ctypes.dlopen", "os.remove", "os.rename", "os.link", "os.symlink", "shutil.rmtree")

def hook(event, arguments):
    if not watching or (event == "os.remove" and str(arguments[0]).endswith(".probe")):
        return
    text = repr(arguments[:2]) if event in ("exec", "compile", "import", "open") else ""
    if event == "exec" and hasattr(arguments[0], "co_filename"):
        text = arguments[0].co_filename + repr(arguments[0].co_names)
    if event in NEVER or (event != "open" and (canary in text or "boom" in text or "hostile" in text)):
        seen.append([event, repr(arguments)[:300]])

def ended(call):
    out, seen[:] = io.StringIO(), []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = call()
        except proximax.errors.ProximaxError as error:
            code = error.code
            print(f"proximax: error[E{code}]: {error}".encode("unicode_escape").decode())
        except SystemExit as error:
            code = error.code
        except Exception as error:  # a crash is this file's alone
            code = repr(error)
    return [code, out.getvalue(), list(seen)]

def load(run):
    proximax.load(run)
    return 0

sys.addaudithook(hook)
for run in runs:
    watching[:] = [] if run.endswith("good") else [True]
    ways = {
        "eval": lambda: main(["eval", run, "--episodes", "1"]),
        "load": lambda: load(run),
        "resume": lambda: main(["train", "--resume", run, "--steps", "256", "--quiet"]),
    }
    answers = {name: ended(way) for name, way in ways.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([run, answers, peak]), flush=True)
"""


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("boom"),)


def seal(checkpoint, **changes):
    """What an attacker does: checksums that fit."""
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    manifest.pop("sha256")
    if "files" not in changes:
        for name, stated in manifest["files"].items():
            data = (checkpoint / name).read_bytes()
            stated |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    digest = hashlib.sha256((json.dumps(manifest, indent=2) + "\n").encode()).hexdigest()
    path.write_text(json.dumps(manifest | {"sha256": digest}, indent=2) + "\n")


def policy(data):
    """The policy's file with other bytes, or those that a function makes of its own."""

    def spoil(run, checkpoint):
        path = checkpoint / "policy.safetensors"
        path.write_bytes(data(path.read_bytes()) if callable(data) else data)
        seal(checkpoint)

    return spoil


def tensor(name, x, file="policy.safetensors"):
    """One array changed, or with ``None`` left out."""

    def spoil(run, checkpoint):
        path = checkpoint / file
        arrays = unpack(path.read_bytes()) | {name: x}
        path.write_bytes(pack({k: v for k, v in arrays.items() if v is not None}))
        seal(checkpoint)

    return spoil


def manifest(**changes):
    return lambda run, checkpoint: seal(checkpoint, **changes)


def text(place, before, after):
    """Text replaced in a file of the run; ``before`` None: all of it."""

    def spoil(run, checkpoint):
        path = (checkpoint if place == "manifest.json" else run) / place
        old = path.read_text()
        assert before is None or before in old
        path.write_text(after if before is None else old.replace(before, after, 1))

    return spoil


def settings(**changes):
    """Settings of the run, in its config and in its checkpoint."""

    def spoil(run, checkpoint):
        config = json.loads((run / "config.json").read_text())
        ppo = config["ppo"] | changes.get("ppo", {})
        config |= changes | {"ppo": ppo}
        (run / "config.json").write_text(json.dumps(config))
        seal(checkpoint, config=config)

    return spoil


def progress(change):
    def spoil(run, checkpoint):
        found = json.loads((checkpoint / "manifest.json").read_text())["progress"]
        seal(checkpoint, progress=change(found))

    return spoil


def link(place):
    """A link in the place of a file or folder, which is whole where it leads to."""

    def spoil(run, checkpoint):
        path = run / place if (run / place).exists() else checkpoint / place
        target = run.parent / f"{run.name}-elsewhere"
        shutil.move(path, target)
        path.symlink_to(target)

    return spoil


def device(place, target):
    def spoil(run, checkpoint):
        path = (checkpoint if place.endswith(("manifest.json", "safetensors")) else run) / place
        path.unlink()
        os.mkfifo(path) if target == "pipe" else path.symlink_to(target)
        if place.endswith("safetensors"):
            files = {name: {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()} for name in ("policy.safetensors",)}
            seal(checkpoint, files=files)

    return spoil


def header(words, body=b""):
    return struct.pack("<Q", len(words)) + words + body


def archive(**files):
    """A zip file, as ``npz`` and ``.pt`` are."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name.replace("__", "/"), content)
    return data.getvalue()


def objects():
    data = io.BytesIO()
    np.savez(data, x=np.array([Bomb()], object))
    return data.getvalue()


BYTE = b'"dtype":"U8","shape":[1],"data_offsets":[0,1]'
BOX = {"kind": "Box", "shape": [2], "dtype": "float32", "low": "-1.0", "high": "1.0"}
VALUE = ".params['network']['value_head']['b']"
TWICE = {"a": {"__array__": "progress.recorder.history.sums"}, "b": {"__array__": "progress.recorder.history.sums"}}
# Name -> (what spoils a run, which commands refuse it; the others do not look at it and work).
ALL, RESUME = ("eval", "load", "resume"), ("resume",)
HOSTILE = {
    "a pickle": (policy(pickle.dumps(Bomb())), ALL),
    "a pickle of protocol 0": (policy(b"cos\nsystem\n(S'touch boom'\ntR."), ALL),
    "a torch file": (policy(archive(**{"archive__data.pkl": pickle.dumps(Bomb())})), ALL),
    "objects in an npz": (policy(objects()), ALL),
    "a zip with names that climb": (policy(archive(**{"..__..__boom": "x"})), ALL),
    "a zip bomb": (policy(archive(x="0" * 10**7)), ALL),
    "nothing": (policy(b""), ALL),
    "half a file": (policy(lambda data: data[:-4]), ALL),
    "trailing bytes": (policy(lambda data: data + b"x"), ALL),
    "a header of a gigabyte": (policy(lambda data: struct.pack("<Q", 2**30) + data[8:]), ALL),
    "a header of 2**63 bytes": (policy(lambda data: struct.pack("<Q", 2**63) + data[8:]), ALL),
    "a deep header": (policy(header(b'{"a":' * 100_000)), ALL),
    "overlapping arrays": (policy(header(b'{"a":{' + BYTE + b'},"b":{' + BYTE + b"}}", b"\0")), ALL),
    "a negative shape": (policy(header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"\0" * 4)), ALL),
    "an unknown kind of number": (policy(header(b'{"a":{' + BYTE.replace(b"U8", b"OBJ") + b"}}", b"\0")), ALL),
    "a number NumPy lacks": (policy(header(b'{"a":{' + BYTE.replace(b"U8", b"F8_E4M3") + b"}}", b"\0")), ALL),
    "names that a terminal obeys": (tensor("\x1b]0;boom\x07", np.zeros(1, np.float32)), ALL),
    "an extra array": (tensor("../../boom", np.zeros(1, np.float32)), ALL),
    "a missing array": (tensor(VALUE, None), ALL),
    "NaN weights": (tensor(VALUE, np.full((1, 1), np.nan, np.float32)), ALL),
    "infinite weights": (tensor(VALUE, np.full((1, 1), np.inf, np.float32)), ALL),
    "another shape": (tensor(VALUE, np.zeros((1, 2), np.float32)), ALL),
    "whole numbers": (tensor(VALUE, np.zeros((1, 1), np.int32)), ALL),
    "an extra array in the state": (tensor("boom", np.zeros(1, np.float32), "state.safetensors"), RESUME),
    "a key of another kind": (tensor(".key", np.zeros((1, 2), np.float32), "state.safetensors"), RESUME),
    "a wrong checksum": (text("manifest.json", '"sha256": "', '"sha256": "0'), ALL),
    "NaN in the manifest": (text("manifest.json", '"evaluation": ', '"evaluation": NaN, "old": '), ALL),
    "a number beyond all": (text("manifest.json", '"evaluation": ', '"evaluation": 1e999, "old": '), ALL),
    "a key that is there twice": (text("manifest.json", '"format"', '"format": 1, "format"'), ALL),
    "a manifest a million deep": (text("manifest.json", None, '{"a":' * 10**6), ALL),
    "a list a million deep": (text("manifest.json", None, "[" * 10**6), ALL),
    "a manifest 300 deep": (lambda run, at: seal(at, environment=json.loads('{"a":' * 300 + "1" + "}" * 300)), ALL),
    "a whole number of 100 000 digits": (text("manifest.json", '"update": ', '"update": ' + "9" * 10**5), ALL),
    "another format": (manifest(format=1), ALL),
    "a later format": (manifest(format=99, version="9\x1b[31m\nproximax: all is well"), ALL),
    "no format": (manifest(format=None), ALL),
    "files with names that climb": (manifest(files={"../../../boom": {"bytes": 1, "sha256": "0"}}), ALL),
    "a space of 10**30 numbers": (manifest(observation_space=BOX | {"shape": [10**30]}), ALL),
    "a space of a gigabyte": (manifest(observation_space=BOX | {"shape": [2**28]}), ALL),
    "a space of unknown kind": (manifest(action_space={"kind": "os.system"}), ALL),
    "a shape that is text": (manifest(action_space=BOX | {"shape": "boom"}), ALL),
    "another space": (manifest(observation_space=BOX), ALL),
    "a network that only Python knows": (manifest(network="boom"), ALL),
    "an array that is used twice": (manifest(environment=TWICE), RESUME),
    "no progress": (manifest(progress={}), RESUME),
    "a progress without end": (progress(lambda found: found | {"time_s": {"__float__": "inf"}}), RESUME),
    "a progress that is text": (progress(lambda found: found | {"evaluated": "boom"}), RESUME),
    "more updates than there are": (manifest(update=10**9), RESUME),
    "sizes below zero": (
        progress(lambda x: x | {"recorder": x["recorder"] | {"logs": {"metrics.jsonl": {"size": -1, "waiting": ""}}}}),
        RESUME,
    ),
    "other logs' sizes": (
        progress(lambda x: x | {"recorder": x["recorder"] | {"logs": x["recorder"]["logs"] | {"boom": "x"}}}),
        RESUME,
    ),
    "a package to import": (settings(env=f"gymnasium:{CANARY}:Boom-v0"), ("eval", "resume")),
    "a package to import, plainly": (settings(env=f"{CANARY}:Boom-v0"), ("eval", "resume")),
    "a gigantic network": (settings(ppo={"hidden": [10**9, 10**9]}), ALL),
    "a large network": (settings(ppo={"hidden": [30_000, 30_000]}), ALL),
    "a billion seeds": (settings(seeds=10**9), ALL),
    "a billion environments": (settings(num_envs=10**8, steps=10**15, ppo={"minibatch_size": None}), RESUME),
    "code for an activation": (settings(ppo={"activation": "lambda x: __import__('os').system('touch boom')"}), ALL),
    "YAML with tags": (text("config.json", None, "!!python/object/apply:os.system ['touch boom']"), ALL),
    "an unknown setting": (settings(boom="\x1b[2J"), ALL),
    "a config of 20 MB": (text("config.json", "{", "{" + " " * 20_000_000), ALL),
    "a huge whole number": (settings(steps=10**4000), ALL),
    "a result too large for a number": (
        text("result.json", '"returns": [', '"returns": [1' + "0" * 400 + ", "),
        ("load",),
    ),
    "a log that is no log": (text("metrics.jsonl", '"update": 1,', '"update":"",'), RESUME),
    "a link for the checkpoint": (link("checkpoints/step-000000000128"), ALL),
    "a link for the checkpoints": (link("checkpoints"), ALL),
    "a link for the policy": (link("policy.safetensors"), ALL),
    "a link for the manifest": (link("manifest.json"), ALL),
    "a link for the config": (link("config.json"), ALL),
    "a link for the log": (link("metrics.jsonl"), RESUME),
    "a config without end": (device("config.json", "/dev/zero"), ALL),
    "a pipe for a config": (device("config.json", "pipe"), ALL),
    "a pipe for a manifest": (device("manifest.json", "pipe"), ALL),
    "a pipe for a policy": (device("policy.safetensors", "pipe"), ALL),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """name -> (run directory, what was in it before, answers of each command, peak memory in kB)."""
    folder = tmp_path_factory.mktemp("strangers")
    (folder / f"{CANARY}.py").write_text("from pathlib import Path\nPath('boom').touch()\n")
    train = "train probe:constant --preset none --quiet --num-envs 4 --ppo.num-steps 16 --ppo.minibatch-size 64"
    train += " --ppo.epochs 1 --ppo.hidden 8 --steps 128 --eval-episodes 1 --checkpoint-every end --out good"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_command(train).fine()
    runs = {}
    for i, (name, (spoil, _)) in enumerate(HOSTILE.items()):
        run = Path(shutil.copytree(folder / "good", folder / f"hostile-{i}"))
        spoil(run, run / "checkpoints" / "step-000000000128")
        runs[name] = run
    before = {name: contents(run) for name, run in runs.items()}
    shutil.copytree(folder / "good", folder / "also-good")  # the first resume compiles
    order = ["also-good", *(run.name for run in runs.values())]
    line = [sys.executable, "-c", DRIVER, json.dumps(order), CANARY, str(GIGABYTES)]
    done = subprocess.run(line, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = {run: (ended, peak) for run, ended, peak in map(json.loads, done.stdout.splitlines())}
    assert [code for code, _, _ in said["also-good"][0].values()] == [0, 0, 0], said["also-good"]
    return {name: (run, before[name], *said[run.name], said["also-good"][1]) for name, run in runs.items()}


@pytest.mark.fault(38)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_run_is_refused_and_nothing_in_it_runs(answers, name):
    run, before, ended, peak, usual = answers[name]
    for command, (code, said, seen) in ended.items():
        if command in HOSTILE[name][1]:
            assert code in ((2, 4, 5) if "link" in name or "log" in name else (2, 4)), (command, code, said)
            assert f"proximax: error[E{code}]: " in said, (command, said)
            assert seen == [], (command, seen)
        elif command != "resume":
            assert code == 0, (command, said)
        assert "\x1b" not in said
        assert "Traceback" not in said
        assert "\nproximax: all is well" not in said
    if "resume" in HOSTILE[name][1]:
        assert contents(run) == before
    assert not list(run.parent.rglob("boom"))
    assert peak < usual + 700_000  # kB: the most a JSON file of the largest size takes


def test_what_a_terminal_obeys_is_shown_and_not_sent(tmp_path):
    run = tmp_path / "run\x1b]0;title\x07\x1b[31m"
    run.mkdir()
    (run / "config.json").write_text('{"env": "\\u001b[2J", "\\u001b[31m": 1}')
    line = [sys.executable, "-m", "proximax.cli", "eval", str(run), "--debug"]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, timeout=60)
    assert done.returncode == 2
    assert b"unknown setting" in done.stderr
    assert b"\\x1b]0;title\\x07" in done.stderr
    assert not {x for x in done.stdout + done.stderr if x < 32} - {10}


@pytest.mark.slow
def test_s7_compiled_programs_are_kept_where_nobody_else_writes_and_never_in_a_run(tmp_path):
    known = {k: v for k, v in environment().items() if not k.startswith("JAX_COMPILATION_CACHE")}
    train = "train probe:constant --preset none --quiet --num-envs 4 --ppo.num-steps 16 --ppo.minibatch-size 64"
    train += " --ppo.epochs 1 --ppo.hidden 8 --steps 64 --eval-episodes 1"

    def trained(out, cache):
        cache.mkdir(exist_ok=True)
        line = [sys.executable, "-m", "proximax.cli", *train.split(), "--out", out]
        subprocess.run(line, cwd=tmp_path, env=known | {"XDG_CACHE_HOME": str(cache)}, check=True, timeout=120)
        (folder,) = (cache / "proximax").iterdir()
        written = {path.name for path in (tmp_path / out).iterdir()}
        assert written == {".lock", "checkpoints", "config.json", "metrics.jsonl", "result.json", "tensorboard"}
        return folder, list(folder.iterdir())

    folder, programs = trained("first", tmp_path / "cache")
    assert programs
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in programs:
        path.unlink()
    folder.chmod(0o777)  # somebody else could have put a program there
    assert trained("second", tmp_path / "cache") == (folder, [])
