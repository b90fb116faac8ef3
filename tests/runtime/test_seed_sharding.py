"""Seeds on devices: the same as each by itself, however many there are."""

import jax
import jax.numpy as jnp
import numpy as np

from proximax.runtime.seed_sharding import (
    SEEDS_PER_CORE,
    SEEDS_SPEC,
    map_over_seeds,
    seed_sharding,
    shard_over_devices,
    vmap_seeds,
)


def square_and_sum(x, y):
    return jnp.square(x) + jnp.sum(y)


def test_many_seeds_give_what_each_gives_alone():
    for seeds in (1, 3, SEEDS_PER_CORE + 1, 2 * SEEDS_PER_CORE):
        x, y = np.arange(seeds, dtype=np.float32), np.arange(2.0 * seeds, dtype=np.float32).reshape(seeds, 2)
        np.testing.assert_array_equal(map_over_seeds(square_and_sum, x, y), np.square(x) + y.sum(axis=1))


def test_devices_share_the_seeds_equally_or_one_has_them_all():
    for seeds in (1, 2, 3, 8):
        sharding = seed_sharding(seeds)
        assert seeds % sharding.mesh.size == 0
        x = np.arange(seeds, dtype=np.float32)
        doubled = shard_over_devices(lambda part: 2 * part, seeds, SEEDS_SPEC, SEEDS_SPEC)
        np.testing.assert_array_equal(jax.jit(doubled)(jax.device_put(x, sharding)), 2 * x)


def test_one_seed_without_vmap_is_as_one_of_several_with_it():
    def function(x, shared, columns):
        return {"sum": x + shared, "row": columns}

    x, columns = np.arange(6.0).reshape(2, 3), np.arange(8.0).reshape(4, 2)  # seeds are axis 0, and axis 1
    both = vmap_seeds(function, 2, (0, None, 1))(x, 10.0, columns)
    np.testing.assert_array_equal(both["sum"], x + 10)
    np.testing.assert_array_equal(both["row"], columns.T)
    alone = vmap_seeds(function, 1, (0, None, 1))(x[:1], 10.0, columns[:, :1])
    jax.tree.map(lambda one, two: np.testing.assert_array_equal(one, two[:1]), alone, both)
