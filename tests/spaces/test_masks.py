"""Masks as vectors, by hand: the order of entries, every form they may come in, and what is refused. Trap 15."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.spaces.masks import (
    choices_per_component,
    flatten_mask,
    flatten_masks,
    no_action_allowed,
    num_mask_entries,
    sample_allowed_action,
)

SPACE = spaces.Dict(
    turn=spaces.Discrete(3, start=5),
    aim=spaces.MultiDiscrete([2, 2]),
    arm=spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.MultiBinary(1))),
)  # leaves in the order of keys: aim, arm, turn


def test_entries_are_counted_leaf_by_leaf():
    assert [
        choices_per_component(leaf) for leaf in (SPACE["aim"], SPACE["arm"][0], SPACE["arm"][1], SPACE["turn"])
    ] == [
        [2, 2],
        [],
        [2],
        [3],
    ]
    assert num_mask_entries(SPACE) == 4 + 0 + 2 + 3


@pytest.mark.trap(15)
@pytest.mark.parametrize(
    "mask",
    [
        [1, 0, 0, 1, 1, 1, 0, 0, 1],
        {"turn": [0, 0, 1], "aim": ([1, 0], [0, 1]), "arm": (None, [1, 1])},
        {"aim": np.array([1, 0, 0, 1]), "arm": None, "turn": np.array([False, False, True])},
    ],
)
def test_every_form_is_one_vector_in_the_order_of_the_leaves(mask):
    np.testing.assert_array_equal(flatten_mask(SPACE, mask), [1, 0, 0, 1, 1, 1, 0, 0, 1])


def test_no_mask_allows_all():
    np.testing.assert_array_equal(flatten_mask(SPACE, None), np.ones(9))
    np.testing.assert_array_equal(flatten_masks(SPACE, None, 2, "environment"), np.ones((2, 9)))


def test_masks_of_several_environments_may_differ_in_form():
    masks = [None, [1, 0, 0]]
    np.testing.assert_array_equal(flatten_masks(SPACE["turn"], masks, 2, "environment"), [[1, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        ([1, 0], r"the action_mask has 2 entries; the action space .* needs 3"),
        ([1, 0, 2], r"the action_mask has the entry 2; entries are 0 \(forbidden\) and 1"),
        ([1, 0, np.nan], r"the entry nan"),
        ({"turn": [1, 1, 1]}, r"has the keys \['turn'\], which are not those of the action space"),
    ],
)
def test_what_is_no_mask_is_refused(mask, text):
    with pytest.raises(UsageError, match=text):
        flatten_mask(SPACE["turn"], mask)


def test_one_component_without_a_choice_is_enough_to_be_stuck():
    allowed = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]]) > 0
    np.testing.assert_array_equal(no_action_allowed(SPACE["aim"], allowed), [False, True, True])


def test_a_random_action_is_allowed_and_counts_from_the_start_of_its_space():
    rng = np.random.default_rng(0)
    allowed = np.array([1, 0, 0, 1, 0, 1, 0, 1, 1]) > 0
    seen = [sample_allowed_action(SPACE, allowed, rng) for _ in range(20)]
    assert all(SPACE.contains(action) for action in seen)
    assert {tuple(action["aim"].tolist()) for action in seen} == {(0, 1)}
    assert {int(action["arm"][1][0]) for action in seen} == {1}
    assert {int(action["turn"]) for action in seen} == {6, 7}
