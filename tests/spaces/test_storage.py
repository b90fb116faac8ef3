"""The types that observations are stored in. Trap 32."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.spaces.storage import obs_dtype, to_stored

BIG = 2**40


@pytest.mark.trap(32)
@pytest.mark.parametrize(
    ("leaf", "stored"),
    [
        (spaces.Box(0, 255, (2, 2), np.uint8), np.uint8),  # images stay bytes
        (spaces.Box(-1, 1, (2,), np.float64), np.float32),
        (spaces.Box(-1, 1, (2,), np.float16), np.float32),
        (spaces.Box(-5, 5, (2,), np.int64), np.int64),  # its values fit 32 bits, as JAX makes them
        (spaces.Box(-BIG, BIG, (2,), np.int64), np.float32),
        (spaces.Discrete(3), np.int32),
        (spaces.MultiBinary(3), np.int8),
    ],
)
def test_integers_stay_and_floats_have_32_bits(leaf, stored):
    assert obs_dtype(leaf) == stored


def test_a_tree_of_observations_is_stored_leaf_by_leaf_without_copies_of_what_fits():
    space = spaces.Dict(eye=spaces.Box(0, 255, (2,), np.uint8), place=spaces.Box(-1, 1, (1,), np.float64))
    eye = np.array([[1, 2], [3, 4]], np.uint8)
    stored = to_stored(space, {"eye": eye, "place": np.array([[0.5], [0.25]])})
    assert np.shares_memory(stored["eye"], eye)
    assert stored["place"].dtype == np.float32
    np.testing.assert_array_equal(stored["place"], [[0.5], [0.25]])
