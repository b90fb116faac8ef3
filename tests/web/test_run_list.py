import os

from proximax.web import run_list
from proximax.web.run_list import RunList
from tests.support.watched_runs import watched_run


def names(runs):
    return sorted(run.name for run in runs.runs().values())


def test_runs_that_start_are_renamed_and_deleted_are_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(run_list, "SECONDS", -1.0)
    runs = RunList([tmp_path / "later"])
    assert names(runs) == []
    watched_run(tmp_path / "later" / "a")
    (first,) = runs.runs().values()
    (tmp_path / "later" / "a").rename(tmp_path / "later" / "b")
    assert not first.in_place
    (renamed,) = runs.runs().values()
    assert (renamed.name, renamed.id) == ("b", first.id)
    assert renamed.in_place
    (tmp_path / "later" / "b" / "config.json").unlink()
    assert names(runs) == []


def test_a_run_that_is_named_itself_and_one_below_a_folder_are_one(tmp_path):
    run = watched_run(tmp_path / "group" / "a")
    runs = RunList([tmp_path, run])
    assert names(runs) == ["group/a"]
    other = RunList([run])
    assert names(other) == ["a"]
    assert runs.runs().keys() == other.runs().keys()
    other.add(watched_run(tmp_path / "b"))
    assert names(other) == ["a", "b"]


def test_links_below_a_folder_are_not_followed_but_the_user_may_name_one(tmp_path):
    run = watched_run(tmp_path / "real" / "a")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(run)
    half = folder / "half"
    half.mkdir()
    (half / "config.json").symlink_to(run / "config.json")
    (half / "checkpoints").symlink_to(tmp_path)
    assert names(RunList([folder])) == []
    (found,) = RunList([folder / "link"]).runs().values()
    assert found.path == run
    assert found.in_place


def test_what_is_hidden_too_deep_or_too_much_is_left_out(tmp_path, monkeypatch):
    watched_run(tmp_path / ".old" / "a")
    watched_run(tmp_path / "1" / "2" / "3" / "4" / "5")
    for name in "abc":
        watched_run(tmp_path / name)
    monkeypatch.setattr(run_list, "MAX_RUNS", 2)
    runs = RunList([tmp_path])
    assert names(runs) == ["a", "b"]
    assert runs.left_out == 1


def test_a_name_that_is_no_text_is_escaped(tmp_path):
    watched_run(os.fsdecode(os.fsencode(tmp_path) + b"/bad-\xff"))
    assert names(RunList([tmp_path])) == ["bad-\\udcff"]
