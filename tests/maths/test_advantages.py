"""Returns, advantages and standardisation: hand numbers, a float64 oracle, and invariants of episode ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import jaxtyped

from proximax.maths import batch_moments, gae, returns_to_go, standardise, standardise_by, total_returns

REWARD = jnp.array([1.0, 1.0, 1.0])
VALUE = jnp.array([10.0, 20.0, 30.0])
NEXT_VALUE = jnp.array([20.0, 30.0, 40.0])
NEVER = jnp.array([False, False, False])
AT_END = jnp.array([False, False, True])
checked = jaxtyped(typechecker=beartype)
compiled_gae = jax.jit(gae, static_argnums=(5, 6))
compiled_returns = jax.jit(returns_to_go, static_argnums=3)


def random_rollout(seed, T, N, end_rate=0.1):
    """reward, value, next_value, terminated, truncated in float64; some steps both terminate and truncate."""
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.standard_normal((3, T, N)) * [[[1.0]], [[5.0]], [[5.0]]]
    terminated, truncated = rng.random((2, T, N)) < end_rate
    return reward, value, next_value, terminated, truncated


def as_jax(rollout):
    return [jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype) for x in rollout]


def numpy_gae(reward, value, next_value, terminated, truncated, gamma, lam):
    """Advantages as the sum over k of (γλ)^k δ_{t+k} up to the episode's end, in float64."""
    delta = reward + gamma * np.where(terminated, 0.0, next_value) - value
    advantage = np.zeros_like(reward)
    for t in range(len(reward)):
        weight = np.ones_like(reward[0])
        for k in range(t, len(reward)):
            advantage[t] += weight * delta[k]
            weight = weight * gamma * lam * ~(terminated[k] | truncated[k])
    return advantage


@pytest.mark.parametrize(
    "function",
    [
        lambda r, v, n, te, tr: gae(r, v, n, te, tr, 0.9, 0.8),
        lambda r, v, n, te, tr: returns_to_go(r, te, tr, 0.9, n),
        lambda r, v, n, te, tr: returns_to_go(r, te, tr, 0.9),
        lambda r, v, n, te, tr: total_returns(r, te),
    ],
    ids=["gae", "returns_to_go", "returns_to_go without values", "total_returns"],
)
def test_eager_jit_and_vmap_agree(function):
    rollout = as_jax(random_rollout(0, 6, 3))
    eager = function(*rollout)
    np.testing.assert_allclose(jax.jit(function)(*rollout), eager, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(function, 1, 1))(*rollout), eager, rtol=1e-5, atol=1e-6)
    alone = function(*(x[:, 1] for x in rollout))  # the columns are independent streams
    np.testing.assert_allclose(alone, eager[:, 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_eager_jit_and_vmap_agree_for_standardise(weighted):
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    args = (jnp.asarray(x), jnp.asarray(x > -0.5, jnp.float32))[: 1 + weighted]
    eager = np.stack([standardise(*row) for row in zip(*args)])
    np.testing.assert_allclose(jax.jit(standardise)(*(a[0] for a in args)), eager[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(standardise))(*args), eager, rtol=1e-5, atol=1e-6)


@pytest.mark.trap(10)
@pytest.mark.parametrize("position", range(5))
def test_wrong_shapes_raise(position):
    flags = jnp.zeros((4, 2), bool)
    for shape in ((4,), (3, 2), (4, 1)):
        args = [jnp.zeros((4, 2)), jnp.zeros((4, 2)), jnp.zeros((4, 2)), flags, flags]
        args[position] = jnp.zeros(shape, args[position].dtype)
        reward, _, next_value, terminated, truncated = args
        # (4, 1) has the right rank, so it is for the annotations to refuse.
        gae_of, returns_of = (checked(gae), checked(returns_to_go)) if shape == (4, 1) else (gae, returns_to_go)
        with pytest.raises((TypeError, ValueError)):
            gae_of(*args, 0.9, 0.9)
        if position != 1:
            with pytest.raises((TypeError, ValueError)):
                returns_of(reward, terminated, truncated, 0.9, next_value)


@pytest.mark.trap(10)
@pytest.mark.parametrize("shape", [(4,), (3, 2), (4, 1)])
def test_a_weight_of_another_shape_raises(shape):
    with pytest.raises((TypeError, ValueError)):
        checked(standardise)(jnp.zeros((4, 2)), jnp.ones(shape))


@pytest.mark.trap(1)
@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        (NEVER, AT_END, [-0.5625, -6.25, -9.0]),
        (NEVER, NEVER, [-0.5625, -6.25, -9.0]),  # the rollout's own cut is a cut like any other
        (AT_END, NEVER, [-1.8125, -11.25, -29.0]),
        (AT_END, AT_END, [-1.8125, -11.25, -29.0]),
    ],
)
def test_truncation_is_not_termination(terminated, truncated, expected):
    advantage = gae(REWARD, VALUE, NEXT_VALUE, terminated, truncated, 0.5, 0.5)
    np.testing.assert_array_equal(advantage, expected)


