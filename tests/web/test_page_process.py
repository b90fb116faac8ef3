"""The page in a process of its own, which leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from proximax.web import page_process
from proximax.web.page_process import PageProcess
from proximax.web.server import open_port, watch
from tests.support import ROOT
from tests.support.watched_runs import watched_run

READS = "import sys; sys.stdin.read()"  # in the place of the page: ends with its parent
WATCHED = """
import sys
import proximax
watcher = proximax.watch(sys.argv[1], port=0)
print(watcher._page.pid, flush=True)
sys.stdin.read()
"""


def get(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read().decode()


@pytest.fixture
def other_page(tmp_path, monkeypatch):
    """What the process runs is another program: one that is there at once."""

    def put(program):
        script = tmp_path / "page.py"
        script.write_text(program)
        monkeypatch.setattr(page_process.page_main, "__file__", str(script))
        return PageProcess([tmp_path], open_port("127.0.0.1", 0), "127.0.0.1", "")

    return put


def test_it_is_told_what_to_serve_by_a_pipe_and_nothing_else(tmp_path, monkeypatch):
    started = {}

    class Started:
        returncode = 0

        def __init__(self, line, stdin, pass_fds, env, **how):
            started.update(line=line, lines=os.fdopen(os.dup(stdin)), pass_fds=pass_fds, env=env, how=how)

        def poll(self):
            return None

        def wait(self, seconds=None):
            return 0

    monkeypatch.setattr(subprocess, "Popen", Started)
    listener = open_port("127.0.0.1", 0)
    number = listener.fileno()
    page = PageProcess([Path("runs")], listener, "127.0.0.1", "a token of the page")
    monkeypatch.chdir(tmp_path)
    page.add(Path("more"))
    page.close()
    job, folder = map(json.loads, started["lines"])  # they end: nobody else can write there
    assert (job["folders"], job["host"], job["token"]) == (["runs"], "127.0.0.1", "a token of the page")
    assert (job["listener"], started["pass_fds"], listener.fileno()) == (number, [number], -1)
    assert folder == str(tmp_path / "more")
    assert "token" not in " ".join(started["line"])  # which others see
    assert started["env"]["JAX_PLATFORMS"] == "cpu"  # no memory of a device
    assert started["how"]["start_new_session"]


@pytest.mark.process
def test_it_ends_when_it_is_closed_and_is_told_what_to_serve_by_a_pipe(other_page, tmp_path):
    page = other_page(f"import sys; open({str(tmp_path / 'read')!r}, 'w').write(sys.stdin.read())")
    assert page.alive
    page.add(tmp_path / "more")
    page.close()
    page.close()
    assert not page.alive
    assert page._process.returncode == 0
    first, second = (tmp_path / "read").read_text().splitlines()
    assert '"host": "127.0.0.1"' in first
    assert second == f'"{tmp_path / "more"}"'


@pytest.mark.process
def test_no_ctrl_c_of_the_terminal_reaches_it(other_page):
    page = other_page(READS)
    assert os.getsid(page.pid) != os.getsid(0)
    page.close()


@pytest.mark.process
def test_one_that_does_not_end_in_time_is_killed(other_page, monkeypatch):
    monkeypatch.setattr(page_process, "END_S", 0.01)
    page = other_page("import signal; signal.pause()")
    page.close()
    assert page._process.returncode == -signal.SIGKILL


@pytest.mark.process
def test_one_that_was_ended_by_somebody_takes_no_more(other_page, tmp_path):
    page = other_page("")
    page.wait()
    page.add(tmp_path)
    assert not page.alive
    page.close()


@pytest.mark.process
def test_a_forked_child_does_not_end_it(other_page, monkeypatch):
    page = other_page(READS)
    owner = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: owner + 1)
    page.close()
    monkeypatch.undo()
    assert page.alive
    page.close()


@pytest.mark.process
def test_a_page_is_served_until_it_is_closed(tmp_path, capsys):
    watched_run(tmp_path / "runs" / "a")
    with watch(tmp_path / "runs", port=0) as watcher:
        assert watcher.address in capsys.readouterr().err
        watcher.add(watched_run(tmp_path / "b"))
        assert "<title>proximax</title>" in get(watcher.address)
        assert '"name":"a"' in get(f"{watcher.address}api/runs")
        assert os.getpriority(os.PRIO_PROCESS, watcher._page.pid) > os.getpriority(os.PRIO_PROCESS, 0)
    with pytest.raises(urllib.error.URLError):
        get(watcher.address)


@pytest.mark.process
def test_nothing_is_left_of_a_program_that_is_killed(tmp_path):
    program = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    pid = int(program.stdout.readline())
    assert program.stderr.readline().startswith("proximax: watch at http://127.0.0.1:")
    os.kill(pid, 0)
    program.kill()
    assert program.stderr.read() == ""  # which the page has, too: read to its end, all who have it have ended
    program.communicate()
