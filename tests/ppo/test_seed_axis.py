"""Seeds as a leading axis: stacked, mapped, and one of them alone."""

import jax
import numpy as np

from proximax.ppo.seed_axis import stack_seeds, vmap_seeds
from proximax.runtime import seed_key
from proximax.types import TrainState


def test_stacked_states_have_their_seeds_in_order_and_keys_stay_keys():
    zero = TrainState(*[np.float32(0)] * len(TrainState._fields))
    states = [zero._replace(key=seed_key(i), params={"x": np.float32([i, 10 + i])}) for i in range(3)]
    stacked = stack_seeds(states)
    np.testing.assert_array_equal(stacked.params["x"], [[0, 10], [1, 11], [2, 12]])
    for i, state in enumerate(states):
        np.testing.assert_array_equal(jax.random.key_data(stacked.key[i]), jax.random.key_data(state.key))


def test_one_seed_without_vmap_is_as_one_of_several_with_it():
    def function(x, shared, columns):
        return {"sum": x + shared, "row": columns}

    x, columns = np.arange(6.0).reshape(2, 3), np.arange(8.0).reshape(4, 2)  # seeds are axis 0, and axis 1
    both = vmap_seeds(function, 2, (0, None, 1))(x, 10.0, columns)
    np.testing.assert_array_equal(both["sum"], x + 10)
    np.testing.assert_array_equal(both["row"], columns.T)
    alone = vmap_seeds(function, 1, (0, None, 1))(x[:1], 10.0, columns[:, :1])
    jax.tree.map(lambda one, two: np.testing.assert_array_equal(one, two[:1]), alone, both)