@pytest.mark.trap(1)
@pytest.mark.parametrize(("terminated", "row"), [(False, [-0.5625, -6.25, -9.0]), (True, [-1.8125, -11.25, -29.0])])
def test_what_follows_the_end_does_not_move_what_is_before_it(terminated, row):
    end = np.array([False, False, True, False, False])
    advantage = gae(
        jnp.array([1.0, 1.0, 1.0, 0.0, 1e6]),
        jnp.array([10.0, 20.0, 30.0, -1e6, 7.0]),  # the next episode's first value is not the final observation's
        jnp.array([20.0, 30.0, 40.0, 1e6, 8.0]),
        jnp.asarray(end & terminated),
        jnp.asarray(end & (not terminated)),
        0.5,
        0.5,
    )
    np.testing.assert_array_equal(advantage[:3], row)


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_nothing_crosses_an_end(kind):
    before, after = (as_jax(random_rollout(seed, 5, 4)) for seed in (1, 2))
    ended = before[3].at[-1].set(kind == "terminated"), before[4].at[-1].set(kind == "truncated")
    before = [*before[:3], *ended]
    whole = [np.concatenate(pair) for pair in zip(before, after)]
    parts = [compiled_gae(*part, 0.9, 0.8) for part in (before, after)]
    np.testing.assert_allclose(compiled_gae(*whole, 0.9, 0.8), np.concatenate(parts), rtol=1e-6, atol=1e-6)
    *parts, returns = [compiled_returns(r, te, tr, 0.9, n) for r, _, n, te, tr in (before, after, whole)]
    np.testing.assert_allclose(returns, np.concatenate(parts), rtol=1e-6, atol=1e-6)


def test_a_terminated_step_ignores_its_next_value_and_a_truncated_one_does_not():
    for terminated, truncated, slope in ((AT_END, NEVER, 0.0), (AT_END, AT_END, 0.0), (NEVER, AT_END, 0.5)):
        by_gae = lambda n: gae(REWARD, VALUE, n, terminated, truncated, 0.5, 0.5)[-1]  # noqa: B023, E731
        by_return = lambda n: returns_to_go(REWARD, terminated, truncated, 0.5, n)[-1]  # noqa: B023, E731
        for function in (by_gae, by_return):
            np.testing.assert_array_equal(jax.jit(jax.grad(function))(NEXT_VALUE), [0.0, 0.0, slope])


@pytest.mark.trap(9)
@pytest.mark.parametrize("lam", [0.0, 0.95, 1.0])
def test_exact_values_have_no_advantage_even_in_the_last_row(lam):
    value = jnp.full((50, 2), 4.0)  # 1 / (1 - 0.75)
    never = jnp.zeros((50, 2), bool)
    np.testing.assert_array_equal(
        compiled_gae(jnp.ones((50, 2)), value, value, never, never, 0.75, lam), np.zeros((50, 2))
    )


