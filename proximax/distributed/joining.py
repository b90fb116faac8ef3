"""Become one of several processes that train together: JAX's coordinator, collectives, devices."""

import atexit
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jax

# JAX has no public way to its coordinator's store, to gloo's address, and to whether it has computed. Only this module
# looks inside it.
from jax._src import distributed, xla_bridge
from jax._src.lib import _jax  # type: ignore[attr-defined]
from jax.extend.backend import register_backend_factory

from proximax.distributed.place import COORDINATOR, NAMES, Place, check_address, find_place, resolved
from proximax.errors import DistributedError, UsageError

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10  # without one from a process: it is dead, and all others end
START_SECONDS = 60  # in which all processes must have started
SHUTDOWN_SECONDS = 5  # for which the first to end waits for the others
LOST = ("Gloo", "UNAVAILABLE", "DEADLINE_EXCEEDED", "Barrier")  # in JAX's errors: another process is gone
_lost: list[Exception] = []  # of others, noticed while training
_joined: list[Place] = []  # once in a process: JAX cannot start again


def join(shards: int) -> Place | None:
    """Join the other processes of this training, before JAX computes anything; None where this process is alone.

    Each process gets ``shards`` / size CPU devices; device i of process r is shard r x shards / size + i. A second
    call in the same process returns the same place. Raises ``UsageError`` where the processes cannot share the shards,
    and ``DistributedError`` where they do not come together.
    """
    place = find_place(os.environ, os.getppid())
    if place is None:
        return None
    check_shards(place, shards)
    if _joined:
        if _joined[0] != place:
            raise UsageError(f"this process has already trained as rank {_joined[0].rank} of {_joined[0].size}")
        return place
    check_address(place)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_num_cpu_devices", shards // place.size)
    connect(place)
    register_backend_factory("cpu", make_cpu_client, priority=0, fail_quietly=False)
    _joined.append(place)
    atexit.register(leave)
    return place


@contextmanager
def others_needed(ranks: str, hint: Callable[[], str]) -> Iterator[None]:
    """Name the loss of another process as such, within the block. ``hint``: for the user."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # which of them depends on where JAX notices it
        reason = str(error).partition("\n")[0]
        if not _joined or not any(sign in reason for sign in LOST):
            raise
        _lost.append(error)
        raise DistributedError(f"{ranks} lost another process: {reason}. {hint()}".strip()) from error


def check_shards(place: Place, shards: int) -> None:
    """Refuse a number of shards that the processes cannot share evenly."""
    if shards % place.size:
        fitting = -(-shards // place.size) * place.size
        who = "PROXIMAX_SIZE says" if place.launcher == "own" else f"{NAMES[place.launcher]} started"
        raise UsageError(
            f"{who} {place.size} processes, which cannot share {shards} "
            f"{'shard' if shards == 1 else 'shards'} evenly: --shards {fitting}, or a number of processes that divides "
            f"{shards}; PROXIMAX_SIZE=1 lets each process train alone"
        )


def connect(place: Place) -> None:
    """Start JAX's coordinator in rank 0, on the coordinator's address only, and connect every rank to it."""
    if xla_bridge.backends_are_initialized():
        raise UsageError("several processes train together only where JAX has computed nothing before")
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.size,
            place.rank,
            cluster_detection_method="deactivate",
            initialization_timeout=start_seconds(),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            coordinator_bind_address=listening_address(place) if place.rank == 0 else None,
        )
    except RuntimeError as error:  # as JaxRuntimeError is
        reason = str(error).strip().partition("\n")[0]
        raise DistributedError(
            f"rank {place.rank} of {place.size} could not join the others at {place.coordinator} within "
            f"{start_seconds()} s: {reason}. Did all of them start, and do they reach that address? "
            f"{COORDINATOR}=ADDRESS:PORT names another, PROXIMAX_START_SECONDS waits longer"
        ) from error


def start_seconds() -> int:
    """How long the processes wait for one another at the start."""
    text = os.environ.get("PROXIMAX_START_SECONDS", str(START_SECONDS))
    if not text.isdigit() or text == "0":
        raise UsageError(f"PROXIMAX_START_SECONDS={text}: must be a number of seconds")
    return int(text)


def listening_address(place: Place) -> str:
    """host:port on which rank 0 listens: the one address that the others were told, or PROXIMAX_BIND."""
    try:
        address = place.bind or resolved(place.host)
    except OSError as error:
        raise UsageError(f"the address of rank 0, {place.host}, cannot be resolved: {error}") from error
    return f"[{address}]:{place.port}" if ":" in address else f"{address}:{place.port}"


def own_address(place: Place) -> str:
    """The address of this machine in the network of the coordinator: the one its packets to rank 0 carry."""
    address = resolved(place.host)
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, place.port))  # of a datagram socket: sends nothing
        return str(probe.getsockname()[0])


def coordination_client() -> Any:
    """JAX's connection to the coordinator, after ``join``: a store of texts that all processes read and write."""
    return distributed.global_state.client


def make_cpu_client() -> object:
    """JAX's CPU client, its collectives on the coordinator's network.

    By default gloo listens where the machine's own name leads, which is 127.0.1.1 on a Debian as installed.
    """
    address = own_address(_joined[0])
    collectives = _jax.make_gloo_tcp_collectives(coordination_client(), hostname=address)
    return xla_bridge.make_cpu_client(collectives)


def leave() -> None:
    """Tell the others that this process ends in order; it waits for them a moment. Without others, nothing."""
    if not _joined:
        return
    if _lost:  # JAX would wait for those that are gone, and then abort
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(DistributedError.code)
    _joined.clear()
    with suppress(Exception):  # a process that was lost: those that are left end all the same
        jax.distributed.shutdown()
