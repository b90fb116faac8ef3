"""Two machines, played by two network namespaces: delay, loss, a connection that comes back and one that does not."""

import signal
import subprocess
import time
import uuid

import pytest

from tests.support.marked_runs import TRAIN, MarkedRun
from tests.support.saved_runs import saved

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.slow]
ADDRESSES = "10.213.7.1", "10.213.7.2"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture
def machines(program):
    """The names of two namespaces, each of which reaches the other by the device ``wire``."""
    program("ip")
    names = [f"px-{uuid.uuid4().hex[:8]}-{number}" for number in range(2)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "wire", "netns", names[0], "type", "veth", "peer", "name", "wire", "netns", names[1])
        for name, address in zip(names, ADDRESSES):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def start(machines, tmp_path):
    """Starts two processes, one on each machine, which share a folder."""

    def begin(*more):
        line = " ".join([TRAIN.format(shards=2), *more])
        place = {"PROXIMAX_SIZE": "2", "PROXIMAX_COORDINATOR": f"{ADDRESSES[0]}:23456", "PROXIMAX_LOCAL_SIZE": "1"}
        return [
            MarkedRun(tmp_path, line, ("ip", "netns", "exec", name), **place, PROXIMAX_RANK=str(rank))
            for rank, name in enumerate(machines)
        ]

    return begin


def connect(machines, up):
    """Cut the connection, or mend it; the addresses stay."""
    ip("-n", machines[1], "link", "set", "wire", "up" if up else "down")


def disturb(machines, program, *what):
    for name in machines:
        subprocess.run(
            ["ip", "netns", "exec", name, program("tc"), "qdisc", "replace", "dev", "wire", "root", "netem", *what],
            check=True,
        )


def test_delay_and_loss_change_no_bit(start, machines, program, undisturbed, tmp_path):
    disturb(machines, program, "delay", "2ms", "1ms", "loss", "1%")
    for run in start():
        run.finish(240).fine()
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_connection_that_comes_back_changes_no_bit(start, machines, undisturbed, tmp_path):
    runs = start()
    runs[0].wait(runs[0].saved)
    connect(machines, up=False)
    time.sleep(4)
    connect(machines, up=True)
    for run in runs:
        run.finish(120).fine()
    assert saved(tmp_path / "run") == undisturbed(2)


def test_a_connection_that_is_lost_ends_both_and_the_run_goes_on(start, machines, undisturbed, tmp_path):
    runs = start()
    runs[0].wait(runs[0].saved)
    connect(machines, up=False)
    began = time.monotonic()
    codes = [run.finish(60).code for run in runs]
    assert time.monotonic() - began < 60
    assert set(codes) <= {8, -signal.SIGABRT}
    connect(machines, up=True)
    for run in start("--resume auto"):
        run.finish().fine()
    assert saved(tmp_path / "run") == undisturbed(2)