@pytest.mark.trap(9)
def test_lambda_one_gives_the_monte_carlo_return():
    reward, value, next_value, terminated, truncated = random_rollout(3, 20, 50)
    expected = np.zeros((20, 50))
    for t in reversed(range(20)):
        after = np.where(terminated[t], 0.0, next_value[t])
        if t < 19:
            after = np.where(terminated[t] | truncated[t], after, expected[t + 1])
        expected[t] = reward[t] + 0.97 * after
    # Values are consistent inside an episode: V(final_obs_t) is V(s_{t+1}) unless the episode ended.
    inside = ~(terminated | truncated)[:-1]
    next_value[:-1] = np.where(inside, value[1:], next_value[:-1])
    r, v, n, te, tr = as_jax((reward, value, next_value, terminated, truncated))
    np.testing.assert_allclose(compiled_gae(r, v, n, te, tr, 0.97, 1.0) + v, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(compiled_returns(r, te, tr, 0.97, n), expected, rtol=1e-5, atol=1e-4)


def test_lambda_zero_gives_the_temporal_difference():
    advantage = gae(REWARD, VALUE, NEXT_VALUE, NEVER, AT_END, 0.5, 0.0)
    np.testing.assert_array_equal(advantage, [1.0, -4.0, -9.0])


@pytest.mark.trap(9)
@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("lam", [0.9, 1.0])
def test_gae_against_float64_numpy_in_1000_cases(gamma, lam):
    rollout = random_rollout(int(1000 * gamma + lam), 32, 100)  # 5 x 2 x 100 cases
    expected = numpy_gae(*rollout, gamma, lam)
    error = np.abs(np.asarray(compiled_gae(*as_jax(rollout), gamma, lam)) - expected)
    scale = np.maximum(np.abs(expected).max(axis=0), 1.0)
    assert np.all(error <= 1e-5 * scale[None])


@pytest.mark.parametrize(
    ("terminated", "next_value", "expected"),
    [
        (False, None, [1.75, 1.5, 1.0, 2.0]),
        (True, None, [1.75, 1.5, 1.0, 2.0]),
        (False, [9.0, 9.0, 8.0, 4.0], [2.75, 3.5, 5.0, 4.0]),  # 1 + ½ 8, then 2 + ½ 4
        (True, [9.0, 9.0, 8.0, 4.0], [1.75, 1.5, 1.0, 4.0]),
    ],
)
def test_returns_to_go_by_hand(terminated, next_value, expected):
    end = np.array([False, False, True, False])
    beyond = None if next_value is None else jnp.array(next_value)
    ends = jnp.asarray(end & terminated), jnp.asarray(end & (not terminated))
    returns = returns_to_go(jnp.array([1.0, 1.0, 1.0, 2.0]), *ends, 0.5, beyond)
    np.testing.assert_array_equal(returns, expected)


def test_total_returns_by_hand():
    # Left: the tail of an episode begun before the rollout, then two whole ones. Right: one first row, then one more.
    first = jnp.array([[False, True], [False, False], [True, False], [False, True], [True, False], [False, False]])
    returns = jnp.array([[3.0, 9.0], [2.0, 7.0], [6.0, 4.0], [5.0, -1.0], [-8.0, -2.0], [-9.0, -3.0]])
    expected = [[3.0, 9.0], [3.0, 9.0], [6.0, 9.0], [6.0, -1.0], [-8.0, -1.0], [-8.0, -1.0]]
    np.testing.assert_array_equal(total_returns(returns, first), expected)


def test_total_returns_are_the_return_to_go_of_each_episodes_first_step():
    # Two episodes of rewards 1, 2, 4 and 8, 16 with gamma = ½: 1 + 2/2 + 4/4 and 8 + 16/2.
    end = jnp.array([False, False, True, False, True])
    returns = returns_to_go(jnp.array([1.0, 2.0, 4.0, 8.0, 16.0]), end, jnp.zeros(5, bool), 0.5)
    np.testing.assert_array_equal(returns, [3.0, 4.0, 4.0, 16.0, 16.0])
    first = jnp.array([False, False, False, True, False])  # the first row opens a trajectory without saying so
    np.testing.assert_array_equal(total_returns(returns, first), [3.0, 3.0, 3.0, 16.0, 16.0])


@pytest.mark.trap(10)
@pytest.mark.parametrize("shape", [(4,), (3, 2), (4, 1)])
def test_total_returns_refuse_another_shape(shape):
    with pytest.raises((TypeError, ValueError)):
        checked(total_returns)(jnp.zeros((4, 2)), jnp.zeros(shape, bool))


def test_standardise_by_hand():
    # Mean 2.5, population variance 5/4.
    np.testing.assert_allclose(
        standardise(jnp.array([1.0, 2.0, 3.0, 4.0])), [-1.3416408, -0.4472136, 0.4472136, 1.3416408], rtol=1e-6
    )


def test_standardise_by_n_minus_1_by_hand():
    x = jnp.array([1.0, 2.0, 3.0, 4.0])  # sample variance 5/3
    expected = [-1.1618950, -0.3872983, 0.3872983, 1.1618950]
    np.testing.assert_allclose(standardise(x, ddof=1), expected, rtol=1e-6)
    np.testing.assert_allclose(standardise(x, jnp.ones(4), 1), expected, rtol=1e-6)
    np.testing.assert_allclose(standardise_by(batch_moments(x, ()), x, 1), expected, rtol=1e-6)
    np.testing.assert_array_equal(standardise(x[:1], ddof=1), [0.0])  # where PyTorch's is NaN
    np.testing.assert_array_equal(standardise_by(batch_moments(x[:1], ()), x[:1], 1), [0.0])


def test_samples_are_standardised_by_the_moments_of_more_than_themselves():
    """By hand: 1, 2, 3, 4 have mean 2.5 and variance 1.25; equal samples give 0, and what is not finite stays so."""
    moments = batch_moments(jnp.array([1.0, 2.0, 3.0, 4.0]), ())
    np.testing.assert_allclose(standardise_by(moments, jnp.array([4.0, 2.5])), [1.3416408, 0.0], rtol=1e-6)
    equal = batch_moments(jnp.full(3, 0.1), ())
    np.testing.assert_array_equal(standardise_by(equal, jnp.full(2, 0.1)), [0.0, 0.0])
    assert np.isnan(standardise_by(batch_moments(jnp.array([1.0, jnp.nan]), ()), jnp.ones(1))).all()
    x = 100.0 + jnp.asarray(np.random.default_rng(0).normal(size=64), jnp.float32)
    np.testing.assert_allclose(standardise_by(batch_moments(x, ()), x), standardise(x), atol=2e-5)


def test_standardise_forgets_offset_and_scale_and_keeps_order():
    x = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    z = np.asarray(standardise(jnp.asarray(x)))
    np.testing.assert_allclose([z.mean(), z.std()], [0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(standardise(jnp.asarray(100.0 + 7.0 * x)), z, atol=1e-4)
    np.testing.assert_array_equal(z.argsort(), x.argsort())


@pytest.mark.trap(13)
@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 10000.1, 12345.678])
@pytest.mark.parametrize("count", [1, 7, 2048])
def test_one_sample_and_equal_samples_give_exactly_zero(value, count):
    x = jnp.asarray(np.full(count, value, np.float32))
    np.testing.assert_array_equal(standardise(x), np.zeros(count))
    np.testing.assert_array_equal(jax.jit(standardise)(x), np.zeros(count))


@pytest.mark.trap(13)
@pytest.mark.parametrize("count", [1, 7])
def test_one_sample_and_equal_samples_have_a_finite_gradient(count):
    gradient = jax.jit(jax.grad(lambda x: standardise(x)[0]))(jnp.asarray(np.full(count, 0.1, np.float32)))
    assert np.all(np.isfinite(gradient))


@pytest.mark.trap(13)
def test_only_rows_with_weight_count():
    x, weight = jnp.array([1.0, 1e6, 2.0, 3.0, 5e5, 4.0]), jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    counted = np.asarray(standardise(x, weight))[[0, 2, 3, 5]]
    np.testing.assert_allclose(counted, [-1.3416408, -0.4472136, 0.4472136, 1.3416408], rtol=1e-6)
    alone = standardise(x, jnp.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]))
    assert float(alone[2]) == 0.0
    assert np.all(np.isfinite(standardise(x, jnp.zeros(6))))


