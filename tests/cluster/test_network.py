"""Two machines, played by two network namespaces: delay, loss, a connection that comes back and one that does not."""

import signal
import subprocess
import sys
import time
import uuid

import pytest

from tests.support import ROOT
from tests.support.marked_runs import TRAIN, MarkedRun
from tests.support.saved_runs import saved

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.slow]
ADDRESSES = "10.213.7.1", "10.213.7.2"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture
def machines(program):
    """(The names of two namespaces that a wire connects, a function that sets its delay, jitter and loss)."""
    program("ip")
    names = [f"px-{uuid.uuid4().hex[:8]}-{number}" for number in range(2)]
    for name in names:
        ip("netns", "add", name)
    line = [sys.executable, str(ROOT / "tests" / "support" / "lossy_wire.py"), *names]
    wire = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def disturb(delay, jitter, loss):
        wire.stdin.write(f"{delay} {jitter} {loss}\n")
        wire.stdin.flush()
        assert wire.stdout.readline() == "set\n"

    try:
        assert wire.stdout.readline() == "ready\n"
        for name, address in zip(names, ADDRESSES):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names, disturb
    finally:
        wire.stdin.close()
        wire.wait(10)
        for name in names:
            ip("netns", "del", name)


@pytest.fixture
def start(machines, tmp_path):
    """Starts two processes, one on each machine, which share a folder."""
    names, _ = machines

    def begin(*more):
        line = " ".join([TRAIN.format(shards=2), *more])
        place = {"PROXIMAX_SIZE": "2", "PROXIMAX_COORDINATOR": f"{ADDRESSES[0]}:23456"}
        return [
            MarkedRun(tmp_path, line, ("ip", "netns", "exec", name), **place, PROXIMAX_RANK=str(rank))
            for rank, name in enumerate(names)
        ]

    return begin


def finish(runs, seconds=240):
    try:
        return [run.finish(seconds) for run in runs]
    finally:
        for run in runs:
            run.kill()


def test_delay_and_loss_change_no_bit(start, machines, undisturbed, tmp_path):
    machines[1](0.002, 0.001, 0.01)
    for ended in finish(start(), 400):
        ended.fine()
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_connection_that_comes_back_changes_no_bit(start, machines, undisturbed, tmp_path):
    runs = start()
    runs[0].wait(runs[0].saved)
    machines[1](0, 0, 1)
    time.sleep(2)
    machines[1](0, 0, 0)
    for ended in finish(runs):
        ended.fine()
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_connection_that_is_lost_ends_both_and_the_run_goes_on(start, machines, undisturbed, tmp_path):
    runs = start()
    runs[0].wait(runs[0].saved)
    machines[1](0, 0, 1)
    began = time.monotonic()
    codes = {ended.code for ended in finish(runs)}
    assert time.monotonic() - began < 60
    assert codes <= {8, -signal.SIGABRT}
    machines[1](0, 0, 0)
    for ended in finish(start("--resume auto")):
        ended.fine()
    assert saved(tmp_path / "run") == undisturbed(2)
