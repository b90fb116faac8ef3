"""Ctrl-C and SIGTERM: noted once, at once the second time, and nobody else's signals touched. Faults 27, 28."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from proximax.errors import Interrupted
from proximax.training import interrupts as module
from proximax.training.interrupts import Interrupts


def wait(condition):
    until = time.monotonic() + 30
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    assert condition()


def caught(interrupts):
    """Wait for the thread that reads the signals."""
    wait(lambda: interrupts.caught is not None)
    return interrupts.caught


@pytest.mark.fault(27)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_raised_between_updates_with_its_code(number, code, capfd):
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), number)
        assert caught(interrupts) == number
        with pytest.raises(Interrupted, match=f"stopped by {number.name}") as raised:
            interrupts.check()
    assert raised.value.code == code
    assert isinstance(raised.value, KeyboardInterrupt)
    assert (
        f"{number.name}: stopping after this update; press Ctrl-C again to exit immediately" in capfd.readouterr().err
    )
    assert signal.getsignal(number) is before


def test_what_was_there_before_is_there_afterwards():
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    threads = set(threading.enumerate())  # of which some may end meanwhile
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts(), Interrupts():  # a run inside a run
        assert signal.getsignal(signal.SIGINT) not in handlers
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert signal.set_wakeup_fd(wakeup) == wakeup
    wait(lambda: set(threading.enumerate()) <= threads)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            assert caught(interrupts) == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_patience_ends_with_the_run(monkeypatch):
    ended = []
    monkeypatch.setattr(module, "end", ended.append)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 3.0)
    threads = set(threading.enumerate())
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        caught(interrupts)
    wait(lambda: set(threading.enumerate()) <= threads)
    assert ended == []  # the run had ended: its process is nobody's to end
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        caught(interrupts)
        time.sleep(0.5)
    assert ended == [signal.SIGTERM]


def test_outside_the_main_thread_nothing_is_caught():
    found = []

    def work():
        with Interrupts() as interrupts:
            found.append(signal.getsignal(signal.SIGINT))
            interrupts.check()

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


TWICE = """
import os, signal, time
from proximax.training.interrupts import Interrupts
with Interrupts() as interrupts:
    os.kill(os.getpid(), signal.{0})
    while interrupts.caught is None:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.{0})
    time.sleep(60)
"""


@pytest.mark.process
@pytest.mark.fault(27)
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_the_second_signal_ends_the_process_at_once(name, code):
    ran = subprocess.run([sys.executable, "-c", TWICE.format(name)], capture_output=True, timeout=50)
    assert ran.returncode == code
