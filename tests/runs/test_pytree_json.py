"""Trees as JSON and arrays and back, and refused where they hold anything else."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximax.errors import CheckpointError
from proximax.runs.pytree_json import ARRAY, FLOAT, from_plain, to_plain

KEYS = st.text(max_size=4).filter(lambda key: key not in (ARRAY, FLOAT))
NUMBERS = st.integers(-(2**130), 2**130) | st.floats() | st.booleans() | st.none() | st.text(max_size=5)
TREES = st.recursive(NUMBERS, lambda x: st.lists(x, max_size=3) | st.dictionaries(KEYS, x, max_size=3), max_leaves=8)


def there_and_back(tree):
    arrays = {}
    plain = json.loads(json.dumps(to_plain(tree, "it", arrays), allow_nan=False))
    again = from_plain(plain, arrays)
    assert arrays == {}  # every array was asked for
    return again


@given(TREES)
def test_plain_trees_come_back_equal(tree):
    assert repr(there_and_back(tree)) == repr(tree)  # repr: nan, -0.0, True and 1


def test_arrays_come_back_bit_for_bit_and_tuples_as_lists():
    made = [
        np.array([np.nan, -np.inf, -0.0], np.float32),
        np.zeros((0, 3)),
        np.array(7, np.uint64),
        np.arange(6).reshape(2, 3).T,
        np.array([True, False]),
        np.float16(0.1),
    ]
    tree = {"a": (made[0], [made[1], {"b.c": made[2]}]), "a.b": made[3], "": tuple(made[4:])}
    again = there_and_back(tree)
    assert isinstance(again["a"], list)
    found = [again["a"][0], again["a"][1][0], again["a"][1][1]["b.c"], again["a.b"], *again[""]]
    for x, y in zip(made, found, strict=True):
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


def test_an_array_that_is_written_to_afterwards_is_saved_as_it_was():
    x, arrays = np.zeros(3), {}
    to_plain([x], "it", arrays)
    x[:] = 9
    assert arrays["it[0]"].tolist() == [0, 0, 0]


def test_two_leaves_never_share_a_name():
    tree, arrays = {"a.b": np.zeros(1), "a": {"b": np.ones(1)}}, {}
    plain = to_plain(tree, "it", arrays)
    again = from_plain(plain, arrays)
    assert (again["a.b"].tolist(), again["a"]["b"].tolist()) == ([0.0], [1.0])


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({1: 2}, "it has the key 1: only strings"),
        ({ARRAY: "x"}, "it has the key '__array__'"),
        ([object()], r"it\[0\] is a object, which cannot be saved"),
        ({"a": np.array([object()])}, r"it\.a is an array of object"),
        ({"a": np.array(["text"])}, r"it\.a is an array of <U4"),
        ({"a": np.array([1j])}, "array of complex128"),
        ({"a": {3}}, r"it\.a is a set"),
        (b"bytes", "it is a bytes"),
    ],
)
def test_what_is_no_plain_tree_is_refused_with_its_place(tree, message):
    with pytest.raises(CheckpointError, match=message):
        to_plain(tree, "it", {})


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    "values",
    [{ARRAY: "evil"}, {ARRAY: ["a"]}, [{ARRAY: "a"}, {ARRAY: "a"}], {FLOAT: "1"}, {FLOAT: "__import__"}, {FLOAT: 3}],
)
def test_values_that_stand_for_nothing_are_refused(values):
    with pytest.raises(CheckpointError):
        from_plain(values, {"a": np.zeros(1)})


def test_floats_that_json_lacks_keep_their_value():
    again = there_and_back([math.inf, -math.inf, math.nan, 1e-320, np.float64(0.1)])
    assert again[:2] == [math.inf, -math.inf]
    assert math.isnan(again[2])
    assert again[3:] == [1e-320, 0.1]
