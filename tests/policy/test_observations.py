"""What the network sees of an observation, and how it is stored and normalised. Traps 12, 15, 32; fault 3."""

from functools import partial

import jax
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given

from proximax.config.ppo_config import PPOConfig
from proximax.maths import update_moments
from proximax.policy.observations import (
    encode_obs,
    encoded_shape,
    example_input,
    init_obs_moments,
    network_input_space,
    update_obs_moments,
    without_mask,
)
from proximax.spaces.masks import has_mask
from proximax.spaces.storage import obs_dtype, to_stored
from proximax.spaces.tree import flatten, leaves, unflatten
from proximax.types import Moments
from tests.support.strategies import SAMPLED
from tests.support.toy_gym import NESTED_OBS, view

INF = np.inf
BOX = spaces.Box(-1.0, 1.0, (2,))
IMAGE = spaces.Box(0, 255, (2, 2, 1), np.uint8)
MASK = spaces.MultiBinary(3)
learn = jax.jit(update_obs_moments)
MASKED = spaces.Dict(action_mask=MASK, x=BOX, y=spaces.Discrete(2))


def same(tree, expected):
    """Equal trees of equal arrays, dtypes included."""
    jax.tree.map(np.testing.assert_array_equal, tree, expected)
    assert [np.asarray(x).dtype for x in jax.tree.leaves(tree)] == [x.dtype for x in jax.tree.leaves(expected)]


def moments(mean, variance, count=8.0):
    mean, variance = np.asarray(mean, np.float32), np.asarray(variance, np.float32)
    return Moments(np.float32(count), mean, count * variance)


# ---------------------------------------------------------------- the kinds of leaves


@pytest.mark.trap(32)
def test_discrete_observations_honour_start():
    space = spaces.Discrete(3, start=-1)
    np.testing.assert_array_equal(encode_obs(space, None, np.array([-1, 0, 1])), np.eye(3))
    assert encoded_shape(space) == (3,)
    assert encode_obs(space, None, np.zeros((4, 2), np.int32)).shape == (4, 2, 3)


@pytest.mark.trap(32)
def test_images_are_stored_as_bytes_and_scaled_once():
    space = spaces.Box(0, 255, (2, 2, 1), np.uint8)
    assert obs_dtype(space) == np.uint8
    assert init_obs_moments(space, PPOConfig()) is None  # never normalised
    image = np.array([0, 51, 204, 255], np.uint8).reshape(1, 2, 2, 1)
    for encode in (partial(encode_obs, space, None), jax.jit(partial(encode_obs, space, None))):
        seen = encode(image)
        assert seen.dtype == np.float32
        assert seen.max() == 1.0  # 255 exactly
        np.testing.assert_allclose(np.ravel(seen), [0, 0.2, 0.8, 1], rtol=1e-6)


@pytest.mark.trap(32)
def test_multi_discrete_observations_are_one_vector_of_one_hots_that_honour_start():
    space = spaces.MultiDiscrete([2, 3], start=[5, -1])
    assert encoded_shape(space) == (5,)
    stored = to_stored(space, np.array([[5, -1], [6, 1], [5, 0]]))
    np.testing.assert_array_equal(encode_obs(space, None, stored), [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 0]])
    table = spaces.MultiDiscrete([[2, 3], [1, 2]], start=[[0, 1], [7, 0]])
    assert encoded_shape(table) == (8,)
    hand = [[0, 1, 0, 0, 1, 1, 1, 0], [1, 0, 1, 0, 0, 1, 0, 1]]
    np.testing.assert_array_equal(encode_obs(table, None, np.array([[[1, 3], [7, 0]], [[0, 1], [7, 1]]])), hand)


def test_multi_binary_observations_are_zeros_and_ones_in_their_own_shape():
    space = spaces.MultiBinary([2, 2])
    bits = np.array([[[0, 1], [1, 1]]], np.int8)
    assert obs_dtype(space) == np.int8
    assert encoded_shape(space) == (2, 2)
    same(encode_obs(space, None, to_stored(space, bits)), bits.astype(np.float32))
    assert init_obs_moments(space, PPOConfig()) is None


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (spaces.Box(-1, 1, (2,), np.float64), np.float32),
        (spaces.Box(-1, 1, (2,), np.float16), np.float32),
        (spaces.Box(-9, 9, (2,), np.int16), np.int16),
        (spaces.Discrete(5, start=3), np.int32),
        (spaces.MultiDiscrete([3, 4], start=[1, 2]), np.int64),
        (spaces.MultiBinary(3), np.int8),
    ],
)
def test_observations_are_stored_narrow_and_seen_as_float32(space, dtype):
    assert obs_dtype(space) == dtype
    stored = to_stored(space, np.stack([space.sample(), space.sample()]))
    assert stored.dtype == dtype
    seen = encode_obs(space, None, stored)
    assert seen.dtype == np.float32
    assert seen.shape == (2, *encoded_shape(space))


