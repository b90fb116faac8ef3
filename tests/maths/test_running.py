"""Running moments, normalisation and reward scaling: hand numbers, shards, offsets, episode ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import jaxtyped

from proximax import maths
from proximax.maths import (
    Moments,
    batch_moments,
    init_moments,
    merge_moments,
    normalise,
    running,
    scale_reward,
    update_moments,
    variance,
)

PUBLIC = [name for name in maths.__all__ if getattr(maths, name).__module__ == running.__name__]
compiled_moments = jax.jit(batch_moments, static_argnums=1)
compiled_scale_reward = jax.jit(scale_reward, static_argnums=5)
RNG = np.random.default_rng(0)
ROWS = jnp.asarray(RNG.standard_normal((5, 8, 3)) * 4.0 + 2.0, jnp.float32)
WEIGHT = jnp.asarray(RNG.random((5, 8)) < 0.7, jnp.float32)


@pytest.mark.parametrize("name", PUBLIC)
def test_eager_jit_and_vmap_agree(name):
    last, no_return = jnp.arange(24).reshape(8, 3) % 5 == 4, jnp.zeros(3)
    function = {
        "init_moments": lambda x, w: init_moments(x.shape)._replace(count=jnp.sum(w)),
        "batch_moments": lambda x, w: batch_moments(x, (3,), w),
        "variance": lambda x, w: variance(batch_moments(x, (3,), w)),
        "merge_moments": lambda x, w: merge_moments(batch_moments(x, (3,), w), batch_moments(-x, (3,))),
        "update_moments": lambda x, w: update_moments(batch_moments(x, (3,)), 2.0 * x, w),
        "normalise": lambda x, w: normalise(batch_moments(x, (3,), w), x),
        "scale_reward": lambda x, w: scale_reward(
            no_return, init_moments(()), x, last, jnp.stack([w, w, w], axis=1), 0.9
        ),
    }[name]
    eager = jax.tree.map(lambda *x: np.stack(x), *(function(*row) for row in zip(ROWS, WEIGHT)))
    jitted = jax.jit(function)(ROWS[0], WEIGHT[0])
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # noqa: E731
    jax.tree.map(close, jitted, jax.tree.map(lambda x: x[0], eager))
    jax.tree.map(close, jax.jit(jax.vmap(function))(ROWS, WEIGHT), eager)


def test_moments_by_hand():
    moments = compiled_moments(jnp.array([[1.0, 10.0], [3.0, 10.0]]), (2,))
    np.testing.assert_array_equal(moments.count, 2.0)
    np.testing.assert_array_equal(moments.mean, [2.0, 10.0])
    np.testing.assert_array_equal(moments.m2, [2.0, 0.0])
    np.testing.assert_array_equal(variance(moments), [1.0, 0.0])
    # 1, 3 and 5, 7, 9: mean 5, deviations 16 + 4 + 0 + 4 + 16.
    both = update_moments(compiled_moments(jnp.array([1.0, 3.0]), ()), jnp.array([5.0, 7.0, 9.0]))
    assert (float(both.count), float(both.mean), float(both.m2)) == (5.0, 5.0, 40.0)


def test_all_leading_axes_are_rows():
    flat = compiled_moments(ROWS.reshape(40, 3), (3,), WEIGHT.reshape(40))
    jax.tree.map(np.testing.assert_array_equal, compiled_moments(ROWS, (3,), WEIGHT), flat)
    images = compiled_moments(ROWS, (8, 3))
    assert (float(images.count), images.mean.shape) == (5.0, (8, 3))
    np.testing.assert_allclose(images.mean, np.mean(ROWS, axis=0), rtol=1e-5)
    scalars = compiled_moments(ROWS, ())
    assert (float(scalars.count), scalars.mean.shape) == (120.0, ())
    np.testing.assert_allclose(variance(scalars), np.var(ROWS), rtol=1e-5)


@pytest.mark.trap(10)
def test_wrong_shapes_raise():
    for wrong in (
        lambda: batch_moments(ROWS, (2,)),
        lambda: batch_moments(ROWS, (4,)),  # 120 numbers can be cut into rows of 4, but these are not
        lambda: batch_moments(ROWS, (3,), WEIGHT[0]),
        lambda: batch_moments(ROWS, (3,), WEIGHT.T),
        lambda: update_moments(init_moments((2,)), ROWS),
        lambda: normalise(init_moments((2,)), ROWS),
        lambda: merge_moments(init_moments((3,)), init_moments((2,))),
    ):
        with pytest.raises((TypeError, ValueError)):
            wrong()


@pytest.mark.trap(10)
@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_reward_scaling_refuses_other_shapes_by_its_annotations(position):
    args = [jnp.zeros(2), jnp.zeros((4, 2)), jnp.zeros((4, 2), bool), jnp.ones((4, 2))]
    for cut in (args[position][..., :1], args[position][..., 0]):
        wrong = [*args[:position], cut, *args[position + 1 :]]
        with pytest.raises(TypeError):
            jaxtyped(typechecker=beartype)(scale_reward)(wrong[0], init_moments(()), *wrong[1:], 0.5)


@pytest.mark.trap(30)
@pytest.mark.parametrize("shards", [2, 100])
def test_merged_shards_equal_the_whole(shards):
    rows = np.random.default_rng(1).standard_normal((4000, 2)) * [0.1, 30.0] + [5.0, -2.0]
    parts = [compiled_moments(jnp.asarray(part, jnp.float32), (2,)) for part in np.array_split(rows, shards)]
    merged = init_moments((2,))
    for part in parts:
        merged = merge_moments(merged, part)
    backwards = init_moments((2,))
    for part in reversed(parts):
        backwards = merge_moments(part, backwards)
    for moments in (merged, backwards):
        assert float(moments.count) == 4000.0
        np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(variance(moments), rows.var(axis=0), rtol=1e-4)


@pytest.mark.trap(30)
def test_shards_of_different_size_and_weight_merge_to_the_whole():
    whole = compiled_moments(ROWS, (3,), WEIGHT)
    parts = [compiled_moments(ROWS[a:b], (3,), WEIGHT[a:b]) for a, b in ((0, 1), (1, 5))]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), merge_moments(*parts), whole)
    jax.tree.map(np.testing.assert_array_equal, merge_moments(init_moments((3,)), whole), whole)
    jax.tree.map(np.testing.assert_array_equal, merge_moments(whole, init_moments((3,))), whole)


@pytest.mark.trap(30)
@pytest.mark.parametrize("shards", [1, 10])
@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_a_large_offset_keeps_precision(offset, shards):
    # One float32 step at 1e4 is 0.001; E[x²] - E[x]² would lose everything below a variance of 8.
    rows = (offset + 0.1 * np.random.default_rng(2).standard_normal(10_000)).astype(np.float32)
    moments = init_moments(())
    for part in np.array_split(rows, shards):
        moments = update_moments(moments, jnp.asarray(part))
    assert float(moments.mean) == pytest.approx(rows.mean(dtype=np.float64), abs=0.005)
    assert float(variance(moments)) == pytest.approx(rows.var(dtype=np.float64), rel=0.01)


@pytest.mark.trap(3)
@pytest.mark.parametrize("garbage", [1e6, np.inf, np.nan])
def test_rows_without_weight_do_not_count_even_if_not_finite(garbage):
    rows = jnp.asarray(np.where(np.asarray(WEIGHT)[:, :, None] > 0, ROWS, np.float32(garbage)))
    moments = compiled_moments(rows, (3,), WEIGHT)
    counted = np.asarray(ROWS)[np.asarray(WEIGHT) > 0]
    assert float(moments.count) == len(counted)
    np.testing.assert_allclose(moments.mean, counted.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance(moments), counted.var(axis=0), rtol=1e-5)
    before = compiled_moments(ROWS, (3,))
    after = update_moments(before, jnp.full((2, 3), garbage), jnp.zeros(2))
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_moments_of_nothing_leave_numbers_as_they_are():
    np.testing.assert_array_equal(variance(init_moments((3,))), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(normalise(init_moments((3,)), ROWS), ROWS)


def test_normalise_by_hand():
    moments = Moments(jnp.array(4.0), jnp.array([1.0, -2.0]), jnp.array([16.0, 1.0]))  # std 2 and ½
    np.testing.assert_allclose(normalise(moments, jnp.array([5.0, -1.0])), [2.0, 2.0], rtol=1e-6)
    batch = normalise(moments, jnp.array([[[1.0, -2.0]], [[-1.0, -2.5]]]))
    np.testing.assert_allclose(batch, [[[0.0, 0.0]], [[-1.0, -1.0]]], rtol=1e-6)


def test_normalised_rows_have_mean_zero_and_variance_one():
    x = normalise(compiled_moments(ROWS, (3,)), ROWS)
    np.testing.assert_allclose(np.mean(x, axis=(0, 1)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(np.var(x, axis=(0, 1)), np.ones(3), rtol=1e-5)


def test_a_constant_column_normalises_to_zero():
    moments = compiled_moments(jnp.full((6, 1), 3.0), (1,))
    np.testing.assert_array_equal(normalise(moments, jnp.full((6, 1), 3.0)), np.zeros((6, 1)))


def scaled(reward, last, valid=None, carried=0.0, moments=None):
    """``scale_reward`` for one environment with gamma ½, from and to flat lists."""
    column = lambda x, dtype: jnp.asarray(np.array(x, dtype)[:, None])  # noqa: E731
    valid = [1.0] * len(reward) if valid is None else valid
    columns = column(reward, np.float32), column(last, bool), column(valid, np.float32)
    moments = init_moments(()) if moments is None else moments
    result, carried, moments = compiled_scale_reward(jnp.array([carried]), moments, *columns, 0.5)
    return np.asarray(result)[:, 0], float(np.asarray(carried)[0]), moments


@pytest.mark.trap(29)
def test_reward_scaling_does_not_look_across_an_episode_end():
    # R = 1, 1½ | 1, 1½: mean 1¼, standard deviation ¼. Across the end R would be 1, 1½, 1¾, 1⅞.
    reward, carried, moments = scaled([1.0, 1.0, 1.0, 1.0], last=[0, 1, 0, 0])
    np.testing.assert_allclose(reward, [4.0, 4.0, 4.0, 4.0], rtol=1e-6)
    assert carried == 1.5
    assert (float(moments.count), float(moments.mean), float(moments.m2)) == (4.0, 1.25, 0.25)


@pytest.mark.trap(29)
def test_the_return_is_carried_to_the_next_rollout_unless_the_episode_ended():
    assert scaled([1.0, 1.0], last=[0, 0])[1] == 1.5
    assert scaled([1.0, 1.0], last=[0, 1])[1] == 0.0
    _, carried, moments = scaled([0.0, 4.0], last=[0, 0], carried=1.5)  # R = ¾, 4⅜
    assert (carried, float(moments.mean)) == (4.375, 2.5625)


@pytest.mark.trap(29)
def test_two_rollouts_count_like_one_long_one():
    reward, last = [1.0, -2.0, 0.5, 3.0, 1.0, 0.0], [0, 0, 1, 0, 0, 1]
    whole, whole_carried, whole_moments = scaled(reward, last)
    _, carried, moments = scaled(reward[:4], last[:4])
    second, carried, moments = scaled(reward[4:], last[4:], carried=carried, moments=moments)
    assert carried == whole_carried
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moments, whole_moments)
    np.testing.assert_allclose(second, whole[4:], rtol=1e-6)


@pytest.mark.trap(29)
def test_the_variance_includes_the_rollout_that_is_scaled():
    seen = Moments(jnp.array(4.0), jnp.array(1.25), jnp.array(0.25))  # from 1, 1½, 1, 1½
    reward, _, moments = scaled([1.25] * 12, last=[1] * 12, moments=seen)
    assert float(variance(moments)) == 0.015625  # ¼ over 16 rows: standard deviation ⅛
    np.testing.assert_allclose(reward, np.full(12, 10.0), rtol=1e-6)


@pytest.mark.trap(29)
def test_the_mean_is_not_subtracted():
    reward = [5.0, 6.0, 0.0, 7.0, -1.0]
    result, _, _ = scaled(reward, last=[1, 1, 1, 1, 1])
    np.testing.assert_allclose(result, np.array(reward) / np.std(reward), rtol=1e-6)


@pytest.mark.trap(3)
def test_the_reset_step_does_not_count_in_reward_scaling():
    # The row after the end is the reset of next-step autoreset: reward 0, no transition. The rest is as above.
    reward, carried, moments = scaled([1.0, 1.0, 0.0, 1.0, 1.0], last=[0, 1, 0, 0, 0], valid=[1, 1, 0, 1, 1])
    np.testing.assert_allclose(reward, [4.0, 4.0, 0.0, 4.0, 4.0], rtol=1e-6)
    assert (carried, float(moments.count), float(moments.mean)) == (1.5, 4.0, 1.25)


def test_reward_scaling_runs_each_environment_apart_and_pools_the_variance():
    reward, last = jnp.array([[1.0, 2.0], [1.0, 2.0]]), jnp.array([[False, True], [False, False]])
    result, carried, moments = compiled_scale_reward(
        jnp.zeros(2), init_moments(()), reward, last, jnp.ones((2, 2)), 0.5
    )
    np.testing.assert_array_equal(carried, [1.5, 2.0])
    np.testing.assert_allclose(moments.mean, 1.625)  # R = 1, 1½ and 2, 2
    np.testing.assert_allclose(result, reward / np.std([1.0, 1.5, 2.0, 2.0]), rtol=1e-6)


def test_no_reward_at_all_stays_zero():
    result, carried, _ = scaled([0.0, 0.0, 0.0], last=[0, 0, 0])
    np.testing.assert_array_equal(result, np.zeros(3))
    assert carried == 0.0


# ---------------------------------------------------------------- any rows, cut anywhere

ROWS_OF = 8, 12  # sizes: every one is a program


@st.composite
def shards(draw):
    """Batches of rows ``[n, 2]`` with weights 0 and 1, around an offset that may be large."""
    found = []
    offset = draw(st.sampled_from([0.0, -5.0, 1e3, 1e6]))
    scale = draw(st.sampled_from([0.0, 1e-2, 1.0, 1e3]))
    for n in draw(st.lists(st.sampled_from(ROWS_OF), min_size=1, max_size=5)):
        rows = draw(arrays(np.float32, (n, 2), elements=st.floats(-1, 1, width=32)))
        weight = draw(st.one_of(st.just(np.ones(n)), arrays(bool, n))).astype(np.float32)
        found.append((np.float32(offset + scale * rows), weight))
    return found


@pytest.mark.slow
@pytest.mark.trap(30)
@given(shards(), st.randoms(use_true_random=False))
def test_any_split_in_any_order_equals_the_whole(batches, random):
    one_by_one = init_moments((2,))
    for rows, weight in batches:
        one_by_one = update_moments(one_by_one, jnp.asarray(rows), jnp.asarray(weight))
    parts = [compiled_moments(rows, (2,), weight) for rows, weight in batches]
    while len(parts) > 1:  # merged two by two, in any order
        random.shuffle(parts)
        parts.append(merge_moments(parts.pop(), parts.pop()))
    exact = np.concatenate([rows[weight > 0] for rows, weight in batches]).astype(np.float64)
    for m in (one_by_one, parts[0]):
        assert m.count == len(exact)
        if not len(exact):
            np.testing.assert_array_equal([m.mean, m.m2], np.zeros((2, 2)))
            continue
        rounding = 3e-7 * np.abs(exact).max(initial=0.0)  # of a mean
        np.testing.assert_allclose(m.mean, exact.mean(axis=0), rtol=1e-5, atol=rounding + 1e-6 * np.ptp(exact))
        np.testing.assert_allclose(
            variance(m),
            exact.var(axis=0),
            rtol=1e-4,
            atol=1e-12 + 20 * rounding**2 + rounding * exact.std(axis=0).max(),
        )
        if rounding < 1e-3 * exact.std(axis=0).min():
            rows = np.asarray(normalise(m, jnp.asarray(exact, jnp.float32)))
            np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=0.01)
            np.testing.assert_allclose(rows.std(axis=0), 1.0, atol=0.01)
