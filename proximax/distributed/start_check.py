"""What is compared and tried at the start, before anything is trained; it takes about a second."""

import ctypes
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from proximax.distributed.cores import cores_of_ranks, cores_text, use_cores
from proximax.distributed.facts import Facts, differences, own_facts, processor_note, ranks_text
from proximax.distributed.joining import coordination_client, start_seconds
from proximax.distributed.place import Place
from proximax.errors import DependencyError, DistributedError, UsageError
from proximax.runtime import SHARD_OPTIONS, SHARDS, compilation, from_processes, gather_shards, map_over_shards

STEPS, ROWS, WIDTH = 4, 64, 32  # of the small update
_meetings: list[Place] = []  # of this process: a key of JAX's coordinator is written once


class Agreement(NamedTuple):
    """What rank 0 has decided from the facts of all ranks, as JSON."""

    refused: str  # why they cannot train together; "": they can
    cores: list[list[int]]  # of each rank
    notes: list[str]  # for the user


def agree(place: Place, shards: int, settings: Mapping[str, object]) -> list[str]:
    """Compare versions, settings and processors of all ranks, and take the cores of this one; returns notes.

    All ranks call this, before JAX computes. Raises ``UsageError``, the same in all, where they cannot train together.
    """
    _meetings.append(place)
    prefix = f"proximax/start-{len(_meetings)}"
    client = coordination_client()
    milliseconds = start_seconds() * 1000
    client.key_value_set(f"{prefix}/{place.rank}", json.dumps(own_facts(settings)))
    try:
        if place.rank == 0:
            texts = [client.blocking_key_value_get(f"{prefix}/{rank}", milliseconds) for rank in range(place.size)]
            client.key_value_set(f"{prefix}/agreement", json.dumps(compared(list(map(json.loads, texts)), shards)))
        agreement = Agreement(*json.loads(client.blocking_key_value_get(f"{prefix}/agreement", milliseconds)))
    except jax.errors.JaxRuntimeError as error:
        raise DistributedError(f"rank {place.rank} of {place.size} lost the others at the start: {error}") from error
    if agreement.refused:
        raise UsageError(agreement.refused)
    use_cores(agreement.cores[place.rank])
    return agreement.notes


def compared(facts: Sequence[Facts], shards: int) -> Agreement:
    """What follows from the facts of all ranks."""
    different, cores = differences(facts), cores_of_ranks(facts)
    refused = f"the processes differ in {'; '.join(different)}. All must have the same" if different else ""
    notes = [cores_text(facts, cores, shards)]
    if text := processor_note(facts):
        notes.append(
            f"the processors differ: {text}. Compiled programs may round differently on them: the ranks stay equal, "
            "but another placement of the shards may give other bits"
        )
    return Agreement(refused, cores, notes)


def check_computation(place: Place, shards: int) -> None:
    """Try the collectives on known numbers, and one small update twice: equal bits, on all ranks too.

    Raises ``DistributedError`` for collectives, ``DependencyError`` for a program that is not repeatable (jax#39741),
    ``UsageError`` for ranks that compute other bits from the same numbers.
    """
    with without_native_output():
        ranks = from_processes(np.arange(2, dtype=np.int64) + place.rank)
    numbers, first = small_update(shards)
    known = (
        np.array_equal(ranks, np.arange(place.size)[:, None] + np.arange(2)),
        np.array_equal(numbers, np.arange(shards)),
    )
    if not all(known):
        raise DistributedError(
            f"rank {place.rank} of {place.size}: a collective gives wrong numbers: {ranks.tolist()}, {numbers.tolist()}"
        )
    second = small_update(shards)[1]
    digests = from_processes(np.frombuffer(first + second, np.uint8))
    halves = digests.reshape(place.size, 2, -1)
    if unsteady := [rank for rank in range(place.size) if not np.array_equal(*halves[rank])]:
        raise DependencyError(
            f"{ranks_text(unsteady)}: the same update, computed twice, gives different bits (jax#39741): another "
            "version of jaxlib, or another machine"
        )
    if other := [rank for rank in range(place.size) if not np.array_equal(halves[rank], halves[0])]:
        raise UsageError(
            f"{ranks_text(other)} of {place.size} compute other bits than rank 0 from the same numbers: train on "
            "machines with the same processor"
        )


@contextmanager
def without_native_output() -> Iterator[None]:
    """Nothing outside Python prints on stdout within the block: gloo does when it first connects."""
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    try:
        kept = os.dup(1)
    except OSError:  # there is no stdout
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        if libc:
            libc.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def small_update(shards: int) -> tuple[np.ndarray, bytes]:
    """(the numbers of the shards as each shard hears them, a digest of the parameters) of a few gradient steps."""
    rng = np.random.default_rng(0)
    params = [rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5 for _ in range(2)]
    data = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    whole = PartitionSpec()
    update = map_over_shards(partial(gradient_steps, shards), shards, (whole, whole), (whole, whole))
    with compilation.extra_cpu_options(SHARD_OPTIONS):
        numbers, params = compilation.jit(update)(params, data)
    digest = hashlib.sha256(b"".join(np.asarray(x.addressable_data(0)).tobytes() for x in params)).digest()
    return np.asarray(numbers.addressable_data(0)), digest


def gradient_steps(shards: int, params: list[jax.Array], data: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    """A few steps of one shard: its gradient on its own numbers, summed over the shards in their order."""
    index = jax.lax.axis_index(SHARDS)

    def step(params: list[jax.Array], _: None) -> tuple[list[jax.Array], None]:
        gradient = jax.grad(small_loss)(params, data * (1 + index))
        every = [gather_shards(x, shards) for x in gradient]
        return [x - 0.01 * jnp.sum(g, axis=0) for x, g in zip(params, every)], None

    return gather_shards(index, shards), jax.lax.scan(step, params, length=STEPS)[0]


def small_loss(params: list[jax.Array], data: jax.Array) -> jax.Array:
    """Of a network with one hidden layer."""
    return jnp.mean(jnp.square(jnp.tanh(data @ params[0]) @ params[1]))
