"""``proximax train --launch``: the same command in several processes, started and watched over from here."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from proximax.cli.commands import Train
from proximax.config import RunConfig
from proximax.distributed import (
    PROGRESS,
    Launch,
    end_with_parent,
    find_place,
    supervise,
    supervise_with_ray,
    this_program,
)
from proximax.errors import StorageError, UsageError
from proximax.runs import checkpoint_names
from proximax.runtime import plural, usable_cores, write_stderr

HOLDS_RUN = ("config.json", "checkpoints")


def is_launcher(command: Train) -> bool:
    """Whether this process only starts others: not where it is one of those itself."""
    if command.launch is None:
        given = [name for name in ("workers", "address") if getattr(command, name) is not None]
        if given:
            raise UsageError(f"--{given[0]}: goes with --launch")
        return False
    if PROGRESS in os.environ:
        end_with_parent()
        return False
    if find_place(os.environ, os.getppid()) is not None:
        raise UsageError("--launch: mpirun, srun or PROXIMAX_SIZE has started this process as one of several already")
    return True


def launch(command: Train, arguments: Sequence[str], config: RunConfig, out: Path) -> int:
    """Train ``config`` in several processes of ``arguments``, which are ``command``'s; returns the exit code."""
    if command.address is not None and command.launch != "ray":
        raise UsageError("--address: goes with --launch ray")
    if command.launch == "ray" and not command.resume and any((out / name).exists() for name in HOLDS_RUN):
        raise StorageError(f"{out} already holds a run: choose another --out, or resume it: --resume {out}")
    sizes = numbers_of_workers(command.workers, config.shards)
    if len(sizes) > 1 and command.launch != "ray":
        raise UsageError(f"--workers {command.workers}: from so many to so many goes with --launch ray")
    size = sizes[-1]
    named = [*arguments, *(() if command.out or command.resumed_run else ("--out", str(out)))]
    again = [*named, *(() if command.resume else ("--resume", "auto"))]
    write_stderr(f"proximax: note: starting {size} process{'es' if size > 1 else ''} that train in {out}")
    order = Launch(
        command=this_program(named),
        again=this_program(again),
        size=size,
        checkpoint=lambda: newest_checkpoint(out),
        resume=shlex.join(["proximax", *again]),
        sizes=sizes,
    )
    return supervise_with_ray(order, command.address) if command.launch == "ray" else supervise(order)


def newest_checkpoint(out: Path) -> str:
    """The path of the newest checkpoint of a run; "" where there is none."""
    names = checkpoint_names(out / "checkpoints")
    return str(out / "checkpoints" / names[0]) if names else ""


def numbers_of_workers(workers: str | None, shards: int) -> list[int]:
    """The numbers of processes that ``--workers`` allows, in order: K, or those from MIN-MAX that share the shards.

    Without it the largest number that has a core each and shares the shards evenly.
    """
    if workers is None:
        return [max(number for number in range(1, min(len(usable_cores()), shards) + 1) if shards % number == 0)]
    given = re.fullmatch(r"([1-9]\d{0,5})(?:-([1-9]\d{0,5}))?", workers)
    least, most = (int(given[1]), int(given[2] or given[1])) if given else (0, 0)
    if not 0 < least <= most or shards % least or shards % most:
        raise UsageError(
            f"--workers {workers}: a number, or MIN-MAX, each of which must share {plural(shards, 'shard')} evenly; "
            "--shards sets their number"
        )
    return [number for number in range(least, most + 1) if shards % number == 0]
