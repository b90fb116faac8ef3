"""Spaces as trees: leaves in one order everywhere, and which spaces are alike. Fault 18."""

import jax
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given

from proximax.spaces.tree import branches, compatible, describe_leaf, flatten, leaves, paths, unflatten
from tests.support.strategies import SAMPLED
from tests.support.toy_gym import ACTIONS, NESTED_OBS, at, places

BOX = spaces.Box(-1.0, 1.0, (2,))
DEEP = spaces.Dict(
    [
        ("b", spaces.Tuple((spaces.Discrete(2), spaces.Dict([("z", BOX), ("a", spaces.MultiBinary(3))])))),
        ("a", spaces.Discrete(4)),
        ("c", spaces.Tuple((spaces.Tuple((spaces.MultiDiscrete([2, 3]),)),))),
    ]
)
NESTED = [DEEP, NESTED_OBS, ACTIONS["nested"], spaces.Tuple((BOX, BOX)), spaces.Dict(only=BOX)]


def test_the_leaves_come_in_the_order_of_sorted_keys_whatever_order_they_were_defined_in():
    assert list(DEEP.spaces) == ["b", "a", "c"]
    kinds = [type(leaf).__name__ for leaf in leaves(DEEP)]
    assert kinds == ["Discrete", "Discrete", "MultiBinary", "Box", "MultiDiscrete"]  # a, b[0], b[1].a, b[1].z, c[0][0]
    assert [key for key, _ in branches(DEEP)] == ["a", "b", "c"]
    assert branches(BOX) is None
    assert leaves(BOX) == [BOX]


def test_nest_and_flatten_by_hand():
    tree = {"c": ((5,),), "b": (2, {"z": 4, "a": 3}), "a": 1}
    assert flatten(DEEP, tree) == [1, 2, 3, 4, 5]
    assert unflatten(DEEP, iter([1, 2, 3, 4, 5])) == tree
    assert flatten(BOX, 7) == [7]
    assert unflatten(BOX, iter([7])) == 7


@pytest.mark.parametrize("space", [*NESTED, BOX, spaces.Discrete(3)])
def test_nest_undoes_flatten_and_flatten_nest(space):
    space.seed(0)
    sample = space.sample()
    parts = flatten(space, sample)
    again = unflatten(space, iter(parts))
    assert space.contains(again)
    assert [x is y for x, y in zip(flatten(space, again), parts)] == [True] * len(leaves(space))
    for (path, leaf), part in zip(places(space), parts, strict=True):
        assert at(sample, path) is part
        assert leaf.contains(part)
    numbers = list(range(len(leaves(space))))
    assert flatten(space, unflatten(space, iter(numbers))) == numbers
    assert jax.tree.leaves(unflatten(space, iter(numbers))) == numbers  # JAX counts them in the same order


@pytest.mark.parametrize(
    ("wrong", "error"), [({"a": 1, "b": (2, 3)}, KeyError), ({"a": 1, "b": (2,), "c": 3}, IndexError)]
)
def test_a_tree_of_another_form_does_not_flatten(wrong, error):
    with pytest.raises(error):
        flatten(spaces.Dict(a=BOX, b=spaces.Tuple((BOX, BOX)), c=BOX), wrong)


def test_every_leaf_has_a_path():
    assert paths(BOX) == [""]
    space = spaces.Dict(b=spaces.Tuple((BOX, spaces.Dict(c=BOX))), a=BOX)
    assert paths(space) == ["['a']", "['b'][0]", "['b'][1]['c']"]
    for space in NESTED:
        assert paths(space) == ["".join(f"[{key!r}]" for key in path) for path, _ in places(space)]
    assert (describe_leaf("action", ""), describe_leaf("action", "[0]")) == (
        "action space",
        "action space at action[0]",
    )


BYTES = spaces.Box(0, 255, (2,), np.uint8)
LIKE = [
    (BOX, spaces.Box(-7.0, np.inf, (2,), np.float64)),  # bounds and the width of floats may differ
    (spaces.MultiBinary(3), spaces.MultiBinary([3])),
    (spaces.Dict([("b", BOX), ("a", BYTES)]), spaces.Dict([("a", BYTES), ("b", BOX)])),
    (DEEP, DEEP),
]
UNLIKE = [
    (BOX, spaces.Box(-1.0, 1.0, (3,))),
    (BOX, spaces.Box(-1.0, 1.0, (2, 1))),
    (BOX, BYTES),  # inputs would be 255 times off
    (BOX, spaces.Discrete(2)),
    (spaces.Discrete(2), spaces.Discrete(3)),
    (spaces.Discrete(2), spaces.Discrete(2, start=1)),
    (spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([3, 2])),
    (spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([[2], [3]])),
    (spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([2, 3], start=[0, 1])),
    (spaces.MultiBinary(3), spaces.MultiBinary(4)),
    (spaces.MultiBinary(4), spaces.MultiBinary([2, 2])),
    (spaces.MultiBinary(2), spaces.MultiDiscrete([2, 2])),
    (spaces.Dict(a=BOX), spaces.Dict(b=BOX)),
    (spaces.Dict(a=BOX), spaces.Dict(a=BOX, b=BOX)),
    (spaces.Dict(a=BOX), BOX),
    (spaces.Tuple((BOX, BYTES)), spaces.Tuple((BYTES, BOX))),
    (spaces.Tuple((BOX,)), spaces.Tuple((BOX, BOX))),
    (spaces.Tuple((spaces.Dict(a=BOX),)), spaces.Tuple((spaces.Dict(a=BYTES),))),
]


@pytest.mark.parametrize(("mine", "other"), LIKE)
def test_spaces_are_alike_where_a_policy_of_one_fits_the_other(mine, other):
    assert compatible(mine, other)
    assert compatible(other, mine)


@pytest.mark.fault(18)
@pytest.mark.parametrize(("mine", "other"), UNLIKE)
def test_spaces_of_another_tree_kind_shape_or_choice_are_not_alike(mine, other):
    assert compatible(mine, mine)
    assert compatible(other, other)
    assert not compatible(mine, other)
    assert not compatible(other, mine)


@given(SAMPLED)
def test_any_value_of_any_space_flattens_and_nests_back(space):
    space.seed(0)
    value = space.sample()
    flat = flatten(space, value)
    assert len(flat) == len(leaves(space)) == len(paths(space)) == len(set(paths(space)))
    for leaf, part, (path, mine) in zip(leaves(space), flat, places(space), strict=True):
        assert leaf == mine
        assert part is at(value, path)
        assert leaf.contains(part)
    again = unflatten(space, iter(flat))
    assert [x is y for x, y in zip(flatten(space, again), flat)] == [True] * len(flat)
    assert jax.tree.structure(again) == jax.tree.structure(jax.tree.map(lambda x: x, again))
    assert compatible(space, space)
