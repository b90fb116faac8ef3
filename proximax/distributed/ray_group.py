"""The processes of a training in a worker group of Ray Train, whose failure policy starts the group again.

Each worker of Ray watches over one process of the same command (``ray_worker``). Ray places the workers on machines,
notices when one is gone, and starts all of them again, fewer where it may. The run directory must be on a file system
that all machines share.
"""

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from proximax.distributed.board import OUT, WARNING, Board, Said
from proximax.distributed.ray_worker import watch_one_rank
from proximax.distributed.supervisor import (
    FAILURES,
    POLL_SECONDS,
    SAVE_SECONDS,
    Launch,
    given_up,
    newest_text,
    passed_on_signals,
)
from proximax.errors import DependencyError, DistributedError, Interrupted
from proximax.runtime import plural, write_stderr

CARRIED = ("PROXIMAX_", "JAX_", "XLA_", "PYTHONPATH", "LD_LIBRARY_PATH", "MUJOCO_GL")  # variables for the processes
ROOM_SECONDS = 180  # for which the command waits until Ray has room for the workers
NOTE_SECONDS = 30  # after which it says that it waits
RESIZE_SECONDS = 60.0  # between two looks whether more workers, up to the largest number, have room
VARIABLES = {  # of Ray, unless the user has set them
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # of a Ray that is started here: 15 would let every other program go first
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # one more process for each start; the processes save by themselves
    "RAY_COLOR_PREFIX": "0",  # no colours in what goes to a file
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "30",  # a worker that does not answer for so long is lost
}


def supervise_with_ray(launch: Launch, address: str | None) -> int:
    """Train in a worker group of Ray until the processes end by themselves; returns their exit code.

    ``address``: of the cluster; None: that of ``RAY_ADDRESS``, or a Ray of this machine, started and ended here. Raises
    ``DistributedError`` where ``FAILURES`` failures bring no new checkpoint, or where Ray has no room for the workers.
    """
    ray, train = import_ray()
    started = connect(ray, address, launch.size)
    try:
        board = make_board(ray)
        with passed_on_signals() as caught:
            while True:
                before, warned = launch.checkpoint(), list[str]()
                try:
                    wait_for_group(ray, board, launch, (caught, warned), make_trainer(train, launch, board).fit)
                    return ray.get(board.code.remote()) or 0
                except train.TrainingFailedError as error:
                    reason = " ".join(str(error).strip().splitlines()[-1:])
                    newest = launch.checkpoint()
                    if newest == before:
                        raise given_up(
                            launch, f"{reason}. Given up after {FAILURES} failures without a new checkpoint"
                        ) from error
                    if not any(text in reason for text in warned):
                        write_stderr(f"proximax: warning: {reason}; starting again, the newest checkpoint is {newest}")
    finally:
        if started:
            ray.shutdown()


def import_ray() -> tuple[Any, Any]:
    """(Ray, Ray Train), if installed."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        from ray import train
    except ImportError as error:
        raise DependencyError('--launch ray needs Ray Train: pip install "proximax[ray]"') from error
    return ray, train


def connect(ray: Any, address: str | None, size: int) -> bool:
    """Connect to a cluster, or start one on this machine; returns whether this process has connected.

    Ray itself finds its token (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token) and gives it to what it starts.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS")
    settings: dict[str, Any] = {"address": address}
    if not address:
        # "local": a new one, though another program may have left traces of its own
        settings = {"address": "local", "num_cpus": max(size, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(**settings, logging_level=logging.ERROR, log_to_driver=False)  # rank 0's output comes by the board
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        text = str(error).strip().partition("\n")[0]
        raise DistributedError(f"Ray at {address or 'this machine'} cannot be used: {text}") from error
    return True


def make_board(ray: Any) -> Any:
    """The board, on the machine of the command, which may not be lost anyway."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()


def make_trainer(train: Any, launch: Launch, board: Any) -> Any:
    """The worker group, one CPU for each worker."""
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    variables = {name: text for name, text in os.environ.items() if name.startswith(CARRIED)}
    storage = Path(tempfile.gettempdir(), "proximax-ray")
    sizes = launch.sizes or (launch.size,)
    return DataParallelTrainer(
        watch_one_rank,
        train_loop_config={
            "command": list(launch.again),
            "variables": variables,
            "folder": os.getcwd(),
            "sizes": list(sizes),
            "board": board,
        },
        scaling_config=train.ScalingConfig(
            num_workers=launch.size if len(sizes) == 1 else (sizes[0], launch.size),
            resources_per_worker={"CPU": 1},
            elastic_resize_monitor_interval_s=RESIZE_SECONDS,
        ),
        run_config=train.RunConfig(
            storage_path=str(storage), failure_config=train.FailureConfig(max_failures=FAILURES - 1)
        ),
    )


def wait_for_group(
    ray: Any, board: Any, launch: Launch, lists: tuple[list[int], list[str]], fit: Callable[[], object]
) -> None:
    """``fit`` in another thread, while this one passes signals on and looks whether any worker runs.

    ``lists``: the signals that came, and the warnings that were shown, which grows.
    """
    caught, warned = lists
    errors: list[BaseException] = []
    thread = threading.Thread(target=note_error, args=(fit, errors), daemon=True)
    thread.start()
    passed, told, noted = 0, 0.0, False
    while thread.is_alive():
        thread.join(POLL_SECONDS)
        if len(caught) > passed:
            passed, told = len(caught), time.monotonic()
            ray.get(board.signal.remote(caught[-1]))
        if passed and time.monotonic() - told > SAVE_SECONDS:
            raise Interrupted(signal.Signals(caught[-1]))
        silence, said = ray.get(board.look.remote())
        warned += show(said, launch)
        if silence > room_seconds():
            text = f"Ray has started no process for {silence:.0f} s: {room_text(ray, launch)}"
            raise given_up(launch, f"{text}. PROXIMAX_START_SECONDS waits longer")
        if silence > NOTE_SECONDS and not noted:
            write_stderr(f"proximax: note: waiting for Ray: {room_text(ray, launch)}")
        noted = silence > NOTE_SECONDS
    warned += show(ray.get(board.look.remote())[1], launch)
    if errors:
        raise errors[0]


def show(said: Said, launch: Launch) -> list[str]:
    """Show what the workers said; returns the warnings among it."""
    for kind, text in said:
        if kind == WARNING:
            write_stderr(f"proximax: warning: {text}; starting again, {newest_text(launch.checkpoint())}")
            continue
        with suppress(OSError, ValueError):  # a closed pipe, a full disk
            stream = sys.stdout if kind == OUT else sys.stderr
            stream.write(text)
            stream.flush()
    return [text for kind, text in said if kind == WARNING]


def note_error(function: Callable[[], object], errors: list[BaseException]) -> None:
    """Call a function in a thread; its exception is added to ``errors``."""
    try:
        function()
    except BaseException as error:
        errors.append(error)


def room_seconds() -> float:
    """How long the command waits for room: PROXIMAX_START_SECONDS, where that is set."""
    text = os.environ.get("PROXIMAX_START_SECONDS", "")
    return float(text) if text.isdigit() and int(text) else ROOM_SECONDS


def room_text(ray: Any, launch: Launch) -> str:
    """What the workers need and what the cluster has."""
    needed = plural((launch.sizes or (launch.size,))[0], "worker")
    total, free = (int(of().get("CPU", 0)) for of in (ray.cluster_resources, ray.available_resources))
    return f"at least {needed} with a CPU each; the cluster has {plural(total, 'CPU')}, {free} of them free"
