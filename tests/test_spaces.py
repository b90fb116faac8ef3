"""What goes into the network, what goes out to the environment, what is refused. TRAPS 17, 32; FAULTS 3, 4, 10."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from gymnasium import spaces

from proximax.checkpoint import describe_space, make_space
from proximax.errors import UsageError
from proximax.spaces import (
    check_action_space,
    check_observation_space,
    encode_obs,
    env_action,
    init_obs_moments,
    num_outputs,
    obs_dtype,
    obs_shape,
)
from proximax.types import Moments

INF = np.inf


def box(low, high, dtype=np.float32):
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


def sent(space, raw):
    """The environment's actions for raw samples, as an environment gets them."""
    return np.asarray(env_action(space, np.asarray(raw, np.float32))).astype(space.dtype)


def test_trap_17_bounded_dimensions_map_minus_one_to_one_onto_the_bounds_and_clip():
    space = box([-2, 0, 10], [2, 1, 30])
    raw = [[-1] * 3, [1] * 3, [0] * 3, [0.5] * 3, [9] * 3, [-9] * 3]
    expected = [[-2, 0, 10], [2, 1, 30], [0, 0.5, 20], [1, 0.75, 25], [2, 1, 30], [-2, 0, 10]]
    np.testing.assert_array_equal(sent(space, raw), np.array(expected, np.float32))


def test_trap_17_each_dimension_follows_its_own_bounds():
    space = box([0, -INF, 0, -INF], [4, INF, INF, 2])  # both, none, below only, above only
    raw = [[0, 123.5, -3, -50], [0.5, -123.5, 5, 7], [-7, 0, 0, 2]]
    expected = [[2, 123.5, 0, -50], [3, -123.5, 5, 2], [0, 0, 0, 2]]
    np.testing.assert_array_equal(sent(space, raw), np.array(expected, np.float32))


def test_trap_17_shapes_of_any_rank_take_their_bounds_elementwise():
    space = box([[0, 0], [0, -1]], [[1, 2], [4, 1]])
    assert num_outputs(space) == 4
    ends = np.stack([-np.ones(4), np.ones(4), np.zeros(4)])
    np.testing.assert_array_equal(sent(space, ends), np.stack([space.low, space.high, [[0.5, 1], [2, 0]]]))
    rollout = np.broadcast_to(ends[:, None], (3, 2, 4))  # [T, N, A]
    assert sent(space, rollout).shape == (3, 2, 2, 2)
    np.testing.assert_array_equal(sent(space, rollout)[:, 1], sent(space, ends))
    scalar = spaces.Box(-2.0, 6.0, ())
    np.testing.assert_array_equal(sent(scalar, [[-1], [0], [5]]), [-2, 2, 6])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trap_17_no_action_leaves_its_space_by_rounding(dtype):
    low, high = [-0.1, 0.1, -1e-8, -0.7, 1e5 / 3], [0.1, 0.7, 1e-7, INF, 1e6 / 3]
    space = box(low, high, dtype)
    raw = np.random.default_rng(0).normal(size=(500, 5)) * 2
    assert all(
        space.contains(action) for action in sent(space, np.concatenate([raw, -np.ones((1, 5)), np.ones((1, 5))]))
    )


def test_trap_17_the_largest_finite_bounds_give_finite_actions():
    most = np.finfo(np.float32).max
    actions = sent(box([-most], [most]), [[-1.0], [0.0], [1.0]])
    assert np.isfinite(actions).all()
    assert actions[1] == 0


def test_trap_32_discrete_actions_and_observations_honour_start():
    space = spaces.Discrete(3, start=-1)
    actions = np.asarray(env_action(space, np.array([0, 1, 2])))
    np.testing.assert_array_equal(actions, [-1, 0, 1])
    assert np.issubdtype(actions.dtype, np.integer)
    np.testing.assert_array_equal(encode_obs(space, None, actions), np.eye(3))
    assert num_outputs(space) == 3
    assert obs_shape(space) == (3,)
    assert encode_obs(space, None, np.zeros((4, 2), np.int32)).shape == (4, 2, 3)


def test_trap_32_images_are_stored_as_bytes_and_scaled_once():
    space = spaces.Box(0, 255, (2, 2, 1), np.uint8)
    assert obs_dtype(space) == np.uint8
    assert init_obs_moments(space, True) is None  # never normalised
    image = np.array([0, 51, 204, 255], np.uint8).reshape(1, 2, 2, 1)
    for encode in (partial(encode_obs, space, None), jax.jit(partial(encode_obs, space, None))):
        seen = encode(image)
        assert seen.dtype == np.float32
        assert seen.max() == 1.0  # 255 exactly
        np.testing.assert_allclose(np.ravel(seen), [0, 0.2, 0.8, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (spaces.Box(-1, 1, (2,), np.float64), np.float32),
        (spaces.Box(-1, 1, (2,), np.float16), np.float32),
        (spaces.Box(-9, 9, (2,), np.int16), np.int16),
        (spaces.Discrete(5, start=3), np.int32),
    ],
)
def test_observations_are_stored_narrow_and_seen_as_float32(space, dtype):
    assert obs_dtype(space) == dtype
    stored = np.stack([space.sample(), space.sample()]).astype(obs_dtype(space))
    seen = encode_obs(space, None, stored)
    assert seen.dtype == np.float32
    assert seen.shape == (2, *obs_shape(space))


