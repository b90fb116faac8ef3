"""A worker of Ray: it starts the process of its rank and watches over it. An error of it lets Ray start all again."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from proximax.distributed.board import ERR, OUT, WARNING
from proximax.distributed.child import Child
from proximax.distributed.place import COORDINATOR
from proximax.distributed.supervisor import LOOK_SECONDS, POLL_SECONDS, STOPPED, free_port, killed_text
from proximax.errors import DistributedError

Answer = tuple[int | None, int]  # of Board.ask


def watch_one_rank(config: Mapping[str, Any]) -> None:
    """Start the process of this worker's rank and wait for it.

    ``config``: the command, its variables and folder, the board, and ``sizes``, the numbers of processes that share the
    shards evenly: where Ray has more workers, the last ones have nothing to do.
    """
    import ray
    from ray.train import collective, get_context

    board, context = config["board"], get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    code, signalled = ray.get((board.ask if rank else board.begin).remote())
    if code is not None or signalled:  # starting again would not help, or is not wanted
        return
    host = ray.util.get_node_ip_address()
    coordinator = collective.broadcast_from_rank_zero(f"{host}:{free_port(host)}")
    size = processes_of(world, config["sizes"])
    if rank >= size:
        return
    own = {"PROXIMAX_RANK": str(rank), "PROXIMAX_SIZE": str(size), COORDINATOR: coordinator}
    if size == world:
        local = context.get_local_rank(), context.get_local_world_size()
        own |= dict(zip(("PROXIMAX_LOCAL_RANK", "PROXIMAX_LOCAL_SIZE"), map(str, local)))
    with tempfile.TemporaryDirectory(prefix="proximax-") as folder:
        variables = {**config["variables"], **own}
        child = Child(config["command"], rank, variables, Path(folder), config["folder"], shown=False)
        output = Output(child)

        def ask() -> Answer:
            output.show(board)
            return ray.get(board.ask.remote())

        try:
            code, signalled = wait_for(child, ask)
            ended = final_code(code, signalled)
            if ended is None:
                raise RuntimeError(killed_text(child, code))
            if ended and rank and not signalled:
                board.tell.remote(ERR, f"proximax: of rank {rank}:\n{child.excerpt}\n")
        except RuntimeError as error:
            ray.get(board.tell.remote(WARNING, str(error)))
            raise
        finally:
            child.kill()
            output.show(board)
        if ended:
            ray.get(board.end.remote(ended))


class Output:
    """What rank 0 says, which the command shows: it comes from the files of the process."""

    def __init__(self, child: Child) -> None:
        names = {OUT: "rank-0.out", ERR: "rank-0.log"}
        self._files = (
            {kind: (child.folder / name).open("rb") for kind, name in names.items()} if child.rank == 0 else {}
        )

    def show(self, board: Any) -> None:
        """Tell the board what is new."""
        for kind, file in self._files.items():
            if text := file.read():
                board.tell.remote(kind, text.decode(errors="replace"))


def processes_of(workers: int, sizes: Sequence[int]) -> int:
    """The largest number of processes that ``workers`` can be, of ``sizes``."""
    return max(size for size in sizes if size <= workers)


def wait_for(child: Child, ask: Callable[[], Answer]) -> tuple[int, int]:
    """(Its exit code, the signal that was passed on to it, or 0). Raises ``RuntimeError`` where it is stuck."""
    looked, passed = time.monotonic(), 0
    while (code := child.process.poll()) is None:
        if time.monotonic() - looked >= LOOK_SECONDS:
            looked = time.monotonic()
            if (seconds := child.stuck_for()) is not None:
                raise RuntimeError(f"rank {child.rank} is stuck: no progress for {seconds:.0f} s")
            _, number = ask()
            if number != passed:
                child.signal(number)
                passed = number
        time.sleep(POLL_SECONDS)
    return code, passed


def final_code(code: int, signalled: int) -> int | None:
    """The exit code of the training, where a process ended with ``code``; None: all should be started again."""
    if signalled:
        return 128 + signalled
    return code if code >= 0 and code not in (DistributedError.code, *STOPPED) else None
