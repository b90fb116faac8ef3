"""Checkpoints are whole or not there, whenever the process ends; the newest whole one is found. Faults 20-24, 26."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from proximax.errors import CheckpointError
from proximax.runs.checkpoint import (
    MANIFEST,
    POLICY,
    STATE,
    checkpoint_names,
    find_checkpoint,
    progress_of,
    remove_partial,
)
from proximax.runtime import check_no_extra_arrays, named_leaves, restore_tree
from tests.support import ROOT
from tests.support.saved_runs import PARAMS, newest, save, sign, snapshot


def update_of(run, which="last", **how):
    """The update of the checkpoint that is found, after its arrays were looked at."""
    found, tensors = find_checkpoint(run, which, (POLICY, STATE), **how)
    assert tensors[".update"].tolist() == [found.manifest["update"]] * 3
    return found.manifest["update"]


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_state_comes_back_bit_for_bit_with_progress_and_environments(tmp_path):
    environment = {"rngs": [2**127 + 1, -3], "at": (np.arange(3, dtype=np.int16), None)}
    save(tmp_path, 4, environment=environment, rows=np.float64(np.pi), name="x", best=-np.inf)
    found, tensors = find_checkpoint(tmp_path, read=(POLICY, STATE))
    saved = snapshot(*PARAMS).state
    state = restore_tree(saved, tensors, found.path)
    for name, x in named_leaves(saved).items():
        again = named_leaves(state)[name]
        assert (again.dtype, again.shape, again.tobytes()) == (x.dtype, x.shape, x.tobytes()), name
    assert jax.tree.structure(state) == jax.tree.structure(saved)
    assert jax.random.key_impl(state.key) == jax.random.key_impl(saved.key)
    progress, again = progress_of(found, tensors)
    check_no_extra_arrays(tensors, found.path)
    assert progress == {"rows": np.pi, "name": "x", "best": -np.inf}
    assert again["rngs"] == environment["rngs"]
    np.testing.assert_array_equal(again["at"][0], np.arange(3, dtype=np.int16))
    with pytest.raises(CheckpointError, match="it also holds 'evil'"):
        check_no_extra_arrays({"evil": np.zeros(1)}, found.path)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_random_keys_of_any_kind_come_back_as_they_were(impl, tmp_path):
    tree = {"key": jax.random.key(5, impl=impl)}
    again = restore_tree(tree, named_leaves(tree), tmp_path)["key"]
    assert jax.random.key_impl(again) == jax.random.key_impl(tree["key"])
    np.testing.assert_array_equal(jax.random.key_data(again), jax.random.key_data(tree["key"]))


# Ends a process at the k-th call of what touches the disk: before that call, or (writing) in the middle of a file.
KILLED = """
import os, shutil, sys
from pathlib import Path
from tests.support.saved_runs import save
from proximax.runs import checkpoint
from proximax.runtime import files

