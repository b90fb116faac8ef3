"""Start the processes of a training on this machine, watch over them, and start them again from the last checkpoint."""

import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from proximax.distributed.child import Child
from proximax.distributed.place import COORDINATOR, LOOPBACK
from proximax.errors import DistributedError
from proximax.runtime import write_stderr

FAILURES = 3  # without a new checkpoint between them: the training is given up
POLL_SECONDS = 0.2
LOOK_SECONDS = 1.0  # between two looks at the progress
GRACE_SECONDS = 2.0  # in which the others may say why they ended, too
SAVE_SECONDS = 25.0  # for saving, after a signal
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = tuple(128 + number for number in SIGNALS)  # exit codes of a process that saved and ended


class Ending(NamedTuple):
    """How the processes of one start ended."""

    code: int
    text: str = ""  # what went wrong
    again: bool = False  # whether another start may help


class Launch(NamedTuple):
    """What to start: ``size`` processes of ``command``, and of ``again`` after a failure.

    ``checkpoint``: the name of the newest checkpoint, "" for none. ``resume``: the command for the user. ``sizes``: of
    Ray, the numbers of processes that will do, the smallest first; empty: ``size`` alone.
    """

    command: Sequence[str]
    again: Sequence[str]
    size: int
    checkpoint: Callable[[], str]
    resume: str
    sizes: Sequence[int] = ()


def supervise(launch: Launch) -> int:
    """Train until the processes end by themselves; returns their exit code.

    Raises ``DistributedError`` after ``FAILURES`` failures without a new checkpoint.
    """
    failures, before, command = 0, launch.checkpoint(), launch.command
    with tempfile.TemporaryDirectory(prefix="proximax-") as folder, passed_on_signals() as caught:
        while True:
            ending = run_once(command, launch.size, Path(folder), caught)
            if not ending.again or caught:
                return ending.code
            checkpoint = launch.checkpoint()
            failures = failures + 1 if checkpoint == before else 1
            before, command = checkpoint, launch.again
            if failures >= FAILURES:
                raise given_up(launch, f"{ending.text}. Given up after {failures} failures without a new checkpoint")
            write_stderr(f"proximax: warning: {ending.text}; starting again, {newest_text(checkpoint)}")


def given_up(launch: Launch, text: str) -> DistributedError:
    """The end of a training that cannot continue: why, what is saved, and how to resume it."""
    return DistributedError(f"{text}; {newest_text(launch.checkpoint())}. next: {launch.resume}")


def newest_text(checkpoint: str) -> str:
    """Which checkpoint there is."""
    return f"the newest checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint"


def run_once(command: Sequence[str], size: int, folder: Path, caught: list[int]) -> Ending:
    """Start the processes and wait for them; none of them is left at the end."""
    place = {"PROXIMAX_SIZE": str(size), "PROXIMAX_LOCAL_SIZE": str(size), COORDINATOR: f"{LOOPBACK}:{free_port()}"}
    children: list[Child] = []
    try:
        for rank in range(size):
            own = {"PROXIMAX_RANK": str(rank), "PROXIMAX_LOCAL_RANK": str(rank)}
            children.append(Child(command, rank, place | own, folder))
        return watch(children, caught)
    finally:
        for child in children:
            child.kill()


def watch(children: Sequence[Child], caught: list[int]) -> Ending:
    """Wait until all have ended, one has failed or is stuck, or a signal has been answered."""
    looked = told = time.monotonic()
    passed = 0
    while True:
        codes = [child.process.poll() for child in children]
        if all(code == 0 for code in codes):
            return Ending(0)
        if any(codes):
            return failed(children)
        now = time.monotonic()
        if len(caught) > passed:
            for child in children:
                child.signal(caught[-1])
            passed, told = len(caught), now
        if passed and now - told > SAVE_SECONDS:
            return Ending(128 + caught[-1], "the processes did not end in time")
        if now - looked >= LOOK_SECONDS and not passed:
            looked = now
            if stuck := stuck_text(children):
                return Ending(DistributedError.code, stuck, again=True)
        time.sleep(POLL_SECONDS)


def stuck_text(children: Sequence[Child]) -> str:
    """Which processes make no progress; "" where all do."""
    running = [child for child in children if child.process.poll() is None]
    idle = [(child, seconds) for child in running if (seconds := child.stuck_for()) is not None]
    return "; ".join(f"rank {child.rank} is stuck: no progress for {seconds:.0f} s" for child, seconds in idle)


def failed(children: Sequence[Child]) -> Ending:
    """What it means that a process has failed: the others end for the same reason, or because of it."""
    until = time.monotonic() + GRACE_SECONDS
    while any(child.process.poll() is None for child in children) and time.monotonic() < until:
        time.sleep(POLL_SECONDS / 2)
    ended = [(child, code) for child in children if (code := child.process.poll())]
    own = [(child, code) for child, code in ended if code > 0 and code not in (DistributedError.code, *STOPPED)]
    killed = [(child, code) for child, code in ended if code < 0 and code != -signal.SIGABRT]  # as JAX ends the others
    child, code = (own or killed or ended)[0]
    if own and child.rank:  # of rank 0 it is on the screen
        write_stderr(f"proximax: of rank {child.rank}:\n{child.excerpt}")
    return Ending(code if code > 0 else 128 - code, killed_text(child, code), again=not own)


def killed_text(child: Child, code: int) -> str:
    """How a process ended."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"rank {child.rank} {how} after {child.updates} updates"


@contextmanager
def passed_on_signals() -> Iterator[list[int]]:
    """The numbers of the signals that came, which are for the processes: this one only passes them on."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda number, _: caught.append(number)) for number in SIGNALS}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port(address: str = LOOPBACK) -> int:
    """A port of this address of this machine that nobody uses now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        return int(server.getsockname()[1])


def this_program(arguments: Sequence[str]) -> list[str]:
    """The command that runs ``proximax`` with these arguments in another process."""
    return [sys.executable, "-m", "proximax", *arguments]
