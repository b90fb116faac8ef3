import json
import os
import socket
import subprocess
import sys
import time

import pytest

from proximax.web.run_list import RunList
from proximax.web.run_view import RunView, holder_is_alive, rows_at_end
from tests.support.watched_runs import row, text, watched_run


def view_of(path):
    (found,) = RunList([path]).runs().values()
    return RunView(found)


def looked_at(path):
    view = view_of(path)
    view.read_on(float("inf"))
    return view.details()


def test_a_run_under_way(tmp_path):
    run = watched_run(tmp_path / "a", ppo={"target_kl": 0.02})
    summary = view_of(run).summary()
    assert (summary["state"], summary["env"], summary["algo"], summary["seeds"]) == (
        "training",
        "CartPole-v1",
        "clip",
        2,
    )
    assert (summary["steps"], summary["planned"], summary["training_return"]) == (500, 1000, 50.5)
    assert summary["final_return"] is None
    assert summary["limits"] == {"epsilon": 0.2, "kl": 0.02, "stop_at_return": None}
    os.utime(run / "metrics.jsonl", (1, 1))
    assert view_of(run).summary()["state"] == "stopped"


def test_a_run_that_ended_well_or_badly(tmp_path):
    finished = view_of(watched_run(tmp_path / "a", finished=True)).summary()
    assert (finished["state"], finished["final_return"]) == ("finished", 50.5)
    failed = watched_run(tmp_path / "b")
    (failed / "error.log").write_text("Traceback\nEnvError: <b>the simulator</b> died\n")
    summary = view_of(failed).summary()
    assert (summary["state"], summary["fault"]) == ("failed", "EnvError: <b>the simulator</b> died")


def test_what_the_page_shows_of_one_run(tmp_path):
    run = watched_run(tmp_path / "a", finished=True, ppo={"epsilon": 0.3})
    evaluations = [{"update": 2, "seed": s, "steps": 200, "return_mean": 10.0 + s, "episodes": 5} for s in (0, 1)]
    (run / "evaluations.jsonl").write_text(text(evaluations) + '{"update":')
    (run / "videos").mkdir()
    (run / "videos" / "1.mp4").write_bytes(b"x")
    details = looked_at(run)
    assert details["complete"]
    assert (details["updates"], details["planned_updates"]) == (5, 10)
    assert details["findings"] == []
    assert details["evaluations"] == [
        {"update": 2, "steps": 200, "mean": 10.5, "low": 10, "high": 11, "episodes": 5, "seeds": 2}
    ]
    assert details["result"]["return_ci95"] == [49, 52]
    assert [video["name"] for video in details["videos"]] == ["1.mp4"]
    assert sum(details["ratios"]["latest"]) == 6
    assert sum(details["ratios"]["shares"][0]) == pytest.approx(1, abs=1e-4)
    settings = {setting["name"]: setting for setting in details["settings"]}
    assert settings["ppo.epsilon"] == {"name": "ppo.epsilon", "value": "0.3", "changed": True}
    assert not settings["ppo.gamma"]["changed"]


def test_the_doctor_looks_at_what_was_read(tmp_path):
    run = watched_run(tmp_path / "a", seeds=1)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(text([row(6, finite=0.0)]))
    (finding,) = looked_at(run)["findings"]
    assert (finding["name"], finding["severity"], finding["seeds"]) == ("not-finite", "error", 1)
    assert finding["evidence"][0]["text"].startswith("update 6")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", '{"env": "x", "seeds": 1e999}'),
        ("config.json", '{"__class__": "os.system"}'),
        ("result.json", "[]"),
        ("result.json", '{"return_mean": "<script>alert(1)</script>"}'),
        ("evaluations.jsonl", "x\n" * 1000),
        ("error.log", "\0\x1b[31m"),
        (".lock", "x" * 5000),
    ],
)
def test_files_that_a_stranger_made_are_harmless(tmp_path, name, content):
    run = watched_run(tmp_path / "a")
    (run / name).write_text(content)
    details = looked_at(run)
    assert details["state"] == ("unreadable" if name == "config.json" else details["state"])
    assert json.loads(json.dumps(details, allow_nan=False))
    assert details.get("final_return") is None


def test_links_and_pipes_in_the_place_of_files_are_not_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text('{"return_mean": 1234.5}')
    run = watched_run(tmp_path / "a")
    (run / "result.json").symlink_to(secret)
    (run / "error.log").symlink_to(secret)
    os.mkfifo(run / "evaluations.jsonl")
    details = looked_at(run)
    assert "1234" not in json.dumps(details)
    (run / "config.json").unlink()
    (run / "config.json").symlink_to(secret)
    (run / "checkpoints").mkdir()
    assert "symbolic link" in looked_at(run)["fault"]


def test_a_run_that_was_replaced_by_a_link_is_not_read(tmp_path):
    run = watched_run(tmp_path / "runs" / "a")
    view = view_of(run)
    run.rename(tmp_path / "moved")
    run.symlink_to(watched_run(tmp_path / "other", updates=9))
    view.read_on(float("inf"))
    assert view.reader.rows == 0


def test_the_end_of_a_log_is_read_without_its_first_half_row(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert rows_at_end(path, 100) == []
    path.write_text(text([row(u) for u in range(1, 50)]))
    assert [x["update"] for x in rows_at_end(path, len(text([row(48), row(49)])) + 5)] == [48, 49]


def test_the_holder_of_a_lock(tmp_path):
    lock = tmp_path / ".lock"
    assert holder_is_alive(lock) is None
    lock.write_text(f"{socket.gethostname()} {os.getpid()}\n")
    assert holder_is_alive(lock) is True
    lock.write_text(f"another-machine {os.getpid()}\n")
    assert holder_is_alive(lock) is None
    for number in ("0", "1", "-1", "x", "9" * 30):
        lock.write_text(f"{socket.gethostname()} {number}\n")
        assert holder_is_alive(lock) is None


@pytest.mark.process
def test_the_holder_of_a_lock_that_has_ended(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lock = tmp_path / ".lock"
    lock.write_text(f"{socket.gethostname()} {ended.pid}\n")
    assert holder_is_alive(lock) is False


def test_metrics_that_were_just_read_are_not_looked_at_again(tmp_path, monkeypatch):
    run = watched_run(tmp_path / "a", seeds=1)
    view = view_of(run)
    assert view.read_on(float("inf"))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(text([row(6)]))
    assert view.read_on(float("inf"))
    assert view.reader.rows == 5
    monkeypatch.setattr("proximax.web.run_view.FRESH_S", -1.0)
    assert view.read_on(time.monotonic() + 9)
    assert view.reader.rows == 6