root, steps = Path(sys.argv[1]), [2, int(sys.argv[2])]
for k in range(100):
    child = os.fork()
    if not child:
        run = root / str(k)
        save(run, steps[0])
        left = [k]
        def dying(real):
            def call(*arguments, **names):
                if not left[0]:
                    os._exit(9)
                left[0] -= 1
                return real(*arguments, **names)
            return call
        def half(path, data):
            if not left[0]:
                path.write_bytes(data[:len(data) // 2])
                os._exit(9)
            left[0] -= 1
            write(path, data)
        write, checkpoint.write_through = files.write_through, half
        os.fsync, shutil.rmtree = dying(os.fsync), dying(shutil.rmtree)
        Path.rename, Path.mkdir = dying(Path.rename), dying(Path.mkdir)
        save(run, steps[1], evaluation=5.0)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        print(k)
        break
"""


@pytest.mark.process
@pytest.mark.fault(26)
@pytest.mark.parametrize("second", [4, 2], ids=["another-step", "the-same-step"])
def test_whenever_a_process_is_killed_while_saving_a_good_checkpoint_is_found(second, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, tmp_path, str(second)],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    ends = int(ran.stdout)  # so many calls there are
    assert ends >= 12  # three files and three folders synced, renames, removals
    found = []
    for k in range(ends + 1):
        run = tmp_path / str(k)
        before = find_checkpoint(run, read=(POLICY, STATE))[0].manifest  # without anything being cleared up
        remove_partial(run / "checkpoints")
        after = find_checkpoint(run, read=(POLICY, STATE))[0]
        assert after.manifest == before, k
        assert after.path.name == f"step-{after.manifest['steps']:012d}"
        left = {path.name for path in (run / "checkpoints").iterdir()}
        assert left == set(checkpoint_names(run / "checkpoints")), k
        found.append(after.manifest["evaluation"] == 5.0)
    assert found[0] is False
    assert found[-1] is True
    assert found == sorted(found)  # once the new one is there, it stays


def test_all_is_on_disk_before_a_checkpoint_takes_its_place_and_then_the_place_is(tmp_path, monkeypatch):
    """After a loss of power a name must not stand for what the disk never got."""
    folder, synced, before = tmp_path / "checkpoints", [], []
    fsync, rename = os.fsync, Path.rename

    def renames(path, target):
        wanted = [path, *path.iterdir()]
        before.append({x.name for x in wanted if x.stat().st_ino not in synced})
        synced.clear()
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", lambda file: (fsync(file), synced.append(os.fstat(file).st_ino))[0])
    monkeypatch.setattr(Path, "rename", renames)
    save(tmp_path, 2)
    assert before == [set()]
    assert folder.stat().st_ino in synced


@pytest.mark.fault(24)
@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("second", [4, 2], ids=["another-step", "the-same-step"])
def test_a_save_that_the_disk_refuses_changes_nothing(which, second, tmp_path, monkeypatch):
    save(tmp_path, 2)
    before = everything(tmp_path)
    calls = [0]

    def full(real):
        def call(*arguments):
            calls[0] += 1
            if calls[0] == which + 1:
                raise OSError(28, "No space left on device")
            return real(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", full(os.fsync))  # three files, the folder
    monkeypatch.setattr(Path, "rename", full(Path.rename))
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, second, evaluation=5.0)
    assert everything(tmp_path) == before


def test_the_newest_the_best_or_one_by_name_is_found(tmp_path):
    for update, evaluation in ((1, 3.0), (2, 9.0), (3, 9.0), (4, None), (5, 1.0)):
        save(tmp_path, update, evaluation=evaluation)
    assert update_of(tmp_path) == 5
    assert update_of(tmp_path, "best") == 3  # the later of equals
    assert update_of(tmp_path, "step-000000000100") == 1
    (tmp_path / "checkpoints" / "step-000000000100" / POLICY).write_bytes(b"cut")
    with pytest.raises(
        CheckpointError, match=r"3 bytes, .* were written\. Others: step-000000000500, .*00200, last, best"
    ):
        find_checkpoint(tmp_path, "step-000000000100")
    with pytest.raises(CheckpointError, match=r"has no checkpoint 'step-7'; it has step-000000000500, .*, last, best"):
        find_checkpoint(tmp_path, "step-7")
    with pytest.raises(CheckpointError, match=r"has no checkpoint '\.\./x'"):
        find_checkpoint(tmp_path, "../x")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        find_checkpoint(tmp_path / "other")


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.fault(20)
@pytest.mark.parametrize("file", [POLICY, STATE, MANIFEST])
def test_of_a_damaged_newest_the_one_before_is_used_and_it_is_said(file, tmp_path, capsys):
    for update in (1, 2, 3):
        save(tmp_path, update)
    damage(newest(tmp_path, file))
    assert update_of(tmp_path) == 2
    told = capsys.readouterr().err
    assert "step-000000000300" in told
    assert "damaged" in told or "cannot be read" in told
    assert "Using step-000000000200 instead" in told
    assert checkpoint_names(tmp_path / "checkpoints")[0] == "step-000000000300"  # only who writes may rename
    content = everything(newest(tmp_path))
    assert update_of(tmp_path, quarantine_damaged=True) == 2
    assert everything(tmp_path / "checkpoints" / "damaged-step-000000000300") == content
    save(tmp_path, 3)
    damage(newest(tmp_path, file))
    capsys.readouterr()
    assert update_of(tmp_path, quarantine_damaged=True) == 2  # the second one at this step
    assert (tmp_path / "checkpoints" / "damaged-step-000000000300-1").exists()
    assert update_of(tmp_path) == 2
    damage(tmp_path / "checkpoints" / "step-000000000100" / MANIFEST)
    capsys.readouterr()
    assert update_of(tmp_path) == 2
    assert capsys.readouterr().err == ""  # an older one matters to nobody


@pytest.mark.fault(20)
def test_one_digit_of_a_manifest_changed_is_damage_too(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    manifest = newest(tmp_path, MANIFEST)
    text = manifest.read_text()
    assert text.count('"steps": 200') == 1
    manifest.write_text(text.replace('"steps": 200', '"steps": 300'))
    assert update_of(tmp_path) == 1


@pytest.mark.fault(21)
def test_where_all_are_damaged_each_is_named_and_none_touched(tmp_path):
    for update, file in ((1, POLICY), (2, STATE), (3, MANIFEST)):
        save(tmp_path, update)
        damage(newest(tmp_path, file))
    before = everything(tmp_path)
    names = r".*".join(f"step-000000000{n}00" for n in (3, 2, 1))
    with pytest.raises(CheckpointError, match=names) as caught:
        find_checkpoint(tmp_path, read=(POLICY, STATE), quarantine_damaged=True)
    assert caught.value.code == 4
    assert everything(tmp_path) == before


@pytest.mark.fault(22)
def test_a_later_format_is_refused_though_an_older_checkpoint_is_there(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    sign(newest(tmp_path, MANIFEST), {"format": 3, "version": "9.1"})
    before = everything(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"format 3, made by proximax '9\.1'; this is .* --upgrade proximax"
    ) as caught:
        find_checkpoint(tmp_path, quarantine_damaged=True)
    assert caught.value.code == 4
    assert everything(tmp_path) == before


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    ("name", "x", "message"),
    [
        (".update", np.zeros(2, np.int32), r"\.update is \(2,\), the config makes it \(3,\)"),
        (".update", np.zeros(3, np.int64), r"\.update holds int64, the run makes it int32"),
        (".beta", np.full(3, np.inf, np.float32), r"\.beta holds values that are not finite"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(name, x, message, tmp_path):
    state = snapshot(*PARAMS).state
    with pytest.raises(CheckpointError, match=message):
        restore_tree(state, named_leaves(state) | {name: x}, tmp_path)
    tensors = named_leaves(state)
    del tensors[name]
    with pytest.raises(CheckpointError, match=rf"does not fit this run: \{name} not in it"):
        restore_tree(state, tensors, tmp_path)


def test_links_are_no_checkpoints(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "checkpoints" / "step-000000009900").symlink_to(newest(tmp_path))
    assert checkpoint_names(tmp_path / "checkpoints") == ["step-000000000100"]


def test_a_manifest_says_what_it_is_in_strict_json(tmp_path):
    save(tmp_path, 2, best=np.nan)
    manifest = json.loads(newest(tmp_path, MANIFEST).read_text(), parse_constant=pytest.fail)
    assert (manifest["format"], manifest["update"], manifest["steps"]) == (2, 2, 200)
    assert manifest["config"]["ppo"]["hidden"] == [4]
    shutil.rmtree(newest(tmp_path))