def test_observations_are_normalised_and_cut_to_ten():
    space = spaces.Box(-INF, INF, (2,), np.float64)
    moments = Moments(np.float32(8), np.array([1, -3], np.float32), 8 * np.array([4, 0.25], np.float32))
    seen = encode_obs(space, moments, np.array([[3, -3.5], [-1, -3], [1e6, -1e6]], np.float32))
    np.testing.assert_allclose(seen, [[1, -1], [-1, 0], [10, -10]], atol=1e-6)
    nothing = init_obs_moments(space, True)
    assert nothing.count == 0
    np.testing.assert_allclose(encode_obs(space, nothing, np.array([[3.0, -4.0]], np.float32)), [[3, -4]])
    assert init_obs_moments(space, False) is None
    assert init_obs_moments(spaces.Discrete(3), True) is None


BOX = spaces.Box(-1.0, 1.0, (2,))
UNSUPPORTED = [
    (spaces.MultiBinary(3), r"observation space obs is a MultiBinary\. Supported: Box, Discrete"),
    (spaces.Text(5), "observation space obs is a Text"),
    (spaces.Sequence(BOX), "observation space obs is a Sequence"),
    (spaces.Graph(BOX, BOX), "observation space obs is a Graph"),
    (spaces.OneOf((BOX, BOX)), "observation space obs is a OneOf"),
    (spaces.Dict(a=spaces.Tuple((BOX, spaces.Text(5)))), r"observation space obs\['a'\]\[1\] is a Text"),
    (spaces.Tuple((BOX, spaces.Dict(b=spaces.Graph(BOX, BOX)))), r"observation space obs\[1\]\['b'\] is a Graph"),
    (spaces.Dict(a=BOX), "obs is a Dict.*gymnasium.wrappers.FlattenObservation"),
    (spaces.Tuple((BOX, BOX)), "obs is a Tuple.*gymnasium.wrappers.FlattenObservation"),
]


@pytest.mark.parametrize(("space", "text"), UNSUPPORTED)
def test_fault_03_an_unsupported_observation_space_is_named_with_its_path(space, text):
    with pytest.raises(UsageError, match=text):
        check_observation_space(space)


@pytest.mark.parametrize("space", [BOX, spaces.Discrete(3, start=1), spaces.Box(0, 255, (4, 4), np.uint8)])
def test_supported_observation_spaces_pass(space):
    check_observation_space(space)


DESCRIBED = [
    spaces.Box(-INF, INF, (3,)),
    box([[0, -1], [-INF, 2.5]], [[0.1, INF], [7, 1e30]]),
    spaces.Box(-0.1, 1 / 3, (2,), np.float64),
    spaces.Box(0, 255, (2, 3, 1), np.uint8),
    spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    spaces.Box(-2.0, 6.0, ()),
    spaces.Discrete(4, start=-7),
]


@pytest.mark.parametrize("space", DESCRIBED)
def test_a_described_space_is_made_again_equal(space):
    again = make_space(json.loads(json.dumps(describe_space(space), allow_nan=False)))
    assert again == space
    assert again.dtype == space.dtype


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), spaces.Dict(a=BOX)])
def test_fault_03_an_unsupported_action_space_is_named(space):
    with pytest.raises(UsageError, match=f"action space is a {type(space).__name__}. Supported: Discrete, Box"):
        check_action_space(space)


def test_fault_03_integer_boxes_are_no_action_spaces():
    with pytest.raises(UsageError, match=r"action space is a Box of int32\. Supported: Box of floats, Discrete"):
        check_action_space(spaces.Box(0, 9, (2,), np.int32))


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1), (-1, np.nan), (0, 0), (1, 0), (INF, INF), (-INF, -INF)])
def test_fault_10_impossible_action_bounds_are_named_with_their_index(low, high):
    space = spaces.Box(-1.0, 1.0, (2, 2))
    space.low, space.high = space.low.copy(), space.high.copy()  # Gymnasium refuses some of these itself, others not
    space.low[1, 0], space.high[1, 0] = low, high
    with pytest.raises(UsageError, match=rf"bounds at \(1, 0\) are low = {float(low)}, high = {float(high)}; low must"):
        check_action_space(space)


@pytest.mark.parametrize(
    "space", [box([-1, -INF], [1, INF]), box([0, -INF], [INF, 0]), spaces.Discrete(1), spaces.Box(-1.0, 1.0, ())]
)
def test_supported_action_spaces_pass(space):
    check_action_space(space)
