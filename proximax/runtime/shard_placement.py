"""Arrays on the devices of the shards: V devices in a row, the first ones of process 0, the next ones of process 1, ...

An array is the same on all of them, or divided by its environments' axis. Each process sees its own devices only.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from proximax.errors import UsageError
from proximax.runtime.compilation import Options
from proximax.runtime.named_arrays import is_key
from proximax.runtime.prng import key_from_data
from proximax.types import Key, PyTree

SHARDS = "shards"  # the axis
# A shard's program does not depend on how many cores its process has: else XLA divides long loops (of 58,691 numbers)
# among the cores there are where it compiles, and rounds otherwise. ``compilation.prepare`` does the same for products.
SHARD_OPTIONS: Options = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}


@cache
def shard_mesh(shards: int) -> Mesh:
    """The devices of the shards, in order."""
    devices, each = jax.devices(), len(local_shards(shards))
    mine = [device for device in devices if device.process_index == jax.process_index()]
    if each > len(mine):
        raise UsageError(
            f"shards = {shards}: JAX has {len(mine)} devices in this process, and a shard needs one of its own. Start "
            f"more processes, or set jax_num_cpu_devices = {each} before JAX is used"
        )
    chosen = [d for p in range(jax.process_count()) for d in [x for x in devices if x.process_index == p][:each]]
    return Mesh(np.array(chosen), (SHARDS,))


def local_shards(shards: int) -> range:
    """The numbers of the shards that this process has."""
    if shards == 1:  # also of a process that is one of several for reasons of its own
        return range(1)
    each = shards // jax.process_count()
    return range(jax.process_index() * each, (jax.process_index() + 1) * each)


def map_over_shards(function: Callable[..., Any], shards: int, inputs: object, outputs: object) -> Callable[..., Any]:
    """``function`` of one shard's parts, on all shards; ``inputs`` and ``outputs`` say how arrays are divided."""
    return jax.shard_map(function, mesh=shard_mesh(shards), in_specs=inputs, out_specs=outputs, check_vma=False)


def gather_shards(x: jax.Array, shards: int) -> jax.Array:
    """``x`` of every shard, ``[V, ...]``, in their order; called in ``map_over_shards``.

    On CPU not by XLA's all-gather, a ring of many small messages: 10,000 numbers took it 0.44 to 0.63 ms between two
    processes on a core each, and one message there and back 0.13 ms. Here in ⌈log2 V⌉ exchanges: what has been
    collected is handed to the shard that is as many places before, until each has all.
    Source: Bruck et al. 1997, Efficient Algorithms for All-to-All Communications, section 3.
    """
    if jax.default_backend() != "cpu":
        return jax.lax.all_gather(x, SHARDS)
    blocks = x[None]  # [i]: of the shard i places after this one
    while (collected := len(blocks)) < shards:
        to_earlier = [((shard + collected) % shards, shard) for shard in range(shards)]
        later = jax.lax.ppermute(blocks[: shards - collected], SHARDS, to_earlier)
        blocks = jnp.concatenate([blocks, later])
    return blocks[(jnp.arange(shards) - jax.lax.axis_index(SHARDS)) % shards]


def place_whole(tree: PyTree, specs: PyTree, shards: int) -> PyTree:
    """``tree``, which every process has whole, on the devices of the shards; ``specs``: a prefix of it."""

    def place(spec: PartitionSpec, part: PyTree) -> PyTree:
        return jax.tree.map(lambda x: _place_whole(x, NamedSharding(shard_mesh(shards), spec)), part)

    return jax.tree.map(place, specs, tree, is_leaf=lambda x: isinstance(x, PartitionSpec))


def _place_whole(x: Any, sharding: NamedSharding) -> jax.Array:
    if is_key(x):
        return key_from_data(_place_whole(jax.random.key_data(x), sharding))
    array = np.asarray(x)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def place_parts(tree: PyTree, specs: PyTree, shards: int) -> PyTree:
    """``tree``, of which every process has the part of its own environments, on the devices of the shards."""

    def place(spec: PartitionSpec, part: PyTree) -> PyTree:
        sharding = NamedSharding(shard_mesh(shards), spec)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), part)

    return jax.tree.map(place, specs, tree, is_leaf=lambda x: isinstance(x, PartitionSpec))


def on_this_device(tree: PyTree) -> PyTree:
    """What is the same on all shards, as arrays of one device of this process."""

    def leaf(x: object) -> Any:
        return x.addressable_data(0) if isinstance(x, jax.Array) else x

    return jax.tree.map(leaf, tree)


def join_parts(tree: PyTree, axis: int, shards: int) -> PyTree:
    """NumPy arrays of which every process has a part, one after the other along ``axis``; all must call it."""
    if len(local_shards(shards)) == shards:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    arrays = [np.ascontiguousarray(x) for x in leaves]
    data = [x.reshape(-1).view(np.uint8) for x in arrays]
    # One exchange, which takes a millisecond whatever its size.
    parts = np.split(from_processes(np.concatenate(data)), np.cumsum([x.size for x in data])[:-1], axis=1)
    shapes = [(len(part), *x.shape) for part, x in zip(parts, arrays)]
    every = [part.copy().view(x.dtype).reshape(shape) for part, x, shape in zip(parts, arrays, shapes)]
    return jax.tree.unflatten(structure, [np.concatenate(x, axis=axis) for x in every])


def from_processes(x: np.ndarray) -> np.ndarray:
    """The arrays of all processes, of one shape and dtype, ``[processes, ...]``; all must call it."""
    array = np.asarray(x)
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # JAX has no 64 bits
    every = data if jax.process_count() == 1 else np.asarray(multihost_utils.process_allgather(data))
    every = every.reshape(jax.process_count(), data.size)
    return every.view(array.dtype).reshape(jax.process_count(), *array.shape)


def largest(number: int) -> int:
    """The largest of the numbers that the processes call this with."""
    return int(from_processes(np.array(number)).max())


def whole(tree: PyTree) -> PyTree:
    """``tree`` in NumPy arrays (keys stay keys), with the parts of all processes; every process must call it."""

    def leaf(x: Any) -> Any:
        if is_key(x):
            return key_from_data(leaf(jax.random.key_data(x)))
        if isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated):
            return np.asarray(multihost_utils.process_allgather(x, tiled=True))
        return np.asarray(x)

    return jax.tree.map(leaf, tree)


def environment_keys(key: Key, num_envs: int, shards: int) -> Key:
    """A key for each of this shard's ``num_envs`` environments, which follows from its number among all of them."""
    if shards == 1:
        return jax.random.split(key, num_envs)
    numbers = jax.lax.axis_index(SHARDS) * num_envs + jnp.arange(num_envs)
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def shard_key(key: Key, shards: int) -> Key:
    """The key of this shard alone."""
    return key if shards == 1 else jax.random.fold_in(key, jax.lax.axis_index(SHARDS))
