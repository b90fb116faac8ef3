"""A run's directory: who may write to it, and what must not lie in it. Faults 29, 39, 46, 51."""

import os

import pytest

from proximax.errors import StorageError
from proximax.runs.directory import RunDirectory, is_run_name, run_name_of


def test_a_new_directory_is_locked_and_removed_if_the_run_is_refused(tmp_path):
    directory = RunDirectory(tmp_path / "a" / "run")
    with pytest.raises(StorageError, match=rf"in use by another process .*{os.getpid()}"):
        RunDirectory(tmp_path / "a" / "run")
    directory.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(39)
@pytest.mark.parametrize("place", ["metrics.jsonl", "crash", "tensorboard/seed-0/x"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_links_and_pipes_anywhere_in_a_run_are_refused_before_anything_is_written(place, kind, tmp_path):
    path = tmp_path / "run" / place
    path.parent.mkdir(parents=True)
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(tmp_path / "victim")
    with pytest.raises(StorageError, match="symbolic link" if kind == "link" else "neither a file nor a folder"):
        RunDirectory(tmp_path / "run", "auto")
    assert not (tmp_path / "victim").exists()
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.fault(29)
def test_a_copy_by_hard_links_has_a_lock_of_its_own(tmp_path):
    RunDirectory(tmp_path / "run").close()
    (tmp_path / "copy").mkdir()
    os.link(tmp_path / "run" / ".lock", tmp_path / "copy" / ".lock")
    copy, run = RunDirectory(tmp_path / "copy"), RunDirectory(tmp_path / "run")
    assert not os.path.samefile(tmp_path / "copy" / ".lock", tmp_path / "run" / ".lock")
    for path in ("copy", "run"):
        with pytest.raises(StorageError, match="in use"):
            RunDirectory(tmp_path / path)
    copy.close()
    run.close()


def test_unfinished_files_of_a_process_that_was_killed_are_removed(tmp_path):
    (tmp_path / "run").mkdir()
    left, kept = ".config.json.123-00ff00ff.tmp.json", [".config.json", ".mine.123-00ff00ff.tmp.json", "x.tmp"]
    for name in (left, *kept):
        (tmp_path / "run" / name).touch()
    RunDirectory(tmp_path / "run").close()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock", *kept}


def test_names_of_runs_are_harmless_in_paths_and_pages():
    assert all(map(is_run_name, ("a", "CartPole-v1_2.x", "x" * 100)))
    assert not any(map(is_run_name, ("", ".", "..", "a/b", "a\n", "<b>", "=x", "é", "x" * 101)))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FrozenLake-v1 (is_slippery=False, map_name=8x8)", "FrozenLake-v1-is_slippery-False-map_name-8x8"),
        ("ALE/Pong-v5", "ALE-Pong-v5"),
        ("../._x-", "x"),
        ("x" * 59 + "-y", "x" * 59),
        ("()", "run"),
    ],
)
def test_a_name_for_a_file_is_as_near_to_the_text_as_can_be(text, name):
    assert run_name_of(text) == name
    assert is_run_name(name)


@pytest.mark.fault(46)
def test_a_directory_that_was_renamed_or_replaced_is_not_written_to(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.check_in_place()
    (tmp_path / "run").rename(tmp_path / "moved")
    for _ in range(2):
        assert not directory.in_place
        with pytest.raises(StorageError, match=r"run was renamed or deleted .*--resume and its new name"):
            directory.check_in_place()
        (tmp_path / "run").mkdir(exist_ok=True)  # another one, of another run
    directory.close()


@pytest.mark.fault(51)
@pytest.mark.parametrize("resume", [False, True, "auto"])
def test_a_path_that_is_too_long_is_one_short_message(resume, tmp_path):
    with pytest.raises(StorageError, match=r"cannot write to .*\.\.\..*: File name too long") as caught:
        RunDirectory(tmp_path / ("a/" * 3000) / "b", resume)
    assert len(str(caught.value)) < 500
