import hashlib
import re
import shutil
import threading
from pathlib import Path

import pytest

import proximax.web
from proximax.web import run_list
from tests.support.ask import ask
from tests.support.watched_runs import app_of, watched_run

PAGE = Path(proximax.web.__file__).with_name("page")


@pytest.fixture
def runs(tmp_path):
    watched_run(tmp_path / "runs" / "a", finished=True)
    watched_run(tmp_path / "runs" / "b", seeds=1)
    return tmp_path / "runs"


def ids(app):
    return {run["name"]: run["id"] for run in ask(app, "/api/runs").json["runs"]}


def test_the_page_and_its_files(runs):
    app = app_of(runs)
    page = ask(app, "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.body.decode())
    assert len(files) >= 5
    for address in files:
        answer = ask(app, address)
        assert answer.status == 200
        assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
        assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.fault(39)
@pytest.mark.parametrize(
    "address",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/vendor/uPlot.min.css",
        "/static//etc/passwd",
        "/api/runs/..",
        "/api/runs/../../etc",
        "/api/runs/a",
        "/api/runs/a/videos/..",
        "/runs/a/config.json",
    ],
)
def test_no_path_of_a_browser_is_ever_opened(runs, address):
    assert ask(app_of(runs), address).status == 404


def test_the_page_that_plays_may_run_wasm_and_no_other_page(runs):
    app = app_of(runs)
    with_wasm = ask(app, "/play").headers["content-security-policy"]
    assert with_wasm.count("unsafe") == 1
    assert with_wasm.replace(" 'wasm-unsafe-eval'", "") == ask(app, "/").headers["content-security-policy"]
    for name in ("play/player.js", "play/play.css", "ort.wasm.min.mjs", "ort-wasm-simd-threaded.wasm.gz"):
        answer = ask(app, f"/static/{name}")
        assert (answer.status, "unsafe" in answer.headers["content-security-policy"]) == (200, False)


@pytest.mark.parametrize(
    ("query", "status", "part"),
    [
        ({}, 404, "holds no checkpoint"),
        ({"checkpoint": "../.."}, 400, "last or best"),
        ({"seed": "-1"}, 400, "a number"),
        ({"seed": "x"}, 400, "a number"),
    ],
)
def test_a_policy_that_is_not_there_is_refused(runs, query, status, part):
    app = app_of(runs)
    answer = ask(app, f"/api/runs/{ids(app)['a']}/policy", query=query)
    assert answer.status == status
    assert part in answer.json["error"]
    assert ask(app, f"/api/runs/{ids(app)['a']}").json["playable"] is False


