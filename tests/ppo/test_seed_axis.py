"""Seeds as a leading axis."""

import jax
import numpy as np

from proximax.ppo.seed_axis import stack_seeds
from proximax.runtime import seed_key
from proximax.types import TrainState


def test_stacked_states_have_their_seeds_in_order_and_keys_stay_keys():
    zero = TrainState(*[np.float32(0)] * len(TrainState._fields))
    states = [zero._replace(key=seed_key(i), params={"x": np.float32([i, 10 + i])}) for i in range(3)]
    stacked = stack_seeds(states)
    np.testing.assert_array_equal(stacked.params["x"], [[0, 10], [1, 11], [2, 12]])
    for i, state in enumerate(states):
        np.testing.assert_array_equal(jax.random.key_data(stacked.key[i]), jax.random.key_data(state.key))
