"""Processes that end, fail or get stuck: what the supervisor makes of it. Trainings: system/test_launch.py."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest

from proximax.distributed import supervisor as module
from proximax.distributed.supervisor import Launch, failed, free_port, stuck_text, supervise
from proximax.errors import DistributedError

STARTS = "import os, sys, pathlib; rank = int(os.environ['PROXIMAX_RANK']); "


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)


def launch(first, again="", checkpoint=lambda: "step-1"):
    """Two processes of a script."""
    lines = [[sys.executable, "-S", "-c", STARTS + script] for script in (first, again or first)]
    return Launch(*lines, 2, checkpoint, "proximax train --resume")


@pytest.mark.process
def test_all_end_well():
    assert supervise(launch("sys.exit(0 if os.environ['PROXIMAX_SIZE'] == '2' else 1)")) == 0


@pytest.mark.process
def test_an_error_of_the_training_is_not_repeated(tmp_path, capfd):
    code = supervise(launch(f"pathlib.Path('{tmp_path}', str(rank)).touch(); print('why'); sys.exit(3 if rank else 8)"))
    assert code == 3
    assert "of rank 1:\nwhy" in capfd.readouterr().err


@pytest.mark.process
def test_a_process_that_is_killed_is_started_again_with_all_others(capfd):
    assert supervise(launch("os.kill(os.getpid(), 9) if rank else __import__('time').sleep(60)", "sys.exit(0)")) == 0
    assert "rank 1 was killed by SIGKILL after no updates; starting again, the newest" in capfd.readouterr().err


@pytest.mark.process
def test_given_up_after_failures_without_a_new_checkpoint(tmp_path):
    count = f"open('{tmp_path}/starts', 'a').write(str(rank)); "
    with pytest.raises(
        DistributedError, match=r"Given up after 3 failures .* is step-1. next: proximax train"
    ) as raised:
        supervise(launch(count + "sys.exit(8)"))
    assert raised.value.code == 8
    assert (tmp_path / "starts").read_text().count("0") == 3


@pytest.mark.process
def test_a_new_checkpoint_starts_the_count_again(tmp_path):
    names = iter(range(5))
    with pytest.raises(DistributedError, match="there is no checkpoint"):
        supervise(launch("sys.exit(8)", checkpoint=lambda: str(next(names, ""))))


@pytest.mark.process
def test_a_stuck_process_is_found(monkeypatch, capfd):
    monkeypatch.setattr(
        module.Child, "stuck_for", lambda child: 50.0 if child.rank and "60" in child.process.args[-1] else None
    )
    assert supervise(launch("__import__('time').sleep(60)", "sys.exit(0)")) == 0
    assert "rank 1 is stuck: no progress for 50 s; starting again" in capfd.readouterr().err


@pytest.mark.process
def test_a_signal_is_passed_on_and_ends_the_training():
    script = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
    script += f"rank and os.kill({os.getpid()}, {int(signal.SIGTERM)}); time.sleep(60)"
    before = signal.getsignal(signal.SIGTERM)
    assert supervise(launch(script)) == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.process
def test_processes_that_do_not_end_after_a_signal_are_killed(monkeypatch):
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.2)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    script += f"os.kill({os.getpid()}, {int(signal.SIGTERM)}); time.sleep(60)"
    assert supervise(launch(script)) == 143


def ended(rank, code, stuck=None):
    """What stands for a process that has ended, or that runs: ``code`` None."""
    process = SimpleNamespace(poll=lambda: code)
    return SimpleNamespace(rank=rank, process=process, stuck_for=lambda: stuck, excerpt=f"why {rank}", updates=7)


@pytest.mark.parametrize(
    ("codes", "code", "text", "again"),
    [
        ((8, 3), 3, "rank 1 ended with exit code 3 after 7 updates", False),  # its own error, which the other suffers
        ((8, -9), 137, "rank 1 was killed by SIGKILL after 7 updates", True),
        ((-6, 8), 134, "rank 0 was killed by SIGABRT after 7 updates", True),  # as JAX ends those that are left
        ((-6, -11), 139, "rank 1 was killed by SIGSEGV after 7 updates", True),
        ((8, 143), 8, "rank 0 ended with exit code 8 after 7 updates", True),
    ],
)
def test_the_process_that_failed_first_is_told_from_those_that_it_took_along(codes, code, text, again, capsys):
    ending = failed([ended(rank, its) for rank, its in enumerate(codes)])
    assert ending == (code, text, again)
    assert ("why 1" in capsys.readouterr().err) == (not again)


def test_only_processes_that_run_are_stuck():
    assert (
        stuck_text([ended(0, None), ended(1, None, 49.6), ended(2, 0, 99.0)]) == "rank 1 is stuck: no progress for 50 s"
    )
    assert stuck_text([ended(0, None)]) == ""


def test_ports_are_free():
    assert 1024 <= free_port() < 65536
