"""The processes of a training in a worker group of Ray Train, whose failure policy starts the group again.

Each worker of Ray watches over one process of the same command. Ray places the workers on machines, notices when one is
gone, and starts all of them again. The run directory must be on a file system that all machines share.
"""

import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proximax.distributed.child import Child
from proximax.distributed.place import COORDINATOR
from proximax.distributed.supervisor import (
    FAILURES,
    LOOK_SECONDS,
    POLL_SECONDS,
    SIGNALS,
    STOPPED,
    Launch,
    free_port,
    killed_text,
)
from proximax.errors import DependencyError, DistributedError, Interrupted
from proximax.runtime import write_stderr

CARRIED = ("PROXIMAX_", "JAX_", "XLA_", "PYTHONPATH", "LD_LIBRARY_PATH", "MUJOCO_GL")  # variables for the processes
VERDICT = "verdict"


class Verdict:
    """An actor: the exit code by which the training has ended for good, None while it goes on."""

    def __init__(self) -> None:
        self.code: int | None = None

    def say(self, code: int) -> None:
        """The training ends with this code; the first one holds."""
        self.code = code if self.code is None else self.code

    def get(self) -> int | None:
        """The code."""
        return self.code


def supervise_with_ray(launch: Launch, address: str | None) -> int:
    """Train in a worker group of Ray until the processes end by themselves; returns their exit code.

    ``address``: of the cluster; None: that of ``RAY_ADDRESS``, or a Ray of this machine, started and ended here. Raises
    ``DistributedError`` where ``FAILURES`` failures bring no new checkpoint.
    """
    ray, train = import_ray()
    started = connect(ray, address, launch.size)
    try:
        verdict = ray.remote(Verdict).options(num_cpus=0).remote()
        while True:
            before = launch.checkpoint()
            try:
                make_trainer(train, launch, verdict).fit()
                code = ray.get(verdict.get.remote())
                return 0 if code is None else int(code)
            except KeyboardInterrupt:
                raise Interrupted(SIGNALS[0]) from None
            except train.TrainingFailedError as error:
                reason = str(error).strip().splitlines()[-1:]
                checkpoint = launch.checkpoint()
                newest = f"the newest checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint"
                if checkpoint == before:
                    raise DistributedError(
                        f"{' '.join(reason)}. Given up after {FAILURES} failures without a new checkpoint; {newest}. "
                        f"next: {launch.resume}"
                    ) from error
                write_stderr(f"proximax: warning: {' '.join(reason)}; starting again, {newest}")
    finally:
        if started:
            ray.shutdown()


def import_ray() -> tuple[Any, Any]:
    """(Ray, Ray Train), if installed."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray import train
    except ImportError as error:
        raise DependencyError('--launch ray needs Ray Train: pip install "ray[train]"') from error
    return ray, train


def connect(ray: Any, address: str | None, size: int) -> bool:
    """Connect to a cluster, or start one on this machine; returns whether this process has connected.

    Ray itself finds its token (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token) and gives it to what it starts.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS")
    settings: dict[str, Any] = {"address": address} if address else {"num_cpus": max(size, os.cpu_count() or 1)}
    try:
        ray.init(**settings, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        text = str(error).strip().partition("\n")[0]
        raise DistributedError(f"Ray at {address or 'this machine'} cannot be used: {text}") from error
    return True


def make_trainer(train: Any, launch: Launch, verdict: Any) -> Any:
    """The worker group, one CPU for each worker."""
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    variables = {name: text for name, text in os.environ.items() if name.startswith(CARRIED)}
    storage = Path(tempfile.gettempdir(), "proximax-ray")
    return DataParallelTrainer(
        watch_one_rank,
        train_loop_config={
            "command": list(launch.again),
            "variables": variables,
            "folder": os.getcwd(),
            VERDICT: verdict,
        },
        scaling_config=train.ScalingConfig(num_workers=launch.size, resources_per_worker={"CPU": 1}),
        run_config=train.RunConfig(
            storage_path=str(storage), failure_config=train.FailureConfig(max_failures=FAILURES - 1)
        ),
    )


def watch_one_rank(config: Mapping[str, Any]) -> None:
    """A worker of Ray: start the process of its rank and wait for it; an error of it lets Ray start all again."""
    import ray
    from ray.train import collective, get_context

    verdict, context = config[VERDICT], get_context()
    if ray.get(verdict.get.remote()) is not None:  # one that starting again would not help
        return
    rank, size = context.get_world_rank(), context.get_world_size()
    host = ray.util.get_node_ip_address()
    own = {
        "PROXIMAX_RANK": str(rank),
        "PROXIMAX_SIZE": str(size),
        COORDINATOR: collective.broadcast_from_rank_zero(f"{host}:{free_port(host)}"),
        "PROXIMAX_LOCAL_RANK": str(context.get_local_rank()),
        "PROXIMAX_LOCAL_SIZE": str(context.get_local_world_size()),
    }
    with tempfile.TemporaryDirectory(prefix="proximax-") as folder:
        child = Child(config["command"], rank, {**config["variables"], **own}, Path(folder), config["folder"])
        try:
            code = wait_for(child)
        finally:
            child.kill()
        if code in (0, None):
            return
        if code > 0 and code not in (DistributedError.code, *STOPPED):
            write_stderr(child.excerpt)
            ray.get(verdict.say.remote(code))
            return
        raise RuntimeError(killed_text(child, code))


def wait_for(child: Child) -> int | None:
    """Its exit code; raises ``RuntimeError`` where it is stuck."""
    looked = time.monotonic()
    while (code := child.process.poll()) is None:
        if time.monotonic() - looked >= LOOK_SECONDS:
            looked = time.monotonic()
            if (seconds := child.stuck_for()) is not None:
                raise RuntimeError(f"rank {child.rank} is stuck: no progress for {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
    return code