@pytest.mark.trap(28)
def test_observations_are_normalised_and_cut_to_ten():
    space = spaces.Box(-INF, INF, (2,), np.float64)
    seen = encode_obs(space, moments([1, -3], [4, 0.25]), np.array([[3, -3.5], [-1, -3], [1e6, -1e6]], np.float32))
    np.testing.assert_allclose(seen, [[1, -1], [-1, 0], [10, -10]], atol=1e-6)
    nothing = init_obs_moments(space, PPOConfig())
    assert nothing.count == 0
    np.testing.assert_allclose(encode_obs(space, nothing, np.array([[3.0, -4.0]], np.float32)), [[3, -4]])
    assert init_obs_moments(space, PPOConfig(normalise_obs=False)) is None
    assert init_obs_moments(spaces.Discrete(3), PPOConfig()) is None


# ---------------------------------------------------------------- nested


@pytest.mark.trap(32)
def test_every_leaf_of_a_nested_observation_is_encoded_by_its_own_rule():
    rows = [view(np.array(script)) for script in ([2.0, 1.0, 0.5], [3.0, 5.0, -0.5])]
    stored = to_stored(NESTED_OBS, jax.tree.map(lambda *x: np.stack(x), *rows))
    script = moments([1, 1, 0], [4, 1, 0.25])
    seen = encode_obs(NESTED_OBS, {"script": script, "eye": (None, None), "dial": None, "bits": None}, stored)
    np.testing.assert_array_equal(seen["bits"], [[0, 1], [1, 1]])
    dial = np.zeros((2, 13))
    dial[[0, 0, 1, 1], [2, 4 + 1, 3, 4 + 5]] = 1  # 1 + episode % 4 counted from 1, and the step
    np.testing.assert_array_equal(seen["dial"], dial)
    image, place = seen["eye"]
    np.testing.assert_allclose(image, np.array([40 / 255, 200 / 255]).reshape(2, 1, 1, 1) * np.ones((2, 2, 2, 1)))
    np.testing.assert_array_equal(place, np.eye(8)[[1, 5]])
    np.testing.assert_allclose(seen["script"], [[0.5, 0, 1], [1, 4, -1]], atol=1e-6)
    assert all(x.dtype == np.float32 for x in jax.tree.leaves(seen))
    example = example_input(NESTED_OBS)
    assert jax.tree.structure(example) == jax.tree.structure(seen)
    assert [x.shape[1:] for x in jax.tree.leaves(example)] == [x.shape[1:] for x in jax.tree.leaves(seen)]


def test_only_boxes_that_are_no_images_have_moments():
    found = init_obs_moments(NESTED_OBS, PPOConfig())
    assert jax.tree.leaves([found["bits"], found["dial"], found["eye"]]) == []
    assert found["script"].count == 0
    assert found["script"].mean.shape == (3,)
    assert init_obs_moments(NESTED_OBS, PPOConfig(normalise_obs=False)) is None
    without = spaces.Dict(a=spaces.Tuple((IMAGE, spaces.Discrete(2))))
    assert init_obs_moments(without, PPOConfig()) is None  # nothing to do
    bytes_that_count = spaces.Box(0, 9, (2,), np.int16)
    assert init_obs_moments(spaces.Tuple((IMAGE, bytes_that_count)), PPOConfig())[1].mean.shape == (2,)


