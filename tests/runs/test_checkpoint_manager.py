"""When a run is saved, beside the training, and which checkpoints are kept. Fault 24."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from proximax.errors import StorageError
from proximax.runs import checkpoint_manager as module
from proximax.runs.checkpoint import checkpoint_names, find_checkpoint
from proximax.runs.checkpoint_manager import CheckpointManager, to_host_copy
from tests.support.saved_runs import CONFIG, arrays, header, snapshot

PARAMS = arrays()[1:]
BATCH = CONFIG.batch_size


def snap(update, evaluation=None):
    return snapshot(*PARAMS, update=update, evaluation=evaluation)


def make(run, every="end", kept=3, update=None, steps=100):
    config = replace(CONFIG, checkpoint_every=every, keep_checkpoints=kept, steps=steps * BATCH)
    return CheckpointManager(config, run / "checkpoints", header(), update)


def updates(run):
    return [int(name.removeprefix("step-")) // 100 for name in checkpoint_names(run / "checkpoints")]


def test_the_newest_and_the_best_are_kept(tmp_path):
    saver = make(tmp_path, kept=2)
    for update, evaluation in ((1, 1.0), (2, 5.0), (3, None), (4, 5.0), (5, 2.0), (6, None), (7, 4.0)):
        saver.save(snap(update, evaluation), wait=True)
    assert updates(tmp_path) == [7, 6, 4]  # of equals the later
    saver.close()
    assert find_checkpoint(tmp_path, "best")[0].manifest["update"] == 4
    again = make(tmp_path, kept=1)
    assert not again.due(8, 4.5)  # the best is known of a run that goes on
    assert again.due(8, 5.5)
    again.save(snap(8, 5.5), wait=True)
    assert updates(tmp_path) == [8]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-000000000800"]


def test_steps_are_counted_in_whole_updates(tmp_path):
    saver = make(tmp_path, every=str(3 * BATCH))
    assert [saver.next_update(u) for u in (0, 2, 3, 99)] == [3, 3, 6, 100]
    assert [u for u in range(8) if saver.due(u, None)] == [3, 4, 5, 6, 7]  # until it is saved
    saver.save(snap(4), wait=True)
    assert [u for u in range(10) if saver.due(u, None)] == [6, 7, 8, 9]
    assert make(tmp_path, every="1").next_update(5) == 6  # not more often than there are updates
    assert make(tmp_path, every="9s").next_update(5) == make(tmp_path).next_update(5) == 100
    resumed = make(tmp_path, every=str(3 * BATCH), update=6)
    assert [u for u in range(12) if resumed.due(u, None)] == [9, 10, 11]  # what it goes on from is there


def test_steps_that_no_whole_updates_make_are_saved_once_they_are_passed(tmp_path):
    saver = make(tmp_path, every=str(3 * BATCH + 5))
    assert [saver.next_update(u) for u in (0, 3, 4, 7, 99)] == [4, 4, 7, 10, 100]
    saver.save(snap(5), wait=True)  # for another reason, as the best
    assert [u for u in range(9) if saver.due(u, None)] == [7, 8]


def test_seconds_are_counted_from_the_last_save(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    saver = make(tmp_path, every="60s")
    assert not saver.due(5, None)
    now[0] = 160.0
    assert saver.due(5, None)
    assert not saver.due(0, None)  # nothing has been learned
    saver.save(snap(5), wait=True)
    assert not saver.due(6, None)
    now[0] = 220.0
    assert saver.due(6, None)
    assert not saver.due(5, None)
    assert not make(tmp_path, every="end").due(5, None)


@pytest.fixture
def slow(monkeypatch):
    """Saves wait for the returned event."""
    go, real = threading.Event(), module.save_checkpoint

    def save(*arguments):
        assert go.wait(60)
        return real(*arguments)

    monkeypatch.setattr(module, "save_checkpoint", save)
    return go


def test_a_second_save_while_one_is_under_way_is_left_out_but_not_the_last_nor_the_best(tmp_path, slow):
    saver = make(tmp_path, kept=9)
    saver.save(snap(1))
    saver.save(snap(2))
    threading.Timer(0.2, slow.set).start()
    saver.save(snap(3, evaluation=1.0))
    saver.save(snap(4), wait=True)
    assert updates(tmp_path) == [4, 3, 1]
    saver.close()


def test_has_waits_for_the_save_under_way_and_knows_what_failed(tmp_path, slow, monkeypatch, capsys):
    saver = make(tmp_path, update=1)
    assert saver.has(1)
    assert not saver.has(0)
    saver.save(snap(2))
    threading.Timer(0.2, slow.set).start()
    assert saver.has(2)
    monkeypatch.setattr(module, "save_checkpoint", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    saver.save(snap(3), wait=True)
    assert not saver.has(3)
    assert "could not save at 300 steps: [Errno 28] full. Training continues" in capsys.readouterr().err


@pytest.mark.fault(24)
def test_a_full_disk_is_told_and_tried_again_and_only_the_last_failure_counts(tmp_path, monkeypatch, capsys):
    now, full, fsync = [100.0], [True], os.fsync

    def sync(file):
        if full[0]:
            raise OSError(28, "No space left on device")
        return fsync(file)

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fsync", sync)
    saver = make(tmp_path, every="60s")
    saver.save(snap(1), wait=True)
    assert capsys.readouterr().err.count("could not save at 100 steps") == 1
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert not saver.due(2, None)
    now[0] += module.RETRY_SECONDS
    assert saver.due(2, None)
    with pytest.raises(StorageError, match=r"the last checkpoint could not be saved in .*No space left"):
        saver.close()
    full[0] = False
    saver.save(snap(2), wait=True)
    saver.close()
    assert updates(tmp_path) == [2]


def test_the_logs_are_on_disk_before_the_checkpoint_that_knows_their_length(tmp_path, monkeypatch):
    order, real = [], module.save_checkpoint
    monkeypatch.setattr(module, "sync_file", lambda path: order.append(path.name))
    monkeypatch.setattr(module, "save_checkpoint", lambda *a: (order.append("checkpoint"), real(*a)))
    saver = make(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    saver.save(snap(1), wait=True)
    assert order == ["metrics.jsonl", "checkpoint"]


def test_without_a_directory_nothing_is_saved():
    saver = CheckpointManager(CONFIG, None, {})
    saver.save(snap(1), wait=True)
    assert not saver.due(5, 3.0)
    assert saver.has(1)
    saver.close()


def test_what_is_frozen_stays_as_it_was():
    x, key = np.zeros(3), jax.random.key(1)
    tree = to_host_copy({"a": x, "b": jax.numpy.arange(3), "key": key})
    x[:] = 9
    assert tree["a"].tolist() == [0, 0, 0]
    assert isinstance(tree["b"], np.ndarray)
    assert tree["key"] is key


def test_what_a_killed_process_left_behind_is_cleared_away_when_a_run_begins(tmp_path):
    make(tmp_path).save(snap(1), wait=True)
    folder = tmp_path / "checkpoints"
    (folder / ".new-step-000000000200").mkdir()
    (folder / "step-000000000100").rename(folder / ".old-step-000000000100")
    make(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["step-000000000100"]


def test_which_evaluation_is_the_best_does_not_depend_on_how_fast_the_disk_is(tmp_path, slow):
    saver = make(tmp_path)
    saver.save(snap(1, 5.0))
    threading.Timer(0.2, slow.set).start()
    assert not saver.due(2, 4.0)
    assert saver.due(2, 6.0)
    saver.close()


def test_a_checkpoint_that_someone_holds_on_to_is_no_failed_save(tmp_path, monkeypatch):
    """On NFS a folder of which a file is open cannot be removed."""
    real = module.shutil.rmtree

    def held(path, ignore_errors=False):
        if Path(path).name.startswith(".new-") and not ignore_errors:
            raise OSError(16, "Device or resource busy")
        real(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(module.shutil, "rmtree", held)
    saver = make(tmp_path)
    for update in range(1, 8):
        saver.save(snap(update), wait=True)
        assert saver.has(update)
    saver.close()


def test_no_thread_is_left(tmp_path):
    before = set(threading.enumerate())  # of which some may end meanwhile
    saver = make(tmp_path)
    for update in range(1, 4):
        saver.save(snap(update))
        time.sleep(0.01)
    saver.close()
    assert set(threading.enumerate()) <= before
    assert Path(tmp_path / "checkpoints").exists()
