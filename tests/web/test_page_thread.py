"""The page in a thread of this process."""

import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from proximax.web.server import watch
from tests.support.watched_runs import watched_run


def get(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def test_runs_are_added_until_it_is_closed(tmp_path):
    watched_run(tmp_path / "runs" / "a")
    with watch(tmp_path / "runs", port=0, quiet=True, in_thread=True) as watcher:
        assert watcher.alive
        watcher.add(watched_run(tmp_path / "b"))
        listed = get(f"{watcher.address}api/runs")
        assert '"name":"a"' in listed
        assert '"name":"b"' in listed
    assert not watcher.alive
    with pytest.raises(urllib.error.URLError):
        get(watcher.address)


@pytest.mark.process
def test_after_ctrl_c_the_server_ends_before_its_socket_is_closed(tmp_path, monkeypatch):
    faults = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    with watch(tmp_path, port=0, quiet=True, in_thread=True) as watcher:
        get(watcher.address)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            watcher.wait()
    while watcher._page._thread.ident in sys._current_frames():  # whatever Python thinks of it
        time.sleep(0.01)
    assert faults == []