def test_moments_of_each_leaf_see_the_valid_rows_only():
    space = spaces.Dict(a=BOX, b=spaces.Tuple((IMAGE, spaces.Box(-9.0, 9.0, ()))))
    rng, valid = np.random.default_rng(0), np.array([[1, 0], [1, 1], [0, 1]], np.float32)  # [T, N]
    obs = {"a": rng.normal(size=(3, 2, 2)), "b": (rng.integers(0, 255, (3, 2, 2, 2, 1)), rng.normal(size=(3, 2)))}
    obs = jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == float else x.astype(np.uint8), obs)
    obs["a"][valid == 0], obs["b"][1][valid == 0] = 1e30, 1e30  # a row that does not count
    found = learn(init_obs_moments(space, PPOConfig()), obs, valid)
    assert found["b"][0] is None
    for one, x in ((found["a"], obs["a"]), (found["b"][1], obs["b"][1])):
        kept = x[valid > 0]
        assert one.count == len(kept) == 4
        np.testing.assert_allclose(one.mean, kept.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(one.m2 / 4, kept.var(axis=0), rtol=1e-4)
    twice = learn(found, obs, valid)  # merged, not replaced
    assert twice["a"].count == 8
    np.testing.assert_allclose(twice["a"].mean, found["a"].mean, rtol=1e-5)
    assert learn(None, obs, valid) is None


# ---------------------------------------------------------------- the mask is no input


@pytest.mark.trap(15)
def test_the_mask_is_neither_seen_nor_normalised():
    obs = {"action_mask": np.array([[1, 0, 1]], np.int8), "x": np.array([[2.0, -4.0]], np.float32), "y": np.array([1])}
    assert list(network_input_space(MASKED).spaces) == ["x", "y"]
    assert list(encode_obs(MASKED, None, obs)) == list(example_input(MASKED)) == ["x", "y"]
    fresh = init_obs_moments(MASKED, PPOConfig())
    assert (fresh["action_mask"], fresh["y"]) == (None, None)
    learned = learn(fresh, obs, np.ones(1, np.float32))
    assert (learned["action_mask"], learned["x"].count) == (None, 1)
    other = {**obs, "action_mask": np.array([[0, 1, 0]], np.int8)}
    same(encode_obs(MASKED, learned, other), encode_obs(MASKED, learned, obs))
    floats = spaces.Dict(action_mask=spaces.Box(0.0, 1.0, (3,)), x=BOX)  # a mask in a Box is no number either
    assert init_obs_moments(floats, PPOConfig())["action_mask"] is None
    assert encode_obs(floats, None, {**obs, "x": obs["x"]}).shape == (1, 2)


def test_a_lone_entry_beside_the_mask_arrives_by_itself():
    for part, obs in ((BOX, np.ones((1, 2), np.float32)), (spaces.Dict(a=BOX), {"a": np.ones((1, 2), np.float32)})):
        space = spaces.Dict(action_mask=MASK, x=part)
        assert network_input_space(space) == part
        inside = encode_obs(space, None, {"action_mask": np.ones((1, 3), np.int8), "x": obs})
        same(inside, obs)
        assert jax.tree.structure(example_input(space)) == jax.tree.structure(obs)
    assert without_mask(BOX, 5) == 5


def test_a_normalised_lone_entry_uses_its_own_moments():
    space = spaces.Dict(action_mask=MASK, x=BOX)
    obs = {"action_mask": np.ones((1, 3), np.int8), "x": np.array([[3.0, 0.0]], np.float32)}
    found = encode_obs(space, {"action_mask": None, "x": moments([1, 1], [4, 1])}, obs)
    np.testing.assert_allclose(found, [[1, -1]], atol=1e-6)


def test_a_dict_of_nothing_but_an_action_mask_is_an_ordinary_observation():
    space = spaces.Dict(action_mask=BOX)
    assert network_input_space(space) == space
    obs = {"action_mask": np.ones((1, 2), np.float32)}
    same(encode_obs(space, None, obs), obs)


INNER = spaces.Dict(action_mask=spaces.Box(0.0, 1.0, (3,)), z=BOX)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict(agent=INNER, y=BOX),
        spaces.Tuple((INNER, BOX)),
        spaces.Dict(action_mask=MASK, agent=INNER, y=BOX),
        spaces.Dict(action_mask=MASK, agent=INNER),  # a lone entry, which is no top
    ],
)
def test_an_action_mask_further_down_is_an_ordinary_entry(space):
    ones = lambda space: unflatten(space, iter([np.ones((1, *leaf.shape), np.float32) for leaf in leaves(space)]))  # noqa: E731
    obs, example = ones(space), example_input(space)
    fresh = init_obs_moments(space, PPOConfig())
    learned = learn(fresh, obs, np.ones(1, np.float32))
    for found in (encode_obs(space, None, obs), encode_obs(space, learned, obs)):
        assert jax.tree.structure(found) == jax.tree.structure(example)
        assert [x.shape for x in jax.tree.leaves(found)] == [x.shape for x in jax.tree.leaves(example)]
    inner = fresh[0] if isinstance(space, spaces.Tuple) else fresh["agent"]
    assert inner["action_mask"].mean.shape == (3,)


# ---------------------------------------------------------------- storing


def test_storing_copies_only_what_has_to_change():
    space = spaces.Dict(a=IMAGE, b=spaces.Tuple((BOX, spaces.Box(-1, 1, (2,), np.float64), spaces.Discrete(3))))
    obs = {
        "a": np.zeros((4, 2, 2, 1), np.uint8),
        "b": (np.zeros((4, 2), np.float32), np.full((4, 2), 1 / 3), np.zeros(4, np.int64)),
    }
    stored = to_stored(space, obs)
    assert stored["a"] is obs["a"]
    assert stored["b"][0] is obs["b"][0]
    assert [x.dtype for x in stored["b"]] == [np.float32, np.float32, np.int32]
    np.testing.assert_array_equal(stored["b"][1], np.float32(1 / 3) * np.ones((4, 2)))
    plain = np.zeros((4, 2), np.float32)
    assert to_stored(BOX, plain) is plain
    assert to_stored(BOX, plain.astype(float)).dtype == np.float32


