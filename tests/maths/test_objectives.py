"""The objectives, losses and KL rules, against numbers worked out by hand and facts about their gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import jaxtyped

from proximax import maths

checked = jaxtyped(typechecker=beartype)
LN2 = math.log(2.0)
HERE = ("proximax.maths.objectives", "proximax.maths.clip_variants", "proximax.maths.kl")
PUBLIC = [name for name in maths.__all__ if getattr(maths, name).__module__ in HERE]


@pytest.mark.parametrize("name", PUBLIC)
def test_eager_jit_and_vmap_agree(name):
    function, count = {
        "reinforce_objective": (maths.reinforce_objective, 2),
        "surrogate_objective": (maths.surrogate_objective, 2),
        "clip_objective": (lambda log_ratio, a: maths.clip_objective(log_ratio, a, 0.2), 2),
        "simple_clip_objective": (lambda log_ratio, a: maths.simple_clip_objective(log_ratio, a, 0.2), 2),
        "wide_clip_objective": (lambda log_ratio, a: maths.wide_clip_objective(log_ratio, a, 0.2, 0.3, 2.0), 2),
        "spo_objective": (lambda log_ratio, a: maths.spo_objective(log_ratio, a, 0.2), 2),
        "outside_band": (lambda ratio: maths.outside_band(ratio, 0.2, 0.3), 1),
        "penalty_objective": (lambda log_ratio, a, kl: maths.penalty_objective(log_ratio, a, kl, 0.5), 3),
        "adapt_beta": (lambda beta, kl: maths.adapt_beta(beta, kl, 0.5), 2),
        "adapt_learning_rate": (lambda rate, kl: maths.adapt_learning_rate(rate, kl, 0.5), 2),
        "adapt_to_kl": (lambda rate, kl: maths.adapt_to_kl("learning_rate", 0.5, rate, rate, kl)[1], 2),
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
    if not name.startswith("adapt_"):  # one coefficient by nature; the others are elementwise
        np.testing.assert_allclose(jax.jit(function)(*args), eager, rtol=1e-5, atol=1e-7)


@pytest.mark.trap(10)
def test_rank_promotion_raises():
    assert jax.config.jax_numpy_rank_promotion == "raise"  # tests/conftest.py
    column, row = jnp.ones((4, 1)), jnp.ones(4)
    for function in (
        maths.reinforce_objective,
        maths.surrogate_objective,
        lambda log_ratio, advantage: maths.clip_objective(log_ratio, advantage, 0.2),
        lambda log_ratio, advantage: maths.simple_clip_objective(log_ratio, advantage, 0.2),
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
        (maths.simple_clip_objective, (row, other, 0.2)),
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
        lambda log_ratio, advantage: maths.simple_clip_objective(log_ratio, advantage, 0.2),
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


@pytest.mark.trap(22)
@pytest.mark.parametrize("ratio", [1.3, 3.0, 100.0])
def test_bad_action_that_became_likelier_keeps_its_gradient(ratio):
    log_ratio = jnp.log(jnp.array(ratio))
    value, gradient = jax.value_and_grad(maths.clip_objective)(log_ratio, jnp.array(-1.0), 0.2)
    np.testing.assert_allclose([value, gradient], [-ratio, -ratio], rtol=1e-5)


@pytest.mark.trap(22)
def test_a_good_action_far_outside_the_band_has_gradient_0_not_nan():
    gradient = jax.jit(jax.vmap(jax.grad(maths.clip_objective), in_axes=(0, 0, None)))
    slopes = gradient(jnp.array([100.0, 1000.0, 1.0, 0.1, -100.0]), jnp.full(5, 2.0), 0.2)
    np.testing.assert_allclose(slopes, [0.0, 0.0, 0.0, 2.0 * np.exp(0.1), 0.0], rtol=1e-6)
    assert maths.clip_objective(jnp.array(1000.0), jnp.array(2.0), 0.2) == pytest.approx(2.4)


@pytest.mark.trap(22)
def test_clip_is_never_above_the_surrogate_and_equal_inside_the_band():
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


def slopes(objective):
    """The derivative of the objective by each log ratio; its further arguments are arrays of the same length."""
    return jax.jit(jax.grad(lambda log_ratio, *args: jnp.sum(objective(log_ratio, *args))))


CLIPS = {
    "clip": lambda log_ratio, advantage: maths.clip_objective(log_ratio, advantage, 0.2),
    "simple_clip": lambda log_ratio, advantage: maths.simple_clip_objective(log_ratio, advantage, 0.2),
}


@pytest.mark.trap(22)
@pytest.mark.parametrize("objective", CLIPS.values(), ids=CLIPS)
def test_the_slope_changes_at_one_edge_of_the_band_for_each_sign(objective):
    # Columns: the edge r, the advantage A, the slope by log r just below the edge and just above it (r A or 0).
    edge, advantage, below, above = np.array(
        [
            [1.2, 3.0, 3.6, 0.0],  # good: held above 1 + epsilon
            [0.8, 3.0, 2.4, 2.4],  # good and rarer: nothing changes
            [0.8, -3.0, 0.0, -2.4],  # bad: held below 1 - epsilon
            [1.2, -3.0, -3.6, -3.6],  # bad and likelier: nothing changes
            [1.2, 0.0, 0.0, 0.0],
            [0.8, 0.0, 0.0, 0.0],
        ],
        np.float32,
    ).T
    at, slope = jnp.log(edge), slopes(objective)
    np.testing.assert_allclose(objective(at, jnp.asarray(advantage)), edge * advantage, rtol=1e-6)
    np.testing.assert_allclose(slope(at - 1e-5, advantage), below, rtol=3e-5)
    np.testing.assert_allclose(slope(at + 1e-5, advantage), above, rtol=3e-5)
    kink = np.asarray(slope(at, advantage))[[0, 2]]  # at a kink any slope between the two will do
    assert np.all((kink - below[[0, 2]]) * (kink - above[[0, 2]]) <= 0)


def test_the_two_ways_to_write_the_clip_are_equal_in_value_and_slope():
    log_ratio, advantage = np.meshgrid(np.linspace(-2, 2, 80), [-3.0, -0.1, 0.0, 0.1, 3.0])
    args = [jnp.asarray(x, jnp.float32) for x in (log_ratio, advantage)]
    assert np.all(np.abs(np.exp(log_ratio) - [[[0.8]], [[1.2]]]) > 1e-3)  # away from the kinks
    np.testing.assert_allclose(*(objective(*args) for objective in CLIPS.values()), rtol=1e-6)
    np.testing.assert_allclose(*(slopes(objective)(*args) for objective in CLIPS.values()), rtol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.5])
def test_the_two_ways_to_write_the_clip_are_equal_at_every_width(epsilon):
    ratio = jnp.array([0.01, 0.5, 0.95, 1.0, 1.05, 1.5, 30.0])
    for advantage in (jnp.full(7, 2.0), jnp.full(7, -2.0), jnp.zeros(7)):
        args = jnp.log(ratio), advantage, epsilon
        np.testing.assert_allclose(maths.simple_clip_objective(*args), maths.clip_objective(*args), rtol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "slope"),
    [(2.0, 1.0, 1.2, 0.0), (0.5, 1.0, 0.5, 0.5), (0.5, -1.0, -0.8, 0.0), (2.0, -1.0, -2.0, -2.0)],
)
def test_simple_clip_objective_case_by_case(ratio, advantage, objective, slope):
    log_ratio = jnp.log(jnp.array(ratio))
    value, gradient = jax.value_and_grad(maths.simple_clip_objective)(log_ratio, jnp.array(advantage), 0.2)
    np.testing.assert_allclose([value, gradient], [objective, slope], rtol=1e-6)


def test_without_a_clip_the_slope_by_log_ratio_is_ratio_times_advantage_everywhere():
    ratio, advantage = (x.ravel() for x in np.meshgrid([0.5, 0.8, 1.0, 1.2, 2.0], [-2.0, 0.0, 2.0]))
    log_ratio, advantage = jnp.asarray(np.log(ratio), jnp.float32), jnp.asarray(advantage, jnp.float32)
    for objective in (maths.surrogate_objective, lambda x, a: maths.penalty_objective(x, a, jnp.full(15, 4.0), 0.5)):
        np.testing.assert_allclose(slopes(objective)(log_ratio, advantage), ratio * advantage, rtol=1e-6)
    np.testing.assert_array_equal(slopes(maths.reinforce_objective)(log_ratio, advantage), advantage)


def test_penalty_pulls_back_to_the_old_policy_with_slope_minus_beta_kl():
    old, logits = jnp.array([0.0, 0.0]), jnp.array([1.0, -1.0])
    kl = lambda x: maths.Categorical(old).kl(maths.Categorical(x))  # noqa: E731
    objective = lambda x: maths.penalty_objective(jnp.zeros(()), jnp.zeros(()), kl(x), 3.0)  # noqa: E731
    # d KL / d logits = p - p_old with p = softmax(1, -1) = (0.8808, 0.1192).
    np.testing.assert_allclose(jax.grad(objective)(logits), [-3.0 * 0.3807971, 3.0 * 0.3807971], rtol=1e-5)
    np.testing.assert_allclose(jax.grad(objective)(old), [0.0, 0.0], atol=1e-7)  # at r = 1 the penalty has no slope


def test_penalty_subtracts_beta_times_kl():
    args = jnp.array([LN2]), jnp.array([3.0]), jnp.array([4.0])
    np.testing.assert_allclose(maths.penalty_objective(*args, 0.5), [4.0], rtol=1e-6)
    slope = jax.grad(lambda kl: jnp.sum(maths.penalty_objective(args[0], args[1], kl, 0.5)))(args[2])
    np.testing.assert_array_equal(slope, [-0.5])


@pytest.mark.trap(20)
@pytest.mark.parametrize(
    ("kl", "beta"), [(0.75, 6.0), (9.0, 6.0), (0.74, 3.0), (0.5, 3.0), (0.34, 3.0), (0.5 / 1.5, 1.5), (0.0, 1.5)]
)
def test_too_much_kl_doubles_beta_too_little_halves_it(kl, beta):
    assert float(maths.adapt_beta(jnp.array(3.0), jnp.array(kl), 0.5)) == beta


@pytest.mark.trap(20)
@pytest.mark.parametrize(("kl", "least", "most"), [(100.0, 1.0, 1e9), (0.0, 1e-9, 1.0)])
def test_beta_is_never_zero_nor_infinite_and_finds_its_way_back(kl, least, most):
    adapt = lambda beta, kl: maths.adapt_beta(beta, jnp.array(kl), 0.5)  # noqa: E731
    beta = jax.lax.fori_loop(0, 10_000, lambda _, beta: adapt(beta, kl), jnp.array(1.0))
    assert least <= float(beta) <= most
    back = jax.lax.fori_loop(0, 60, lambda _, beta: adapt(beta, 100.0 - kl), beta)
    assert (float(back) - 1.0) * (float(beta) - 1.0) < 0


# The KL thresholds are 2 target = 1 and target / 2 = ¼, both included.
@pytest.mark.trap(20)
@pytest.mark.parametrize(
    ("kl", "rate"),
    [(1.0, 0.002), (9.0, 0.002), (0.9999, 0.003), (0.5, 0.003), (0.2501, 0.003), (0.25, 0.0045), (0.0, 0.0045)],
)
def test_a_large_kl_lowers_the_learning_rate_and_a_small_one_raises_it(kl, rate):
    np.testing.assert_allclose(maths.adapt_learning_rate(jnp.array(0.003), jnp.array(kl), 0.5), rate, rtol=1e-6)


@pytest.mark.trap(20)
def test_beta_and_the_learning_rate_go_opposite_ways():
    one = jnp.array(1e-3)
    for kl, sign in ((2.0, 1.0), (0.05, -1.0), (0.5, 0.0)):
        beta, rate = (f(one, jnp.array(kl), 0.5) for f in (maths.adapt_beta, maths.adapt_learning_rate))
        assert (np.sign(float(beta) - float(one)), np.sign(float(rate) - float(one))) == (sign, -sign)


@pytest.mark.trap(20)
@pytest.mark.parametrize(
    ("adapt", "least", "most"),
    [(maths.adapt_beta, 1e-8, 1e8), (maths.adapt_learning_rate, 1e-6, 1e-2)],
    ids=["beta", "learning_rate"],
)
def test_a_thousand_adaptations_end_exactly_at_the_bound_and_come_back(adapt, least, most):
    @jax.jit
    def thousand(x, kl):
        return jax.lax.fori_loop(0, 1000, lambda _, x: adapt(x, kl, 0.5), x)

    for x in (least, 5e-3, most):
        ends = sorted(float(thousand(jnp.array(x), jnp.array(kl))) for kl in (0.0, jnp.inf))
        np.testing.assert_array_equal(ends, np.array([least, most], np.float32))
    assert float(adapt(jnp.array(least), jnp.array(9.0), 0.5)) != float(adapt(jnp.array(least), jnp.array(0.0), 0.5))
    assert float(adapt(jnp.array(most), jnp.array(9.0), 0.5)) != float(adapt(jnp.array(most), jnp.array(0.0), 0.5))


def test_the_bounds_of_what_adapts_may_be_chosen():
    double, halve = jnp.array(9.0), jnp.array(0.0)
    for adapt, up, down in ((maths.adapt_beta, double, halve), (maths.adapt_learning_rate, halve, double)):
        np.testing.assert_allclose(adapt(jnp.array(3.0), up, 0.5, 2.5, 3.5), 3.5, rtol=1e-6)
        np.testing.assert_allclose(adapt(jnp.array(3.0), down, 0.5, 2.5, 3.5), 2.5, rtol=1e-6)


def test_value_loss_is_half_the_squared_error():
    value, target = jnp.array([3.0, -1.0]), jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(maths.value_loss(value, target), [2.0, 4.5])
    gradient = jax.grad(lambda v: jnp.sum(maths.value_loss(v, target)))(value)
    np.testing.assert_array_equal(gradient, [2.0, -3.0])


# With V_old = 0, epsilon = 0.5. Columns: V, target, loss, derivative by V.
def test_the_clips_gradient_is_that_of_a_penalty_with_a_weight_for_each_sample():
    """∇ L^CLIP = ∇ (r A - β k), k = -log r, β = -r A where the clip binds and 0 elsewhere (arXiv 2606.23932)."""
    rng = np.random.default_rng(0)
    log_ratio, advantage = jnp.asarray(rng.normal(0, 0.4, 1000)), jnp.asarray(rng.normal(0, 2, 1000))
    ratio = jnp.exp(log_ratio)
    binds = jnp.where(advantage > 0, ratio > 1.2, ratio < 0.8)
    assert 200 < int(binds.sum()) < 800
    beta = jnp.where(binds, -ratio * advantage, 0.0)
    clip = jax.grad(lambda x: jnp.sum(maths.clip_objective(x, advantage, 0.2)))(log_ratio)
    penalty = lambda x: jnp.sum(maths.surrogate_objective(x, advantage) - beta * maths.kl_k1(x))  # noqa: E731
    np.testing.assert_allclose(clip, jax.grad(penalty)(log_ratio), rtol=0, atol=1e-6)


@pytest.mark.trap(23)
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
def test_clipped_value_loss_is_half_the_larger_squared_error(value, target, loss, slope):
    function = lambda v: maths.clipped_value_loss(v, jnp.array(0.0), jnp.array(target), 0.5)  # noqa: E731
    result, gradient = jax.value_and_grad(function)(jnp.array(value))
    assert (float(result), float(gradient)) == (loss, slope)


@pytest.mark.trap(23)
@pytest.mark.parametrize(
    ("value", "target", "loss", "slope"),
    [
        (2.0, 0.0, 0.125, 0.0),  # ½ 0.5²: went beyond the band, and is left there
        (-1.0, 3.0, 6.125, 0.0),  # ½ 3.5²: went the wrong way, and is not brought back
        (0.25, 1.0, 0.28125, -0.75),  # inside the band: the plain loss
    ],
)
def test_the_clipped_value_loss_alone_has_no_gradient_outside_the_band(value, target, loss, slope):
    function = lambda v: maths.clipped_value_loss(v, jnp.array(0.0), jnp.array(target), 0.5, True)  # noqa: E731
    result, gradient = jax.value_and_grad(function)(jnp.array(value))
    assert (float(result), float(gradient)) == (loss, slope)


@pytest.mark.trap(23)
def test_clipped_value_loss_is_around_the_old_value():
    loss = maths.clipped_value_loss(jnp.array(12.0), jnp.array(10.0), jnp.array(14.0), 0.5)
    assert float(loss) == 6.125  # ½ max(2², 3.5²): V_clip = 10.5


@pytest.mark.trap(19)
def test_k1_k2_k3_by_hand():
    log_ratio = jnp.array([LN2, -LN2, 0.0])  # r = 2, ½, 1
    np.testing.assert_allclose(maths.kl_k1(log_ratio), [-0.69314718, 0.69314718, 0.0], rtol=1e-6)
    np.testing.assert_allclose(maths.kl_k2(log_ratio), [0.24022651, 0.24022651, 0.0], rtol=1e-6)
    np.testing.assert_allclose(maths.kl_k3(log_ratio), [0.30685282, 0.19314718, 0.0], rtol=1e-6)


@pytest.mark.trap(19)
def test_k1_and_k3_estimate_kl_of_old_from_new():
    old, new = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    log_ratio = jnp.asarray(np.log(new / old), jnp.float32)
    forward, backward = 0.13081204, 0.14384104  # ¾ ln 3/2 + ¼ ln 1/2 and ½ ln 2/3 + ½ ln 2
    assert np.sum(old * np.asarray(maths.kl_k1(log_ratio))) == pytest.approx(forward, rel=1e-5)
    assert np.sum(old * np.asarray(maths.kl_k3(log_ratio))) == pytest.approx(forward, rel=1e-5)
    assert abs(forward - backward) > 0.01


@pytest.mark.trap(19)
def test_k3_is_exact_near_ratio_one_and_never_negative():
    # x²/2 + x³/6 + x⁴/24. In float32, r - 1 - log r is 5 % off at 1e-3 and noise below.
    x = np.array([1e-2, 1e-3, -1e-3, 3e-4, -3e-4])
    k3 = maths.kl_k3(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(k3, x**2 / 2 + x**3 / 6 + x**4 / 24, rtol=1e-3)
    sizes = np.geomspace(1e-8, 30.0, 20_000)
    k3 = maths.kl_k3(jnp.asarray(np.concatenate([-sizes, sizes]), jnp.float32))
    assert np.min(k3) >= 0.0


def test_clip_gradients_are_whole_at_the_edges_that_are_no_corner():
    slope = jax.grad(maths.clip_objective)
    np.testing.assert_allclose(slope(jnp.log(0.8), jnp.array(1.0), 0.2), 0.8, rtol=1e-6)
    np.testing.assert_allclose(slope(jnp.log(1.2), jnp.array(-1.0), 0.2), -1.2, rtol=1e-6)


def test_a_learning_rate_outside_the_bounds_is_not_moved_by_a_kl_on_target():
    assert float(maths.adapt_learning_rate(jnp.array(0.03), jnp.array(0.01), 0.01)) == np.float32(0.03)
    assert float(maths.adapt_learning_rate(jnp.array(0.03), jnp.array(0.0), 0.01)) == np.float32(0.03)
    assert float(maths.adapt_learning_rate(jnp.array(0.03), jnp.array(1.0), 0.01)) == pytest.approx(0.02)
