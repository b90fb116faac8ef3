"""What is seen of a process from outside: its progress, its work, how it ends."""

import os
import signal
import subprocess
import sys

import pytest

from proximax.distributed import child as module
from proximax.distributed.child import (
    LONGEST_SECONDS,
    PROGRESS,
    STUCK_SECONDS,
    Child,
    Signs,
    cpu_seconds,
    mark_progress,
)
from tests.support import ROOT

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_progress_is_a_file_that_somebody_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv(PROGRESS, raising=False)
    mark_progress(1)
    monkeypatch.setenv(PROGRESS, str(tmp_path / "progress"))
    mark_progress(7)
    assert (tmp_path / "progress").read_text() == "7\n"
    monkeypatch.setenv(PROGRESS, str(tmp_path / "missing" / "progress"))
    mark_progress(8)


def test_a_process_without_progress_and_without_work_is_stuck():
    signs = Signs(0.0)
    signs.look(0.5, 0, 5.0)
    signs.look(1.0, 1, 5.0)
    signs.look(STUCK_SECONDS, 1, 5.0)
    assert signs.stuck_for(STUCK_SECONDS) is None
    signs.look(STUCK_SECONDS + 2, 1, 5.0)
    assert signs.stuck_for(STUCK_SECONDS + 2) == STUCK_SECONDS + 1
    signs.look(STUCK_SECONDS + 3, 2, 5.0)
    assert signs.stuck_for(STUCK_SECONDS + 3) is None


def test_until_its_first_update_is_done_a_process_may_wait_for_one_that_compiles():
    signs = Signs(0.0)
    signs.look(1.0, 0, 5.0)
    signs.look(LONGEST_SECONDS, 0, 5.0)
    assert signs.stuck_for(LONGEST_SECONDS) is None
    assert signs.stuck_for(LONGEST_SECONDS + 2) == LONGEST_SECONDS + 1


def test_work_is_a_sign_of_life_but_not_forever():
    signs = Signs(0.0)
    for second in range(int(LONGEST_SECONDS) + 1):
        signs.look(float(second), None, 0.5 * second)
        assert signs.stuck_for(float(second)) is None
    assert signs.stuck_for(LONGEST_SECONDS + 1) is not None


def test_a_slow_training_is_given_more_time():
    signs = Signs(0.0)
    signs.look(1.0, 1, 0.0)
    signs.look(31.0, 2, 0.0)  # 30 s for an update
    signs.look(151.0, 2, 0.0)
    assert signs.stuck_for(151.0) is None
    assert signs.stuck_for(182.0) == 151.0


def test_where_work_cannot_be_seen_only_progress_counts():
    signs = Signs(0.0)
    signs.look(LONGEST_SECONDS, None, None)
    assert signs.stuck_for(LONGEST_SECONDS) is None
    assert signs.stuck_for(LONGEST_SECONDS + 1) is not None


def test_processor_time_of_a_process_and_of_its_session(tmp_path):
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, session in (10, 10), (11, 10), (12, 12):
        (tmp_path / str(pid)).mkdir()
        fields = ["S", "1", "1", str(session), *"0000000", str(3 * ticks), str(ticks), "0"]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a name) with) {' '.join(fields)}\n")
    assert cpu_seconds(10, False, tmp_path) == 4.0
    assert cpu_seconds(10, True, tmp_path) == 8.0
    assert cpu_seconds(99, False, tmp_path) is None


@LINUX
@pytest.mark.process
def test_a_child_whose_parent_has_ended_ends(tmp_path):
    script = "from proximax.distributed.child import end_with_parent; end_with_parent(); print('alive')"
    for parent, code in (str(os.getpid()), 0), ("1", 1):
        variables = {**os.environ, module.PARENT: parent}
        assert subprocess.run([sys.executable, "-c", script], env=variables, cwd=ROOT).returncode == code
    module.end_with_parent()  # nobody watches: nothing


@LINUX
@pytest.mark.process
def test_a_child_has_its_output_in_a_file_and_ends_with_what_it_started(tmp_path):
    script = "import os, subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True)\n"
    script += f"open(os.environ['{PROGRESS}'], 'w').write('3'); time.sleep(60)"
    child = Child([sys.executable, "-c", script], 1, {}, tmp_path)
    try:
        while child.updates != "3":
            assert child.process.poll() is None
            assert child.stuck_for() is None
        child.signal(signal.SIGSTOP)  # no stopped process survives either
    finally:
        child.kill()
    assert child.process.returncode == -signal.SIGKILL
    assert module.cpu_seconds(int(child.excerpt), False) in (None, 0.0)  # ended, or about to
