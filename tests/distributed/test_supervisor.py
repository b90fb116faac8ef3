"""Processes that end, fail or get stuck: what the supervisor makes of it. Trainings: system/test_launch.py."""

import os
import signal
import sys

import pytest

from proximax.distributed import supervisor as module
from proximax.distributed.supervisor import Launch, supervise
from proximax.errors import DistributedError

pytestmark = pytest.mark.process

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


def test_all_end_well():
    assert supervise(launch("sys.exit(0 if os.environ['PROXIMAX_SIZE'] == '2' else 1)")) == 0


def test_an_error_of_the_training_is_not_repeated(tmp_path, capfd):
    code = supervise(launch(f"pathlib.Path('{tmp_path}', str(rank)).touch(); print('why'); sys.exit(3 if rank else 8)"))
    assert code == 3
    assert "of rank 1:\nwhy" in capfd.readouterr().err


def test_a_process_that_is_killed_is_started_again_with_all_others(capfd):
    assert supervise(launch("os.kill(os.getpid(), 9) if rank else __import__('time').sleep(60)", "sys.exit(0)")) == 0
    assert "rank 1 was killed by SIGKILL after no updates; starting again, the newest" in capfd.readouterr().err


def test_given_up_after_failures_without_a_new_checkpoint(tmp_path):
    count = f"open('{tmp_path}/starts', 'a').write(str(rank)); "
    with pytest.raises(
        DistributedError, match=r"Given up after 3 failures .* is step-1. next: proximax train"
    ) as raised:
        supervise(launch(count + "sys.exit(8)"))
    assert raised.value.code == 8
    assert (tmp_path / "starts").read_text().count("0") == 3


def test_a_new_checkpoint_starts_the_count_again(tmp_path):
    names = iter(range(5))
    with pytest.raises(DistributedError, match="there is no checkpoint"):
        supervise(launch("sys.exit(8)", checkpoint=lambda: str(next(names, ""))))


def test_a_stuck_process_is_found(monkeypatch, capfd):
    monkeypatch.setattr(
        module.Child, "stuck_for", lambda child: 50.0 if child.rank and "60" in child.process.args[-1] else None
    )
    assert supervise(launch("__import__('time').sleep(60)", "sys.exit(0)")) == 0
    assert "rank 1 is stuck: no progress for 50 s; starting again" in capfd.readouterr().err


def test_a_signal_is_passed_on_and_ends_the_training():
    script = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
    script += f"rank and os.kill({os.getpid()}, {int(signal.SIGTERM)}); time.sleep(60)"
    before = signal.getsignal(signal.SIGTERM)
    assert supervise(launch(script)) == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_processes_that_do_not_end_after_a_signal_are_killed(monkeypatch):
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.2)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    script += f"os.kill({os.getpid()}, {int(signal.SIGTERM)}); time.sleep(60)"
    assert supervise(launch(script)) == 143
