"""Arrays on the devices of shards, as far as one process shows it; tests/system/test_shards.py has several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from proximax.errors import UsageError
from proximax.runtime import (
    SHARD_OPTIONS,
    SHARDS,
    compilation,
    from_processes,
    gather_shards,
    is_key,
    join_parts,
    largest,
    local_shards,
    map_over_shards,
    on_this_device,
    place_parts,
    place_whole,
    seed_key,
    whole,
)
from proximax.runtime.shard_placement import shard_mesh

EVERYWHERE, BY_COLUMN = PartitionSpec(), PartitionSpec(None, SHARDS)


def test_a_process_alone_has_every_shard_and_everything_of_the_others():
    assert local_shards(1) == range(1)
    assert local_shards(4) == range(4)
    assert largest(7) == 7
    assert join_parts({"x": 3}, 0, 4) == {"x": 3}


@pytest.mark.parametrize("x", [np.float64(1e-300), np.array([2**60, -1]), np.zeros((2, 0)), np.array([[True, False]])])
def test_what_processes_exchange_keeps_its_dtype_and_every_bit(x):
    (mine,) = from_processes(x)
    assert (mine.dtype, mine.shape) == (np.asarray(x).dtype, np.shape(x))
    np.testing.assert_array_equal(mine, x)


def test_a_tree_is_placed_as_its_prefix_says_and_comes_back_the_same():
    tree = {"same": [np.arange(3.0, dtype=np.float32), seed_key(1)], "divided": np.arange(6).reshape(2, 3)}
    placed = place_whole(tree, {"same": EVERYWHERE, "divided": BY_COLUMN}, 1)
    assert placed["divided"].sharding.spec == BY_COLUMN
    assert is_key(placed["same"][1])
    again = whole(placed)
    np.testing.assert_array_equal(again["divided"], tree["divided"])
    key, key_before = (jax.random.key_data(x["same"][1]) for x in (again, tree))
    np.testing.assert_array_equal(key, key_before)
    np.testing.assert_array_equal(on_this_device(placed)["same"][0], tree["same"][0])
    parts = place_parts(tree["divided"], BY_COLUMN, 1)
    np.testing.assert_array_equal(parts, tree["divided"])


@pytest.mark.parametrize("shards", range(1, 10))
def test_every_shard_gathers_all_numbers_in_the_order_of_the_shards(shards):
    x = np.arange(6.0 * shards, dtype=np.float32).reshape(shards, 3, 2)
    gathered = jax.vmap(lambda part: gather_shards(part, shards), axis_name=SHARDS)(x)
    np.testing.assert_array_equal(gathered, np.broadcast_to(x, (shards, *x.shape)))


def test_a_function_of_a_shard_sees_its_part_and_the_axis():
    total = map_over_shards(lambda x: jax.lax.all_gather(jnp.sum(x), SHARDS), 1, (BY_COLUMN,), EVERYWHERE)
    assert total(jnp.ones((2, 3))).tolist() == [6.0]


@pytest.mark.trap(38)
def test_the_program_of_a_shard_is_the_same_whatever_cores_its_process_has():
    """Where there are several, XLA divides a loop of so many numbers among them, unless it is told not to."""
    with compilation.extra_cpu_options(SHARD_OPTIONS):
        program = compilation.jit(lambda x: jnp.sqrt(2.0 * x + 1.0) * jnp.tanh(x))
    assert "outer_dimension_partitions" not in program.lower(jnp.ones(234_764)).compile().as_text()


def test_more_shards_than_devices_are_refused_with_the_remedy():
    with pytest.raises(UsageError, match=r"shards = 640: JAX has \d+ devices .* jax_num_cpu_devices = 640"):
        shard_mesh(640)
