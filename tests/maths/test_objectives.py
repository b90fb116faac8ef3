"""The objectives and losses, against numbers worked out by hand and facts about their gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import jaxtyped

from proximax import maths
from proximax.maths import objectives

checked = jaxtyped(typechecker=beartype)
LN2 = math.log(2.0)
PUBLIC = [name for name in maths.__all__ if getattr(maths, name).__module__ == objectives.__name__]


@pytest.mark.parametrize("name", PUBLIC)
def test_eager_jit_and_vmap_agree(name):
    function, count = {
        "reinforce_objective": (maths.reinforce_objective, 2),
        "surrogate_objective": (maths.surrogate_objective, 2),
        "clip_objective": (lambda log_ratio, a: maths.clip_objective(log_ratio, a, 0.2), 2),
        "penalty_objective": (lambda log_ratio, a, kl: maths.penalty_objective(log_ratio, a, kl, 0.5), 3),
        "adapt_beta": (lambda beta, kl: maths.adapt_beta(beta, kl, 0.5), 2),
        "value_loss": (maths.value_loss, 2),
        "clipped_value_loss": (lambda v, old, target: maths.clipped_value_loss(v, old, target, 0.2), 3),
        "kl_k1": (maths.kl_k1, 1),
        "kl_k2": (maths.kl_k2, 1),
        "kl_k3": (maths.kl_k3, 1),
    }[name]
    args = np.random.default_rng(0).standard_normal((count, 5)).astype(np.float32)
    eager = np.stack([function(*map(jnp.asarray, row)) for row in args.T])  # one number at a time
    assert eager.shape == (5,)
    np.testing.assert_allclose(jax.jit(function)(*args[:, 0]), eager[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(*args), eager, rtol=1e-5, atol=1e-7)
    if name != "adapt_beta":  # one coefficient by nature; the others are elementwise
        np.testing.assert_allclose(jax.jit(function)(*args), eager, rtol=1e-5, atol=1e-7)


def test_trap_10_rank_promotion_raises():
    assert jax.config.jax_numpy_rank_promotion == "raise"  # tests/conftest.py
    column, row = jnp.ones((4, 1)), jnp.ones(4)
    for function in (
        maths.reinforce_objective,
        maths.surrogate_objective,
        lambda log_ratio, advantage: maths.clip_objective(log_ratio, advantage, 0.2),
        lambda log_ratio, kl: maths.penalty_objective(log_ratio, log_ratio, kl, 1.0),
        maths.value_loss,
        lambda value, target: maths.clipped_value_loss(value, value, target, 0.2),
    ):
        assert function(row, row).shape == (4,)
        for wrong in ((column, row), (row, column)):
            with pytest.raises((TypeError, ValueError)):
                function(*wrong)


@pytest.mark.parametrize("other", [jnp.ones(3), jnp.ones((1, 4)), jnp.ones(1)])
def test_different_shapes_are_refused_by_the_annotations(other):
    row = jnp.ones(4)
    for function, args in (
        (maths.reinforce_objective, (row, other)),
        (maths.surrogate_objective, (row, other)),
        (maths.clip_objective, (row, other, 0.2)),
        (maths.penalty_objective, (row, row, other, 1.0)),
        (maths.value_loss, (row, other)),
        (maths.clipped_value_loss, (row, other, row, 0.2)),
    ):
        with pytest.raises(TypeError):
            checked(function)(*args)


def test_reinforce_is_log_prob_times_advantage():
    log_prob, advantage = jnp.array([-1.0, -2.0, -0.5]), jnp.array([2.0, -3.0, 0.0])
    np.testing.assert_array_equal(maths.reinforce_objective(log_prob, advantage), [-2.0, 6.0, 0.0])
    gradient = jax.grad(lambda x: jnp.sum(maths.reinforce_objective(x, advantage)))(log_prob)
    np.testing.assert_array_equal(gradient, advantage)


def test_surrogate_is_ratio_times_advantage():
    log_ratio = jnp.array([LN2, -LN2, 0.0])
    objective = maths.surrogate_objective(log_ratio, jnp.array([3.0, 3.0, -7.0]))
    np.testing.assert_allclose(objective, [6.0, 1.5, -7.0], rtol=1e-6)


@pytest.mark.parametrize(
    "objective",
    [
        maths.surrogate_objective,
        lambda log_ratio, advantage: maths.clip_objective(log_ratio, advantage, 0.2),
        lambda log_ratio, advantage: maths.penalty_objective(log_ratio, advantage, jnp.zeros(4), 1.0),
    ],
)
def test_at_ratio_one_the_gradient_is_the_policy_gradient(objective):
    logits = jnp.array([0.3, -1.0, 2.0])
    action, advantage = jnp.array([0, 1, 2, 2]), jnp.array([1.0, -2.0, 0.5, 3.0])
    log_prob = lambda x: jax.nn.log_softmax(x)[action]  # noqa: E731
    old = log_prob(logits)
    gradient = jax.grad(lambda x: jnp.sum(objective(log_prob(x) - old, advantage)))(logits)
    expected = jax.grad(lambda x: jnp.sum(maths.reinforce_objective(log_prob(x), advantage)))(logits)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


# Columns: ratio, advantage, objective, derivative by log ratio (r A where the minimum is r A, else 0); epsilon = 0.2.
@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "slope"),
    [
        (1.5, 1.0, 1.2, 0.0),  # good and already likelier: nothing more to earn
        (1.1, 1.0, 1.1, 1.1),
        (0.5, 1.0, 0.5, 0.5),  # good but became rarer: comes back
        (0.5, -1.0, -0.8, 0.0),  # bad and already rarer: nothing more to earn
        (0.9, -1.0, -0.9, -0.9),
        (1.5, 0.0, 0.0, 0.0),
        (1.5, -2.0, -3.0, -3.0),
    ],
)
def test_clip_objective_case_by_case(ratio, advantage, objective, slope):
    log_ratio = jnp.log(jnp.array(ratio))
    value, gradient = jax.value_and_grad(maths.clip_objective)(log_ratio, jnp.array(advantage), 0.2)
    np.testing.assert_allclose(value, objective, rtol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6)


@pytest.mark.parametrize("ratio", [1.3, 3.0, 100.0])
def test_trap_22_bad_action_that_became_likelier_keeps_its_gradient(ratio):
    log_ratio = jnp.log(jnp.array(ratio))
    value, gradient = jax.value_and_grad(maths.clip_objective)(log_ratio, jnp.array(-1.0), 0.2)
    np.testing.assert_allclose([value, gradient], [-ratio, -ratio], rtol=1e-5)


def test_trap_22_a_good_action_far_outside_the_band_has_gradient_0_not_nan():
    gradient = jax.jit(jax.vmap(jax.grad(maths.clip_objective), in_axes=(0, 0, None)))
    slopes = gradient(jnp.array([100.0, 1000.0, 1.0, 0.1, -100.0]), jnp.full(5, 2.0), 0.2)
    np.testing.assert_allclose(slopes, [0.0, 0.0, 0.0, 2.0 * np.exp(0.1), 0.0], rtol=1e-6)
    assert maths.clip_objective(jnp.array(1000.0), jnp.array(2.0), 0.2) == pytest.approx(2.4)


def test_trap_22_clip_is_never_above_the_surrogate_and_equal_inside_the_band():
    log_ratio, advantage = np.meshgrid(np.linspace(-2, 2, 81), [-3.0, -0.1, 0.0, 0.1, 3.0])
    args = jnp.asarray(log_ratio, jnp.float32), jnp.asarray(advantage, jnp.float32)
    clipped, surrogate = np.asarray(maths.clip_objective(*args, 0.2)), np.asarray(maths.surrogate_objective(*args))
    assert np.all(clipped <= surrogate)
    inside = np.abs(np.exp(log_ratio) - 1.0) < 0.2
    np.testing.assert_array_equal(clipped[inside], surrogate[inside])
    assert np.any(clipped[advantage > 0] < surrogate[advantage > 0])
    assert np.any(clipped[advantage < 0] < surrogate[advantage < 0])


def test_clip_width_may_be_a_traced_number():
    objective = jax.jit(lambda epsilon: maths.clip_objective(jnp.array(LN2), jnp.array(1.0), epsilon))
    np.testing.assert_allclose([objective(jnp.array(0.1)), objective(jnp.array(0.3))], [1.1, 1.3], rtol=1e-6)


def test_penalty_subtracts_beta_times_kl():
    args = jnp.array([LN2]), jnp.array([3.0]), jnp.array([4.0])
    np.testing.assert_allclose(maths.penalty_objective(*args, 0.5), [4.0], rtol=1e-6)
    slope = jax.grad(lambda kl: jnp.sum(maths.penalty_objective(args[0], args[1], kl, 0.5)))(args[2])
    np.testing.assert_array_equal(slope, [-0.5])


@pytest.mark.parametrize(
    ("kl", "beta"), [(0.75, 6.0), (9.0, 6.0), (0.74, 3.0), (0.5, 3.0), (0.34, 3.0), (0.5 / 1.5, 1.5), (0.0, 1.5)]
)
def test_trap_20_too_much_kl_doubles_beta_too_little_halves_it(kl, beta):
    assert float(maths.adapt_beta(jnp.array(3.0), jnp.array(kl), 0.5)) == beta


@pytest.mark.parametrize(("kl", "least", "most"), [(100.0, 1.0, 1e9), (0.0, 1e-9, 1.0)])
def test_trap_20_beta_is_never_zero_nor_infinite_and_finds_its_way_back(kl, least, most):
    adapt = lambda beta, kl: maths.adapt_beta(beta, jnp.array(kl), 0.5)  # noqa: E731
    beta = jax.lax.fori_loop(0, 10_000, lambda _, beta: adapt(beta, kl), jnp.array(1.0))
    assert least <= float(beta) <= most
    back = jax.lax.fori_loop(0, 60, lambda _, beta: adapt(beta, 100.0 - kl), beta)
    assert (float(back) - 1.0) * (float(beta) - 1.0) < 0


def test_value_loss_is_half_the_squared_error():
    value, target = jnp.array([3.0, -1.0]), jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(maths.value_loss(value, target), [2.0, 4.5])
    gradient = jax.grad(lambda v: jnp.sum(maths.value_loss(v, target)))(value)
    np.testing.assert_array_equal(gradient, [2.0, -3.0])


# With V_old = 0, epsilon = 0.5. Columns: V, target, loss, derivative by V.
@pytest.mark.parametrize(
    ("value", "target", "loss", "slope"),
    [
        (2.0, 0.0, 2.0, 2.0),  # ½ max(2², 0.5²): the worse of the two, so this is not SB3's ½ 0.5²
        (1.0, 3.0, 3.125, 0.0),  # ½ max(2², 2.5²): went far enough towards the target
        (-1.0, -3.0, 3.125, 0.0),
        (-1.0, 3.0, 8.0, -4.0),  # ½ max(4², 3.5²): went the wrong way and comes back
        (0.25, 1.0, 0.28125, -0.75),  # inside the band: the plain loss
    ],
)
def test_trap_23_clipped_value_loss_is_half_the_larger_squared_error(value, target, loss, slope):
    function = lambda v: maths.clipped_value_loss(v, jnp.array(0.0), jnp.array(target), 0.5)  # noqa: E731
    result, gradient = jax.value_and_grad(function)(jnp.array(value))
    assert (float(result), float(gradient)) == (loss, slope)


def test_trap_23_clipped_value_loss_is_around_the_old_value():
    loss = maths.clipped_value_loss(jnp.array(12.0), jnp.array(10.0), jnp.array(14.0), 0.5)
    assert float(loss) == 6.125  # ½ max(2², 3.5²): V_clip = 10.5


def test_trap_19_k1_k2_k3_by_hand():
    log_ratio = jnp.array([LN2, -LN2, 0.0])  # r = 2, ½, 1
    np.testing.assert_allclose(maths.kl_k1(log_ratio), [-0.69314718, 0.69314718, 0.0], rtol=1e-6)
    np.testing.assert_allclose(maths.kl_k2(log_ratio), [0.24022651, 0.24022651, 0.0], rtol=1e-6)
    np.testing.assert_allclose(maths.kl_k3(log_ratio), [0.30685282, 0.19314718, 0.0], rtol=1e-6)


def test_trap_19_k1_and_k3_estimate_kl_of_old_from_new():
    old, new = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    log_ratio = jnp.asarray(np.log(new / old), jnp.float32)
    forward, backward = 0.13081204, 0.14384104  # ¾ ln 3/2 + ¼ ln 1/2 and ½ ln 2/3 + ½ ln 2
    assert np.sum(old * np.asarray(maths.kl_k1(log_ratio))) == pytest.approx(forward, rel=1e-5)
    assert np.sum(old * np.asarray(maths.kl_k3(log_ratio))) == pytest.approx(forward, rel=1e-5)
    assert abs(forward - backward) > 0.01


def test_trap_19_k3_is_exact_near_ratio_one_and_never_negative():
    # x²/2 + x³/6 + x⁴/24. In float32, r - 1 - log r is 5 % off at 1e-3 and noise below.
    x = np.array([1e-2, 1e-3, -1e-3, 3e-4, -3e-4])
    k3 = maths.kl_k3(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(k3, x**2 / 2 + x**3 / 6 + x**4 / 24, rtol=1e-3)
    sizes = np.geomspace(1e-8, 30.0, 20_000)
    k3 = maths.kl_k3(jnp.asarray(np.concatenate([-sizes, sizes]), jnp.float32))
    assert np.min(k3) >= 0.0