def test_standardise_does_not_hide_a_value_that_is_not_finite():
    assert not np.all(np.isfinite(standardise(jnp.array([1.0, jnp.nan, 2.0, 3.0]))))


# ---------------------------------------------------------------- any rollout

UNIT = st.one_of(st.sampled_from([0.0, 0.5, 0.99, 1.0]), st.floats(0.0, 1.0))


@st.composite
def rollouts(draw):
    """As ``random_rollout``, but of any numbers and ends."""
    shape = draw(st.sampled_from([(7,), (9, 2), (3, 2, 2)]))
    numbers = arrays(np.float32, shape, elements=st.floats(-1000, 1000, width=32), fill=st.nothing())
    floats = [draw(numbers).astype(np.float64) for _ in range(3)]
    return *floats, *(draw(arrays(bool, shape)) for _ in range(2))


def close(found, expected, rollout):
    """Equal, as far as float32 can add up numbers of this size."""
    size = sum(np.abs(x).max() for x in rollout[:3])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * (1 + size) * len(expected))


@pytest.mark.slow
@pytest.mark.trap(9)
@given(rollouts(), UNIT, UNIT)
def test_gae_of_any_rollout_is_that_of_a_loop(rollout, gamma, lam):
    with jax.disable_jit():  # else each example is a program of its own
        close(gae(*as_jax(rollout), gamma, lam), numpy_gae(*rollout, gamma, lam), rollout)