def test_storing_gives_a_plain_tree_in_the_order_of_the_leaves():
    sample = {"action_mask": [1, 0, 1], "y": 1, "x": [0.5, 2]}
    stored = to_stored(MASKED, sample)
    assert type(stored) is dict
    assert list(stored) == ["action_mask", "x", "y"]
    assert [x.dtype for x in stored.values()] == [obs_dtype(leaf) for leaf in leaves(MASKED)]
    assert type(to_stored(spaces.Tuple((BOX, BOX)), [plain := np.zeros(2, np.float32), plain])) is tuple


@pytest.mark.trap(12)
def test_many_updates_of_one_leaf_are_those_of_the_leaf_alone():
    space, rng = spaces.Tuple((BOX, spaces.Discrete(2))), np.random.default_rng(1)
    nested, alone = init_obs_moments(space, PPOConfig()), init_obs_moments(BOX, PPOConfig())
    learn_alone = jax.jit(update_moments)
    for _ in range(3):
        rows, valid = rng.normal(5, 2, (7, 2)).astype(np.float32), np.ones(7, np.float32)
        nested = learn(nested, (rows, np.zeros(7, np.int32)), valid)
        alone = learn_alone(alone, rows, valid)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), nested[0], alone)
    assert nested[1] is None


@pytest.mark.trap(32)
def test_pixels_are_scaled_once_and_normalised_only_when_asked():
    rng = np.random.default_rng(0)
    bytes_seen = rng.integers(0, 256, (5, 3, 2, 4, 6), np.uint8)
    bytes_seen[..., 0, 0] = 7  # a pixel that never changes
    space, valid = spaces.Box(0, 255, (2, 4, 6), np.uint8), jax.numpy.ones((5, 3))
    rows = bytes_seen.reshape(15, 2, 4, 6)
    assert init_obs_moments(space, PPOConfig()) is None
    np.testing.assert_array_equal(encode_obs(space, None, np.full((1, 2, 4, 6), 255, np.uint8)), 1.0)
    moments = update_obs_moments(init_obs_moments(space, PPOConfig(normalise_pixels=True)), bytes_seen, valid)
    mean, spread = (rows / 255.0).mean(axis=0), (rows / 255.0).var(axis=0)
    expected = np.clip((rows / 255.0 - mean) / np.sqrt(spread + 1e-3), -10, 10)
    found = np.asarray(encode_obs(space, moments, rows))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[..., 0, 0], 0.0, atol=1e-4)


@pytest.mark.trap(32)
@given(SAMPLED.filter(lambda space: not has_mask(space)))
def test_any_observation_is_encoded_by_the_rules_of_its_leaves(space):
    space.seed(0)
    each = [space.sample() for _ in range(2)]
    rows = [np.stack(parts) for parts in zip(*(flatten(space, one) for one in each))]
    kept = to_stored(space, unflatten(space, iter(rows)))
    for leaf, x, raw in zip(leaves(space), flatten(space, kept), rows, strict=True):
        assert x.dtype == obs_dtype(leaf)
        np.testing.assert_array_equal(x, raw.astype(x.dtype))
    encoded = encode_obs(space, None, kept)
    example = example_input(space)
    assert jax.tree.structure(encoded) == jax.tree.structure(example)
    for leaf, x, raw in zip(leaves(space), flatten(space, encoded), rows, strict=True):
        assert (x.shape, x.dtype) == ((2, *encoded_shape(leaf)), np.float32)
        if isinstance(leaf, (spaces.Discrete, spaces.MultiDiscrete)):
            sizes = [int(leaf.n)] if isinstance(leaf, spaces.Discrete) else leaf.nvec.ravel().tolist()
            hots = np.split(np.asarray(x), np.cumsum(sizes)[:-1], axis=1)
            assert all((np.sort(hot, axis=1) == [0] * (n - 1) + [1]).all() for hot, n in zip(hots, sizes))
            chosen = np.stack([hot.argmax(axis=1) for hot in hots], axis=1).reshape(raw.shape)
            np.testing.assert_array_equal(chosen + leaf.start, raw)
        else:
            scale = 255 if leaf.dtype == np.uint8 and isinstance(leaf, spaces.Box) else 1
            np.testing.assert_allclose(x, raw.astype(np.float64) / scale, rtol=1e-6)