def test_what_has_not_changed_is_not_sent_again(runs):
    app = app_of(runs)
    for address in ("/", "/api/about", "/api/runs", f"/api/runs/{ids(app)['a']}"):
        first = ask(app, address)
        again = ask(app, address, if_none_match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert ask(app, address, if_none_match='"other"').body == first.body


def test_curves_of_several_runs_are_on_one_grid_and_sent_once(runs):
    app = app_of(runs)
    known = ids(app)
    query = {"run": list(known.values()), "metric": ["return_last_100", "kl"], "width": 50}
    answer = ask(app, "/api/curves", query=query).json
    assert (answer["complete"], answer["axis"], answer["step"]) == (True, "steps", 16.0)
    first = answer["runs"][known["a"]]
    assert first["curves"]["return_last_100"]["index"] == [6, 12, 18, 25, 31]
    again = ask(app, "/api/curves", query=query | {"run": [f"{known['a']}.{first['tag']}", known["b"]]}).json
    assert again["runs"][known["a"]] == {"tag": first["tag"]}
    assert "curves" in again["runs"][known["b"]]
    gone = ask(app, "/api/curves", query=query | {"run": ["000000000000"]}).json
    assert gone["runs"] == {}


@pytest.mark.parametrize(
    "query",
    [
        {"metric": "password"},
        {"width": 1},
        {"width": 10**9},
        {"width": "x"},
        {"window": 0},
        {"axis": "y"},
        {"begin": "nan"},
        {"begin": 5, "end": 5},
        {"end": "nan"},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(runs, query):
    answer = ask(app_of(runs), "/api/curves", query=query)
    assert (answer.status, list(answer.json)) == (400, ["error"])


def test_runs_that_start_and_are_renamed_or_deleted(runs, monkeypatch):
    monkeypatch.setattr(run_list, "SECONDS", -1.0)
    monkeypatch.setattr("proximax.web.app.LIST_S", -1.0)
    app = app_of(runs)
    before = ids(app)
    (runs / "a").rename(runs / "z")
    watched_run(runs / "c")
    shutil.rmtree(runs / "b")
    assert ids(app).keys() == {"c", "z"}
    renamed = ask(app, f"/api/runs/{before['a']}").json
    assert (renamed["name"], renamed["updates"]) == ("z", 5)
    gone = ask(app, f"/api/runs/{before['b']}")
    assert (gone.status, list(gone.json)) == (404, ["error"])


def test_a_video_by_parts(runs):
    (runs / "a" / "videos").mkdir()
    (runs / "a" / "videos" / "1.mp4").write_bytes(b"0123456789")
    app = app_of(runs)
    run = ids(app)["a"]
    (video,) = ask(app, f"/api/runs/{run}").json["videos"]
    address = f"/api/runs/{run}/videos/{video['id']}"
    whole = ask(app, address)
    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, b"0123456789", "video/mp4")
    part = ask(app, address, range="bytes=2-4")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    beyond = ask(app, address, range="bytes=10-")
    assert (beyond.status, beyond.body, beyond.headers["content-range"]) == (416, b"", "bytes */10")
    head = ask(app, address, method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")
    assert ask(app, f"/api/runs/{run}/videos/nothing").status == 404
    (runs / "a" / "videos" / "1.mp4").unlink()
    (runs / "a" / "videos" / "1.mp4").symlink_to(runs / "a" / "config.json")
    assert ask(app, address).status == 404


def test_a_fault_of_the_server_tells_a_stranger_nothing(runs, monkeypatch, caplog):
    monkeypatch.setattr("proximax.web.app.wish_of", lambda request: 1 / 0)
    answer = ask(app_of(runs), "/api/curves")
    assert answer.status == 500
    assert b"division" not in answer.body
    assert "division by zero" in caplog.text


def test_fifty_who_look_at_once_all_get_the_same(runs, monkeypatch):
    monkeypatch.setattr("proximax.web.app.LIST_S", -1.0)  # the list is made anew for each
    app = app_of(runs)
    run = ids(app)["a"]
    answers = []

    def look():
        for _ in range(3):
            answers.append(ask(app, f"/api/runs/{run}").body)
            answers.append(ask(app, "/api/runs").body)
            answers.append(ask(app, "/api/curves", query={"run": run, "metric": "kl"}).body)

    viewers = [threading.Thread(target=look, daemon=True) for _ in range(50)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join(60)
    assert len(answers) == 450
    assert len(set(answers)) == 3


def test_nothing_is_written_by_looking(runs):
    def contents():
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in runs.rglob("*") if path.is_file()}

    before, app = contents(), app_of(runs)
    for run in ids(app).values():
        ask(app, f"/api/runs/{run}")
        ask(app, "/api/curves", query={"run": run, "metric": "kl"})
    assert contents() == before


def test_the_scripts_set_text_only_as_text_and_need_nothing_from_elsewhere():
    for path in PAGE.iterdir():
        if path.is_file():
            source = path.read_text()
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source
            ), path
            assert not re.search(r"https?://(?!www\.w3\.org)", source), path
            assert not re.search(r"""<script(?![^>]*\bsrc=)|<style|\bstyle=["']|\son\w+=["']""", source), path


def test_the_libraries_of_others_are_those_that_are_recorded():
    recorded = re.findall(r"^([0-9a-f]{64})  (\S+)$", (PAGE / "vendor" / "README.txt").read_text(), re.MULTILINE)
    found = {(hashlib.sha256(path.read_bytes()).hexdigest(), path.name) for path in (PAGE / "vendor").iterdir()}
    assert found - set(recorded) == {entry for entry in found if entry[1] == "README.txt"}
    assert len(recorded) == 7