@pytest.mark.slow
@pytest.mark.trap(9)
@given(rollouts(), UNIT)
def test_returns_of_any_rollout_are_those_of_a_loop(rollout, gamma):
    reward, _, next_value, terminated, truncated = rollout
    to_go = np.zeros_like(reward)
    for t in reversed(range(len(reward))):
        last = terminated[t] | truncated[t] | (t == len(reward) - 1)
        beyond = np.where(terminated[t], 0.0, next_value[t])
        to_go[t] = reward[t] + gamma * np.where(last, beyond, 0.0 if t == len(reward) - 1 else to_go[t + 1])
    r, v, n, ended, cut = as_jax(rollout)
    first = np.concatenate([np.ones_like(terminated[:1]), (terminated | truncated)[:-1]])
    total = to_go.copy()
    for t in range(1, len(total)):
        total[t] = np.where(first[t], total[t], total[t - 1])
    with jax.disable_jit():
        found = returns_to_go(r, ended, cut, gamma, n)
        close(found, to_go, rollout)
        # λ = 1, where V(final_obs) is that of the next row: the Monte-Carlo return
        follows = jnp.where(ended | cut, n, jnp.concatenate([v[1:], n[-1:]]))
        close(gae(r, v, follows, ended, cut, gamma, 1.0) + v, to_go, rollout)
        close(total_returns(found, jnp.asarray(first)), total, rollout)


@pytest.mark.trap(13)
@given(
    arrays(np.float32, 16, elements=st.floats(-1, 1, width=32)),
    arrays(np.float32, 16, elements=st.sampled_from([0.0, 1.0])),
    st.sampled_from([0.0, 1.0, -1e3, 1e6]),
    st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_standardised_rows_have_mean_0_and_variance_1_or_are_0(x, weight, offset, scale):
    x = np.float32(offset + scale * x)
    found = np.asarray(standardise(jnp.asarray(x), jnp.asarray(weight)), np.float64)
    assert np.isfinite(found).all()
    counted, exact = found[weight > 0], x[weight > 0].astype(np.float64)
    if len(counted) == 0 or np.ptp(exact) == 0:
        np.testing.assert_array_equal(counted, 0.0)
        return
    rounding = 2e-6 * np.abs(exact).max() / exact.std()
    if rounding < 0.1:  # else what differs is lost in float32
        np.testing.assert_allclose(counted, (exact - exact.mean()) / (exact.std() + 1e-8), atol=1e-4 + 4 * rounding)
