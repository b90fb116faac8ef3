"""Trees of arrays by the paths of their leaves, there and back. Fault 18."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.errors import CheckpointError
from proximax.runtime.named_arrays import check_no_extra_arrays, is_key, named_leaves, restore_tree
from proximax.runtime.prng import key_from_data

WORDS = np.array([3, 2**32 - 1], np.uint32)


class State(NamedTuple):
    rollout: object
    params: object
    key: object


STATE = State(np.array([np.nan, 1.0], np.float32), {"b": [np.arange(3)], "a": np.float32(2.5)}, key_from_data(WORDS))
NAMES = [".rollout", ".params['a']", ".params['b'][0]", ".key"]


def test_every_leaf_has_its_path_and_of_random_keys_the_data_is_kept():
    named = named_leaves(STATE)
    assert list(named) == NAMES
    assert (named[".params['a']"], named[".params['b'][0]"].tolist()) == (2.5, [0, 1, 2])
    np.testing.assert_array_equal(named[".key"], WORDS)
    assert (is_key(STATE.key), is_key(WORDS), is_key(3)) == (True, False, False)


def test_a_tree_comes_back_and_takes_its_arrays_out_of_the_rest():
    tensors = named_leaves(STATE) | {"other": np.zeros(1)}
    restored = restore_tree(STATE, tensors, Path("f"))
    assert restored.key == STATE.key
    np.testing.assert_array_equal(restored.rollout, STATE.rollout)  # which alone need not be finite
    assert list(tensors) == ["other"]
    with pytest.raises(CheckpointError, match=r"f does not fit this run: it also holds 'other'"):
        check_no_extra_arrays(tensors, Path("f"))
    check_no_extra_arrays({}, Path("f"))


def test_shapes_are_enough_to_restore_a_tree():
    shapes = jax.eval_shape(lambda: {"a": jnp.zeros(()), "b": [jnp.zeros(3)]})
    restored = restore_tree(shapes, {"['a']": np.float32(1), "['b'][0]": np.ones(3, np.float32)}, Path("f"))
    assert (restored["a"], restored["b"][0].tolist()) == (1, [1, 1, 1])


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (".params['a']", None, r"\.params\['a'\] not in it"),
        (".params['b'][0]", np.arange(4), r"is \(4,\), the config makes it \(3,\)"),
        (".params['a']", np.float64(2.5), "holds float64, the run makes it float32"),
        (".params['a']", np.float32(np.inf), "not finite"),
        (".key", WORDS.astype(np.int32), "holds int32"),
    ],
)
def test_an_array_that_is_missing_or_another_is_named(name, value, said):
    tensors = {n: x for n, x in (named_leaves(STATE) | {name: value}).items() if x is not None}
    with pytest.raises(CheckpointError, match=said):
        restore_tree(STATE, tensors, Path("f"))
