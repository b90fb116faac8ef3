"""The distributions: scipy in float64 as oracle, sampling statistics, masks, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from proximax.maths import Categorical, Gaussian

DRAWS = 100_000
LOGITS = np.random.default_rng(0).standard_normal((2, 6, 4)) * 3.0  # two policies at six states
MEAN = np.random.default_rng(1).standard_normal((2, 6, 3)) * 2.0
LOG_STD = np.random.default_rng(2).uniform(-2.0, 1.0, (2, 6, 3))
ACTION = np.array([0, 1, 2, 3, 3, 0])
POINT = np.random.default_rng(3).standard_normal((6, 3)) * 3.0
MASKED = jnp.array([1.0, -jnp.inf, 0.5, -jnp.inf])  # actions 1 and 3 are forbidden


def f32(x):
    return jnp.asarray(x, jnp.float32)


def categoricals():
    return Categorical(f32(LOGITS[0])), Categorical(f32(LOGITS[1]))


def gaussians():
    return Gaussian(f32(MEAN[0]), f32(LOG_STD[0])), Gaussian(f32(MEAN[1]), f32(LOG_STD[1]))


@pytest.mark.parametrize(
    ("make", "action"), [(categoricals, jnp.asarray(ACTION)), (gaussians, f32(POINT))], ids=["Categorical", "Gaussian"]
)
@pytest.mark.parametrize(
    "function",
    [
        lambda p, q, action: p.log_prob(action),
        lambda p, q, action: p.entropy(),
        lambda p, q, action: p.kl(q),
        lambda p, q, action: p.mode(),
    ],
    ids=["log_prob", "entropy", "kl", "mode"],
)
def test_eager_jit_and_vmap_agree(function, make, action):
    args = (*make(), action)
    eager = function(*args)
    np.testing.assert_allclose(jax.jit(function)(*args), eager, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(*args), eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [categoricals, gaussians])
def test_eager_jit_and_vmap_draw_the_same(make):
    p, keys = make()[0], jax.random.split(jax.random.key(0), 2)
    eager = np.stack([p.sample(key) for key in keys])
    assert not np.array_equal(eager[0], eager[1])
    np.testing.assert_allclose(jax.jit(type(p).sample)(p, keys[0]), eager[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(p.sample))(keys), eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 1), (1, 6), (1,), (), (3,)])
def test_trap_10_a_choice_of_another_shape_than_the_batch_raises(shape):
    with pytest.raises((TypeError, ValueError)):
        categoricals()[0].log_prob(jnp.zeros(shape, int))


def test_trap_10_wrong_shapes_raise():
    p, gaussian = categoricals()[0], gaussians()[0]
    for wrong in (
        lambda: p.kl(Categorical(p.logits[0])),
        lambda: gaussian.log_prob(f32(POINT)[:, None]),
        lambda: gaussian.log_prob(f32(POINT)[:, 0]),
        lambda: gaussian.kl(Gaussian(gaussian.mean[0], gaussian.log_std[0])),
    ):
        with pytest.raises((TypeError, ValueError)):
            wrong()


def test_categorical_by_hand():
    p, q = Categorical(f32(np.log([0.75, 0.25]))), Categorical(jnp.zeros(2))
    assert float(p.log_prob(jnp.array(1))) == pytest.approx(-1.3862944, rel=1e-6)
    assert float(p.entropy()) == pytest.approx(0.5623351, rel=1e-6)
    assert float(q.entropy()) == pytest.approx(0.6931472, rel=1e-6)
    assert int(p.mode()) == 0


def test_trap_19_kl_goes_from_the_distribution_to_its_argument():
    p, q = Categorical(f32(np.log([0.75, 0.25]))), Categorical(jnp.zeros(2))
    assert float(p.kl(q)) == pytest.approx(0.13081204, rel=1e-5)  # ¾ ln 3/2 + ¼ ln 1/2
    assert float(q.kl(p)) == pytest.approx(0.14384104, rel=1e-5)  # ½ ln 2/3 + ½ ln 2
    narrow, wide = Gaussian(jnp.zeros(1), jnp.zeros(1)), Gaussian(jnp.ones(1), f32(np.log([2.0])))
    assert float(narrow.kl(wide)) == pytest.approx(0.44314718, rel=1e-6)  # ln 2 + (1 + 1) / 8 - ½
    assert float(wide.kl(narrow)) == pytest.approx(1.3068528, rel=1e-6)  # -ln 2 + (4 + 1) / 2 - ½


def test_categorical_against_scipy():
    p, q = categoricals()
    probability = scipy.special.softmax(LOGITS, axis=-1)
    log_prob = scipy.special.log_softmax(LOGITS[0], axis=-1)[np.arange(6), ACTION]
    np.testing.assert_allclose(p.log_prob(jnp.asarray(ACTION)), log_prob, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(p.entropy(), scipy.stats.entropy(probability[0], axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(p.kl(q), scipy.stats.entropy(*probability, axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(p.mode(), LOGITS[0].argmax(axis=-1))


def test_gaussian_against_scipy():
    p, _ = gaussians()
    normal = scipy.stats.norm(MEAN[0], np.exp(LOG_STD[0]))
    np.testing.assert_allclose(p.log_prob(f32(POINT)), normal.logpdf(POINT).sum(axis=-1), rtol=1e-4)
    np.testing.assert_allclose(p.entropy(), normal.entropy().sum(axis=-1), rtol=1e-5)
    np.testing.assert_array_equal(p.mode(), f32(MEAN[0]))


def test_gaussian_kl_against_numerical_integration():
    p, q = gaussians()
    for row in range(3):
        total = 0.0
        for mean, log_std in zip(MEAN[:, row].T, LOG_STD[:, row].T):
            first, second = (scipy.stats.norm(m, np.exp(s)) for m, s in zip(mean, log_std))
            x = np.linspace(mean[0] - 10 * first.std(), mean[0] + 10 * first.std(), 2001)
            total += scipy.integrate.simpson(first.pdf(x) * (first.logpdf(x) - second.logpdf(x)), x=x)
        assert float(p.kl(q)[row]) == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("make", [categoricals, gaussians])
def test_kl_is_zero_only_for_equals(make):
    p, q = make()
    np.testing.assert_allclose(p.kl(p), np.zeros(6), atol=1e-6)
    assert np.min(p.kl(q)) > 0.01


def test_categorical_ignores_a_common_shift_and_bears_large_logits():
    p, shifted = categoricals()[0], Categorical(f32(LOGITS[0]) + 100.0)
    np.testing.assert_allclose(shifted.entropy(), p.entropy(), rtol=1e-4, atol=1e-5)
    sure, other = Categorical(jnp.array([1e4, -1e4])), Categorical(jnp.array([-1e4, 1e4]))
    assert (float(sure.log_prob(jnp.array(0))), float(sure.entropy()), float(sure.kl(other))) == (0.0, 0.0, 2e4)


@pytest.mark.parametrize("log_std", [-20.0, 20.0])
def test_gaussian_bears_extreme_log_std(log_std):
    p = Gaussian(jnp.zeros(2), jnp.array([log_std, log_std]))
    numbers = [p.log_prob(jnp.zeros(2)), p.entropy(), p.kl(p)]
    np.testing.assert_allclose(numbers, [-2 * (log_std + 0.9189385), 2 * (log_std + 1.4189385), 0.0], rtol=1e-6)


def test_categorical_samples_follow_the_probabilities():
    probability = np.array([0.5, 0.3, 0.15, 0.05])
    draws = Categorical(jnp.broadcast_to(f32(np.log(probability)), (DRAWS, 4))).sample(jax.random.key(0))
    frequency = np.bincount(np.asarray(draws), minlength=4) / DRAWS
    np.testing.assert_allclose(frequency, probability, atol=0.01)  # six standard errors


def test_gaussian_samples_have_the_mean_spread_and_independence():
    mean, std = np.array([1.0, -2.0]), np.array([0.5, 3.0])
    shape = (DRAWS, 2)
    p = Gaussian(jnp.broadcast_to(f32(mean), shape), jnp.broadcast_to(f32(np.log(std)), shape))
    z = (np.asarray(p.sample(jax.random.key(0)), float) - mean) / std
    np.testing.assert_allclose(z.mean(axis=0), [0.0, 0.0], atol=0.02)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.03)
    assert scipy.stats.kstest(z[:, 0], "norm").statistic < 0.01


@pytest.mark.parametrize(
    "p",
    [Categorical(f32(LOGITS[0, 0])), Categorical(MASKED), Gaussian(f32(MEAN[0, 0]), f32(LOG_STD[0, 0]))],
    ids=["Categorical", "masked", "Gaussian"],
)
def test_entropy_is_the_mean_of_minus_log_prob(p):
    keys = jax.random.split(jax.random.key(1), DRAWS)
    surprise = jax.jit(jax.vmap(lambda key: -p.log_prob(p.sample(key))))(keys)
    assert np.mean(surprise) == pytest.approx(float(p.entropy()), abs=0.03)


def test_the_score_is_one_hot_minus_probability_and_z_over_std():
    score = jax.jit(jax.grad(lambda logits: Categorical(logits).log_prob(jnp.array(1))))
    np.testing.assert_allclose(score(f32(np.log([0.5, 0.3, 0.2]))), [-0.5, 0.7, -0.2], atol=1e-6)
    gaussian = Gaussian(jnp.array([1.0]), f32(np.log([4.0])))
    by_mean, by_log_std = jax.jit(jax.grad(lambda p: p.log_prob(jnp.array([3.0]))))(gaussian)
    np.testing.assert_allclose([by_mean[0], by_log_std[0]], [0.125, -0.75], rtol=1e-6)  # z = ½: z / std and z² - 1


def test_the_entropy_gradient_flattens_and_widens():
    by_logits = jax.jit(jax.grad(lambda logits: Categorical(logits).entropy()))(jnp.array([2.0, 0.0]))
    assert float(by_logits[0]) < 0 < float(by_logits[1])
    by_log_std = jax.jit(jax.grad(lambda log_std: Gaussian(jnp.zeros(3), log_std).entropy()))
    np.testing.assert_array_equal(by_log_std(jnp.array([-5.0, 0.0, 2.0])), [1.0, 1.0, 1.0])


def test_trap_15_a_forbidden_action_has_probability_exactly_zero():
    # Eager: a compiler may turn one-hot times -inf, which is NaN, into the select it should have been.
    probability = np.exp(Categorical(jnp.broadcast_to(MASKED, (4, 4))).log_prob(jnp.arange(4)))
    np.testing.assert_array_equal(probability[[1, 3]], [0.0, 0.0])
    np.testing.assert_allclose(probability[[0, 2]], [0.6224593, 0.3775407], rtol=1e-6)
    draws = Categorical(jnp.broadcast_to(MASKED, (DRAWS, 4))).sample(jax.random.key(0))
    assert set(np.unique(draws)) == {0, 2}
    assert int(Categorical(MASKED).mode()) == 0


def test_trap_15_entropy_and_kl_count_only_what_is_allowed():
    p, q = Categorical(MASKED), Categorical(jnp.array([0.0, -jnp.inf, 2.0, -jnp.inf]))
    allowed_p, allowed_q = Categorical(jnp.array([1.0, 0.5])), Categorical(jnp.array([0.0, 2.0]))
    np.testing.assert_allclose(p.entropy(), allowed_p.entropy(), rtol=1e-6)
    np.testing.assert_allclose(p.kl(q), allowed_p.kl(allowed_q), rtol=1e-6)
    assert float(Categorical(jnp.array([-jnp.inf, 0.3, -jnp.inf])).entropy()) == 0.0
    # What p never does costs nothing, whether or not q allows it.
    np.testing.assert_allclose(p.kl(Categorical(jnp.zeros(4))), np.log(4.0) - float(p.entropy()), rtol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda logits: Categorical(logits).log_prob(jnp.array(2)),
        lambda logits: Categorical(logits).entropy(),
        lambda logits: Categorical(logits).kl(Categorical(MASKED * 2.0)),
        lambda logits: Categorical(MASKED * 2.0).kl(Categorical(logits)),
    ],
    ids=["log_prob", "entropy", "kl", "kl as argument"],
)
def test_trap_15_gradients_of_a_masked_row_are_finite(function):
    slopes = jax.jit(jax.grad(function))
    gradient = np.asarray(slopes(MASKED))
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[[1, 3]], [0.0, 0.0])
    assert np.abs(gradient).sum() > 0.1
    narrow = f32(np.where(np.isneginf(MASKED), -30.0, MASKED))  # nearly forbidden: the same slopes, no infinities
    np.testing.assert_allclose(gradient, slopes(narrow), atol=1e-5)
