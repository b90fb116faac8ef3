"""Which spaces are supported, and how one that is not is named with its place. Faults 3, 5, 10."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.spaces.checks import check_action_space, check_leaves, check_observation_space
from tests.support.toy_gym import ACTIONS, NESTED_OBS

INF = np.inf
BOX = spaces.Box(-1.0, 1.0, (2,))
IMAGE = spaces.Box(0, 255, (2, 2, 1), np.uint8)
MASK = spaces.MultiBinary(3)
TEXT, SEQUENCE, GRAPH = spaces.Text(5), spaces.Sequence(BOX), spaces.Graph(BOX, BOX)
PLACES = [
    (TEXT, r"thing space is a Text\. Supported: Box, Discrete, and Dict and Tuple of these"),
    (SEQUENCE, "thing space is a Sequence"),
    (spaces.OneOf((BOX, BOX)), "thing space is a OneOf"),
    (spaces.MultiBinary(2), "thing space is a MultiBinary"),
    (spaces.Dict(a=spaces.Tuple((BOX, TEXT))), r"thing space at thing\['a'\]\[1\] is a Text"),
    (spaces.Tuple((BOX, spaces.Dict(b=GRAPH, a=BOX))), r"thing space at thing\[1\]\['b'\] is a Graph"),
    (spaces.Dict(a=BOX, z=spaces.Dict(y=spaces.Dict(x=SEQUENCE))), r"thing\['z'\]\['y'\]\['x'\] is a Sequence"),
    (spaces.Dict({}), "thing space thing is an empty Dict"),
    (spaces.Tuple(()), "thing space thing is an empty Tuple"),
    (spaces.Dict(a=BOX, b=spaces.Tuple(())), r"thing space thing\['b'\] is an empty Tuple"),
    (spaces.Dict({1: BOX, 2: BOX}), r"thing space thing is a Dict with keys that are not strings: \[1, 2\]"),
    (spaces.Tuple((spaces.Dict([("a", BOX), (3, BOX)]),)), r"thing\[0\] is a Dict with keys that are not strings"),
]


@pytest.mark.fault(3)
@pytest.mark.parametrize(("space", "text"), PLACES)
def test_what_is_not_supported_is_named_with_its_place(space, text):
    with pytest.raises(UsageError, match=text):
        check_leaves(space, "thing", (spaces.Box, spaces.Discrete))


BIG = 2**31


@pytest.mark.parametrize(
    ("space", "least", "most"),
    [
        (spaces.Discrete(3, start=2**40), 2**40, 2**40 + 2),
        (spaces.Discrete(3, start=-BIG - 1), -BIG - 1, -BIG + 1),
        (spaces.Discrete(2, start=BIG - 1), BIG - 1, BIG),
        (spaces.MultiDiscrete([2, 3], start=[0, BIG - 2]), 0, BIG),
    ],
)
def test_choices_whose_numbers_exceed_32_bits_are_refused(space, least, most):
    for outer, where in ((space, "thing space is"), (spaces.Dict(a=space), r"thing space at thing\['a'\] is")):
        with pytest.raises(UsageError, match=rf"{where} .*Discrete.* go from {least} to {most}; .* Count from 0"):
            check_leaves(outer, "thing", (spaces.Discrete, spaces.MultiDiscrete))


NONE = spaces.Box(-1, 1, (0, 3), np.float32)


@pytest.mark.fault(3)
@pytest.mark.parametrize("space", [NONE, spaces.Dict(a=BOX, b=spaces.Tuple((NONE,)))])
def test_a_box_without_elements_is_refused_by_name(space):
    where = "thing space is" if space is NONE else r"thing space at thing\['b'\]\[0\] is"
    with pytest.raises(UsageError, match=rf"{where} Box.*\(0, 3\).*, which has no elements"):
        check_leaves(space, "thing", (spaces.Box,))


@pytest.mark.fault(5)
def test_a_space_of_the_old_package_is_named_as_such():
    kind = type("Box", (spaces.Box,), {"__module__": "gym.spaces.box"})
    with pytest.raises(UsageError, match=r"thing\['a'\] is a Box of the old package gym; Gymnasium's is needed"):
        check_leaves(spaces.Dict(a=kind(-1, 1, (2,))), "thing", (spaces.Box,))


def test_no_choices_at_all_are_refused():
    with pytest.raises(UsageError, match=r"thing space at thing\[0\] is an empty MultiDiscrete"):
        check_leaves(spaces.Tuple((spaces.MultiDiscrete([]),)), "thing", (spaces.MultiDiscrete,))


def test_choices_up_to_32_bits_pass():
    for space in (
        spaces.Discrete(2, start=BIG - 2),
        spaces.Discrete(2, start=-BIG),
        spaces.Discrete(100, dtype=np.int8),
    ):
        check_leaves(space, "thing", (spaces.Discrete,))
    check_leaves(spaces.MultiDiscrete([[2], [1]], start=[[BIG - 2], [-BIG]]), "thing", (spaces.MultiDiscrete,))


@pytest.mark.parametrize("space", [NESTED_OBS, ACTIONS["nested"], spaces.Tuple((BOX, BOX)), spaces.Dict(only=BOX), BOX])
def test_supported_spaces_pass(space):
    check_leaves(space, "thing", (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary))


# ---------------------------------------------------------------- observations


UNSUPPORTED_OBSERVATIONS = [
    (spaces.Text(5), r"observation space is a Text\. Supported: Box, Discrete, MultiDiscrete, MultiBinary"),
    (spaces.Sequence(BOX), "observation space is a Sequence"),
    (spaces.Graph(BOX, BOX), "observation space is a Graph"),
    (spaces.OneOf((BOX, BOX)), "observation space is a OneOf"),
    (spaces.Dict(a=spaces.Tuple((BOX, spaces.Text(5)))), r"at observation\['a'\]\[1\] is a Text"),
    (spaces.Tuple((BOX, spaces.Dict(b=spaces.Graph(BOX, BOX)))), r"at observation\[1\]\['b'\] is a Graph"),
    (spaces.Dict(a=spaces.Sequence(BOX), action_mask=MASK), r"at observation\['a'\] is a Sequence"),
]


@pytest.mark.fault(3)
@pytest.mark.parametrize(("space", "text"), UNSUPPORTED_OBSERVATIONS)
def test_an_unsupported_observation_space_is_named_with_its_path(space, text):
    with pytest.raises(UsageError, match=text):
        check_observation_space(space)


@pytest.mark.parametrize(
    "space",
    [
        BOX,
        spaces.Discrete(3, start=1),
        IMAGE,
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary([2, 2]),
        spaces.Dict(a=BOX),
        spaces.Tuple((BOX, spaces.Dict(b=IMAGE))),
        NESTED_OBS,
        spaces.Dict(action_mask=MASK, x=BOX, y=spaces.Discrete(2)),
    ],
)
def test_supported_observation_spaces_pass(space):
    check_observation_space(space)


# ---------------------------------------------------------------- actions


UNSUPPORTED_ACTIONS = [
    (spaces.Text(3), r"action space is a Text\. Supported: Discrete, Box, MultiDiscrete, MultiBinary"),
    (spaces.Dict(a=spaces.Tuple((BOX, spaces.Sequence(BOX)))), r"action space at action\['a'\]\[1\] is a Sequence"),
    (spaces.Tuple((BOX, spaces.Dict(b=spaces.Graph(BOX, BOX)))), r"action space at action\[1\]\['b'\] is a Graph"),
    (spaces.Dict({}), "action space action is an empty Dict"),
    (spaces.Dict({0: BOX}), "with keys that are not strings"),
]


@pytest.mark.fault(3)
@pytest.mark.parametrize(("space", "text"), UNSUPPORTED_ACTIONS)
def test_an_unsupported_action_space_is_named_with_its_path(space, text):
    with pytest.raises(UsageError, match=text):
        check_action_space(space)


@pytest.mark.fault(3)
def test_integer_boxes_are_no_action_spaces():
    leaf = spaces.Box(0, 9, (2,), np.int32)
    for space, where in ((leaf, ""), (spaces.Tuple((BOX, leaf)), r" at action\[1\]")):
        with pytest.raises(
            UsageError, match=rf"action space{where} is a Box of int32\. Supported: Box of floats, MultiDiscrete"
        ):
            check_action_space(space)


@pytest.mark.fault(10)
@pytest.mark.parametrize(("low", "high"), [(np.nan, 1), (-1, np.nan), (0, 0), (1, 0), (INF, INF), (-INF, -INF)])
def test_impossible_action_bounds_are_named_with_their_index(low, high):
    space = spaces.Box(-1.0, 1.0, (2, 2))
    space.low, space.high = space.low.copy(), space.high.copy()  # Gymnasium refuses some of these itself, others not
    space.low[1, 0], space.high[1, 0] = low, high
    for around, where in ((space, ""), (spaces.Dict(a=BOX, b=spaces.Tuple((space,))), r" at action\['b'\]\[0\]")):
        with pytest.raises(
            UsageError, match=rf"space{where} bounds at \(1, 0\) are low = {float(low)}, high = {float(high)}; low must"
        ):
            check_action_space(around)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(np.array([-1, -INF], np.float32), np.array([1, INF], np.float32)),
        spaces.Box(np.array([0, -INF], np.float32), np.array([INF, 0], np.float32)),
        spaces.Discrete(1),
        spaces.Box(-1.0, 1.0, ()),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
        spaces.Dict(a=BOX),
        *ACTIONS.values(),
        spaces.Box(-1.0, 1.0, (2,), np.float64),
        spaces.Discrete(3, start=-1, dtype=np.int8),
    ],
)
def test_supported_action_spaces_pass(space):
    check_action_space(space)
