import json
import socket
import urllib.request

import pytest

import proximax
from proximax.errors import DependencyError, StorageError, UsageError
from proximax.web import server
from proximax.web.server import open_port, shown_host, watch, watch_run
from tests.support.saved_runs import TINY, saved
from tests.support.watched_runs import watched_run


def get(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


@pytest.mark.fault(40)
def test_where_a_port_is_taken_the_next_free_one_is_used_and_named(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with watch(tmp_path, port=port, in_thread=True) as watcher:
            assert repr(watcher) == f"Watcher({watcher.address})"
            assert port < watcher.port <= port + server.TRIES
            err = capsys.readouterr().err
            assert f"port {port} is taken; using {watcher.port}" in err
            assert watcher.address in err


def test_no_port_at_all_and_no_such_host(monkeypatch):
    monkeypatch.setattr(server, "TRIES", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StorageError, match="no port"):
            open_port("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match="no address"):
        open_port("no-such-host.invalid", 0)


@pytest.mark.fault(40)
def test_another_host_without_a_token_is_refused():
    with pytest.raises(UsageError, match="--token"):
        watch("runs", host="0.0.0.0", port=0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"port": -1}, "port"), ({"port": 70000}, "port"), ({"host": 3}, "host"), ({"token": None}, "token")],
)
def test_arguments_that_make_no_sense_are_refused(arguments, text):
    with pytest.raises(UsageError, match=text):
        watch("runs", **arguments)
    with pytest.raises(UsageError, match="runs"):
        watch(3)


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "starlette", None)
    with pytest.raises(DependencyError, match=r'pip install "proximax\[watch\]"'):
        watch("runs", port=0)


@pytest.fixture
def any_port(monkeypatch):
    """The page of this program is made anew, at a free port, and closed."""
    pages = []
    monkeypatch.setattr(server, "_of_this_program", pages)
    monkeypatch.setattr(server.watch, "__kwdefaults__", {**server.watch.__kwdefaults__, "port": 0})
    yield pages
    for page in pages:
        page.close()


def test_the_runs_that_a_program_trains_are_on_one_page(tmp_path, any_port, capsys, monkeypatch):
    monkeypatch.setattr(server, "CAN_PASS_SOCKETS", False)  # a thread, as on Windows
    first = watch_run(watched_run(tmp_path / "a"))
    assert watch_run(watched_run(tmp_path / "b")) is first
    assert capsys.readouterr().err.count(first.address) == 2
    listed = get(f"{first.address}api/runs")
    assert '"name":"a"' in listed
    assert '"name":"b"' in listed
    first.close()
    assert watch_run(tmp_path / "a") is not first


@pytest.mark.slow
def test_training_is_the_same_while_it_is_watched(tmp_path, any_port, capsys):
    looks = []

    def look(rows):
        if any_port:
            (run,) = json.loads(get(f"{any_port[0].address}api/runs"))["runs"]
            looks.append(json.loads(get(f"{any_port[0].address}api/runs/{run['id']}")))

    alone, watched = (
        proximax.train("probe:choice", out=tmp_path / name, watch=name == "watched", callbacks=[look], seeds=2, **TINY)
        for name in ("alone", "watched")
    )
    assert "watch at http://127.0.0.1:" in capsys.readouterr().err
    assert len(looks) == 6
    assert looks[-1]["state"] == "training"
    assert looks[-1]["updates"] >= 1
    assert saved(alone.directory) == saved(watched.directory)


def test_addresses_that_stand_for_all_are_shown_by_the_name_of_the_machine():
    assert shown_host("::1") == "[::1]"
    assert shown_host("0.0.0.0") == socket.gethostname()
    assert shown_host("127.0.0.1") == "127.0.0.1"


def test_training_with_watch_needs_a_directory():
    with pytest.raises(UsageError, match="watch: its files are in the run directory"):
        proximax.train("probe:choice", watch=True)
