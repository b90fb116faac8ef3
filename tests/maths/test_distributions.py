"""The distributions: scipy in float64 as oracle, sampling statistics, masks, gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from proximax.maths import Bernoulli, Beta, Categorical, Gaussian, Joint, MultiCategorical, SquashedGaussian

DRAWS = 100_000
LOGITS = np.random.default_rng(0).standard_normal((2, 6, 4)) * 3.0  # two policies at six states
MEAN = np.random.default_rng(1).standard_normal((2, 6, 3)) * 2.0
LOG_STD = np.random.default_rng(2).uniform(-2.0, 1.0, (2, 6, 3))
ACTION = np.array([0, 1, 2, 3, 3, 0])
POINT = np.random.default_rng(3).standard_normal((6, 3)) * 3.0
MASKED = jnp.array([1.0, -jnp.inf, 0.5, -jnp.inf])  # actions 1 and 3 are forbidden
SIZES = (2, 4, 1, 3)
CHOICE_LOGITS = np.random.default_rng(4).standard_normal((2, 6, sum(SIZES))) * 2.0
CHOICES = np.random.default_rng(5).integers(0, SIZES, (6, 4))
BIT_LOGITS = np.random.default_rng(6).standard_normal((2, 6, 3)) * 2.0
BITS = np.random.default_rng(7).integers(0, 2, (6, 3))
# Rows: uniform, U-shaped, a mode at the edge, skew, skew the other way, peaked.
ALPHA = np.array([[1.0, 1.0], [0.5, 0.6], [1.0, 2.5], [1.5, 4.0], [8.0, 1.2], [40.0, 25.0]])
BETA = np.array([[1.0, 1.0], [0.5, 0.7], [3.0, 1.0], [7.0, 2.0], [2.0, 1.1], [30.0, 35.0]])
FRACTION = np.random.default_rng(8).uniform(0.02, 0.98, (6, 2))
# The first choice may be 0 only, the second not 1, the third is free.
MASKED_CHOICES = MultiCategorical(jnp.array([0.3, -jnp.inf, 1.0, -jnp.inf, 0.5, 0.2, 0.1]), (2, 3, 2))
MASKED_BITS = Bernoulli(jnp.array([jnp.inf, -jnp.inf, 0.4]))  # 1, 0, free


def f32(x):
    return jnp.asarray(x, jnp.float32)


def categoricals():
    return Categorical(f32(LOGITS[0])), Categorical(f32(LOGITS[1]))


def gaussians():
    return Gaussian(f32(MEAN[0]), f32(LOG_STD[0])), Gaussian(f32(MEAN[1]), f32(LOG_STD[1]))


def squashed_gaussians():
    return tuple(SquashedGaussian(*p) for p in gaussians())


def multi_categoricals():
    return tuple(MultiCategorical(f32(logits), SIZES) for logits in CHOICE_LOGITS)


def bernoullis():
    return tuple(Bernoulli(f32(logits)) for logits in BIT_LOGITS)


def betas():
    return Beta(f32(ALPHA), f32(BETA)), Beta(f32(ALPHA[::-1]), f32(BETA))


def joints():
    return tuple(Joint(parts) for parts in zip(categoricals(), betas(), squashed_gaussians()))


NEW = [
    (squashed_gaussians, f32(POINT)),
    (multi_categoricals, jnp.asarray(CHOICES)),
    (bernoullis, jnp.asarray(BITS)),
    (betas, f32(FRACTION)),
    (joints, (jnp.asarray(ACTION), f32(FRACTION), f32(POINT))),
]
EACH = [categoricals, gaussians, *(make for make, _ in NEW)]


def log_cosh(x):
    return np.logaddexp(x, -x) - np.log(2.0)


def gaussian_mean(function, mean, std):
    """E[function(x)] for x ~ N(mean, std²), in float64, with the parameters' shape."""
    z = np.linspace(-10.0, 10.0, 8001)
    x = np.asarray(mean)[..., None] + np.asarray(std)[..., None] * z
    return scipy.integrate.simpson(scipy.stats.norm.pdf(z) * function(x), x=z)


def tables(logits, sizes):
    """Every action of independent choices, and its probability in each row: ``[K, D]`` and ``[..., K]``, float64."""
    parts = np.split(logits, np.cumsum(sizes)[:-1], axis=-1)
    every = np.array(list(itertools.product(*map(range, sizes))))
    each = [scipy.special.softmax(part, axis=-1)[..., every[:, i]] for i, part in enumerate(parts)]
    return every, np.prod(each, axis=0)


def assert_all_close(tree, expected):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), tree, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "action"), NEW, ids=lambda x: getattr(x, "__name__", ""))
def test_eager_jit_and_vmap_agree_on_everything(make, action):
    def everything(p, q, action):
        return p.log_prob(action), p.entropy(), p.kl(q), p.mode()

    p, q = make()
    eager = everything(p, q, action)
    assert_all_close(jax.jit(everything)(p, q, action), eager)
    assert_all_close(jax.jit(jax.vmap(everything))(p, q, action), eager)  # row by row
    if make is not joints:  # the draws of a joint are those of its parts
        keys = jax.random.split(jax.random.key(0), 2)
        assert_all_close(jax.jit(jax.vmap(p.sample))(keys)[1], p.sample(keys[1]))


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


@pytest.mark.trap(10)
@pytest.mark.parametrize("shape", [(6, 1), (1, 6), (1,), (), (3,)])
def test_a_choice_of_another_shape_than_the_batch_raises(shape):
    with pytest.raises((TypeError, ValueError)):
        categoricals()[0].log_prob(jnp.zeros(shape, int))


@pytest.mark.trap(10)
def test_wrong_shapes_raise():
    p, gaussian = categoricals()[0], gaussians()[0]
    for wrong in (
        lambda: p.kl(Categorical(p.logits[0])),
        lambda: gaussian.log_prob(f32(POINT)[:, None]),
        lambda: gaussian.log_prob(f32(POINT)[:, 0]),
        lambda: gaussian.kl(Gaussian(gaussian.mean[0], gaussian.log_std[0])),
    ):
        with pytest.raises((TypeError, ValueError)):
            wrong()


@pytest.mark.trap(10)
@pytest.mark.parametrize(("make", "action"), NEW, ids=lambda x: getattr(x, "__name__", ""))
def test_an_action_of_another_rank_raises(make, action):
    for wrong in (lambda x: x[:, None], lambda x: x[0, ..., None, None]):
        with pytest.raises((TypeError, ValueError)):
            make()[0].log_prob(jax.tree.map(wrong, action))


@pytest.mark.trap(14)
def test_categorical_by_hand():
    p, q = Categorical(f32(np.log([0.75, 0.25]))), Categorical(jnp.zeros(2))
    assert float(p.log_prob(jnp.array(1))) == pytest.approx(-1.3862944, rel=1e-6)
    assert float(p.entropy()) == pytest.approx(0.5623351, rel=1e-6)
    assert float(q.entropy()) == pytest.approx(0.6931472, rel=1e-6)
    assert int(p.mode()) == 0


@pytest.mark.trap(19)
def test_kl_goes_from_the_distribution_to_its_argument():
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


@pytest.mark.parametrize("make", EACH)
def test_kl_is_zero_only_for_equals(make):
    p, q = make()
    np.testing.assert_allclose(p.kl(p), np.zeros(6), atol=1e-6)
    assert np.min(p.kl(q)) > 0.01


def test_choices_and_bits_against_a_table_of_all_their_actions():
    pairs = (CHOICE_LOGITS, SIZES, multi_categoricals()), (BIT_LOGITS, (2, 2, 2), bernoullis())
    for logits, sizes, (p, q) in pairs:
        if sizes == (2, 2, 2):
            logits = np.stack([np.zeros_like(logits), logits], axis=-1).reshape(2, 6, 6)  # (0, x) of each bit
        every, probability = tables(logits, sizes)
        log_prob = jax.jit(jax.vmap(p.log_prob, out_axes=1))(np.repeat(every[:, None], 6, axis=1))
        np.testing.assert_allclose(log_prob, np.log(probability[0]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(p.entropy(), scipy.stats.entropy(probability[0], axis=-1), rtol=1e-5)
        np.testing.assert_allclose(p.kl(q), scipy.stats.entropy(*probability, axis=-1), rtol=1e-5)
        np.testing.assert_array_equal(p.mode(), every[probability[0].argmax(axis=-1)])


def test_choices_and_bits_by_hand():
    p = MultiCategorical(f32(np.log([0.75, 0.25, 0.5, 0.3, 0.2])), (2, 3))
    assert float(p.log_prob(jnp.array([1, 2]))) == pytest.approx(np.log(0.25 * 0.2), rel=1e-6)
    assert float(p.entropy()) == pytest.approx(0.5623351 + 1.0296530, rel=1e-6)
    bits = Bernoulli(f32(np.log([3.0, 1 / 3, 1.0])))  # p(1) = ¾, ¼, ½
    assert float(bits.log_prob(jnp.array([1, 1, 0]))) == pytest.approx(np.log(0.75 * 0.25 * 0.5), rel=1e-6)
    assert float(bits.entropy()) == pytest.approx(2 * 0.5623351 + 0.6931472, rel=1e-6)
    assert float(bits.kl(Bernoulli(jnp.zeros(3)))) == pytest.approx(2 * 0.13081204, rel=1e-5)


def test_bernoulli_bears_large_logits():
    p = Bernoulli(jnp.array([1e4, -1e4, 100.0, -50.0]))
    likely, rare = jnp.array([1, 0, 1, 0]), jnp.array([0, 1, 0, 1])
    np.testing.assert_allclose([p.log_prob(likely), p.log_prob(rare)], [0.0, -20150.0], rtol=1e-6, atol=1e-6)
    gradient = jax.grad(lambda logits: Bernoulli(logits).log_prob(rare) + Bernoulli(logits).entropy())(p.logits)
    np.testing.assert_allclose(gradient, [-1.0, 1.0, -1.0, 1.0], atol=1e-6)


def test_squashed_gaussian_log_prob_against_scipy():
    p, _ = squashed_gaussians()
    density = scipy.stats.norm(MEAN[0], np.exp(LOG_STD[0])).logpdf(POINT) + 2.0 * log_cosh(POINT)
    np.testing.assert_allclose(p.log_prob(f32(POINT)), density.sum(axis=-1), rtol=1e-4)


def test_squashed_gaussian_density_over_the_actions_integrates_to_one():
    x = np.linspace(-9.0, 9.0, 4001)  # y = tanh x reaches 1 - 3e-8
    p = SquashedGaussian(jnp.full((4001, 1), 0.7), jnp.full((4001, 1), 0.1))
    density = np.exp(np.asarray(jax.jit(p.log_prob)(f32(x)[:, None]), float))
    assert scipy.integrate.simpson(density / np.cosh(x) ** 2, x=x) == pytest.approx(1.0, abs=1e-5)


def test_squashed_gaussian_kl_against_numerical_integration_over_the_actions():
    first, second = (0.3, 0.4), (-0.2, 0.7)  # mean and std of x
    log_density = lambda y, p: scipy.stats.norm(*p).logpdf(np.arctanh(y)) - np.log1p(-y * y)  # noqa: E731
    integrand = lambda y: np.exp(log_density(y, first)) * (log_density(y, first) - log_density(y, second))  # noqa: E731
    expected, _ = scipy.integrate.quad(integrand, -1.0 + 1e-12, 1.0 - 1e-12, limit=200)
    p, q = (SquashedGaussian(f32([mean]), f32(np.log([std]))) for mean, std in (first, second))
    assert float(p.kl(q)) == pytest.approx(expected, rel=1e-5)


def squashed_grid():
    """Means and log stds from a needle to far wider than tanh, [25 or more, 10]; narrow meets wide at std = ½."""
    log_std = [*np.linspace(-10.0, 2.0, 25), *np.log([0.3, 0.49, 0.4999, 0.5001, 0.51, 0.7])]
    return np.meshgrid([0.0, 0.05, 0.3, 1.0, 2.0, 3.5, 5.0, 6.0, -0.7, -6.0], log_std)


def test_squashed_gaussian_entropy_against_numerical_integration():
    mean, log_std = squashed_grid()
    expected = log_std + 0.5 * (1.0 + np.log(2.0 * np.pi)) - 2.0 * gaussian_mean(log_cosh, mean, np.exp(log_std))
    entropy = jax.jit(lambda m, s: SquashedGaussian(m, s).entropy())(f32(mean)[..., None], f32(log_std)[..., None])
    np.testing.assert_allclose(entropy, expected, rtol=1e-6, atol=3e-6)
    assert np.max(entropy) < np.log(2.0)  # of the uniform density on (-1, 1), the most there can be


def test_squashed_gaussian_entropy_at_std_one_half_where_narrow_meets_wide():
    mean = np.array([0.0, 0.5, 2.0, 6.0])
    expected = np.log(0.5) + 0.5 * (1.0 + np.log(2.0 * np.pi)) - 2.0 * gaussian_mean(log_cosh, mean, 0.5 + 0 * mean)
    p = SquashedGaussian(f32(mean)[:, None], jnp.log(jnp.full((4, 1), 0.5)))
    entropy = jax.jit(SquashedGaussian.entropy)(p)
    np.testing.assert_allclose(entropy, expected, rtol=1e-6, atol=3e-6)


def test_squashed_gaussian_entropy_gradient_against_numerical_integration():
    mean, log_std = squashed_grid()
    std = np.exp(log_std)
    by_mean = -2.0 * gaussian_mean(np.tanh, mean, std)
    by_log_std = 1.0 - 2.0 * gaussian_mean(lambda x: np.tanh(x) * (x - mean[..., None]), mean, std)
    entropy = lambda m, s: jnp.sum(SquashedGaussian(m, s).entropy())  # noqa: E731
    gradient = jax.jit(jax.grad(entropy, (0, 1)))(f32(mean)[..., None], f32(log_std)[..., None])
    np.testing.assert_allclose(gradient[0][..., 0], by_mean, atol=5e-6)
    np.testing.assert_allclose(gradient[1][..., 0], by_log_std, rtol=1e-5, atol=5e-6)


def test_squashed_gaussian_entropy_sums_over_the_actions():
    mean, log_std, entropy = jnp.array([0.3, 2.0]), jnp.array([-1.0, 0.5]), jax.jit(SquashedGaussian.entropy)
    alone = entropy(SquashedGaussian(mean[:, None], log_std[:, None]))  # two rows of one action
    assert float(entropy(SquashedGaussian(mean, log_std))) == pytest.approx(float(np.sum(alone)), rel=1e-6)


@pytest.mark.trap(16)
def test_squashed_gaussian_is_exact_and_finite_up_to_50():
    x = np.array([-50.0, -20.0, -10.0, -1e-3, 0.0, 0.5, 8.0, 10.0, 20.0, 50.0])
    log_prob = lambda x: SquashedGaussian(jnp.zeros(1), jnp.zeros(1)).log_prob(x[None])  # noqa: E731
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(log_prob)))(f32(x))
    # By x: -x from the Gaussian, 2 tanh x from the squeeze.
    np.testing.assert_allclose(value, scipy.stats.norm.logpdf(x) + 2.0 * log_cosh(x), rtol=1e-6)
    np.testing.assert_allclose(slope, -x + 2.0 * np.tanh(x), rtol=1e-6, atol=1e-6)


@pytest.mark.trap(16)
@pytest.mark.trap(18)
def test_squashed_gaussian_gradients_are_finite_at_extreme_x_and_log_std():
    x, log_std = (f32(a).reshape(-1, 1) for a in np.meshgrid([-50.0, -5.0, 0.0, 5.0, 50.0], [-20.0, -10.0, 2.0, 20.0]))

    def numbers(mean, log_std, x):
        p = SquashedGaussian(mean, log_std)
        return jnp.sum(p.log_prob(x) + p.entropy() + p.kl(SquashedGaussian(mean, log_std)))

    value, gradients = jax.jit(jax.value_and_grad(numbers, (0, 1, 2)))(jnp.full((20, 1), 0.5), log_std, x)
    assert all(np.all(np.isfinite(g)) for g in (value, *gradients))


def test_squashed_gaussian_mode_is_the_median_of_the_actions():
    p = SquashedGaussian(jnp.full((DRAWS, 1), 0.8), jnp.full((DRAWS, 1), 0.5))
    share = np.mean(np.tanh(p.sample(jax.random.key(0))) < np.tanh(p.mode()))
    assert share == pytest.approx(0.5, abs=0.01)  # six standard errors


def test_beta_against_scipy():
    p, _ = betas()
    beta = scipy.stats.beta(ALPHA, BETA)
    log_prob = beta.logpdf(f32(FRACTION).astype(float)).sum(axis=-1)
    np.testing.assert_allclose(p.log_prob(f32(FRACTION)), log_prob, rtol=1e-4, atol=2e-5)
    digamma = scipy.special.digamma
    terms = [scipy.special.betaln(ALPHA, BETA), (ALPHA - 1) * digamma(ALPHA), (BETA - 1) * digamma(BETA)]
    terms.append((ALPHA + BETA - 2) * digamma(ALPHA + BETA))
    rounding = 2.0**-24 * np.abs(terms).sum(axis=(0, -1))  # the peaked one's terms are up to 300, their sum 3
    error = np.abs(p.entropy() - beta.entropy().sum(axis=-1))
    assert (error <= rounding + 5e-6).all(), error


def test_beta_kl_against_numerical_integration():
    p, q = betas()
    expected = np.zeros(6)
    for row, column in np.ndindex(6, 2):
        first, second = (scipy.stats.beta(alpha[row, column], BETA[row, column]) for alpha in (ALPHA, ALPHA[::-1]))
        integrand = lambda x: first.pdf(x) * (first.logpdf(x) - second.logpdf(x))  # noqa: B023, E731
        expected[row] += scipy.integrate.quad(integrand, 0.0, 1.0, limit=200, points=[1e-3, 0.5, 1 - 1e-3])[0]
    np.testing.assert_allclose(p.kl(q), expected, rtol=1e-4, atol=1e-5)


def test_beta_by_hand():
    p = Beta(jnp.array([2.0]), jnp.array([3.0]))  # density 12 x (1 - x)²
    assert float(p.log_prob(jnp.array([0.5]))) == pytest.approx(np.log(1.5), rel=1e-5)
    assert float(p.mode()[0]) == pytest.approx(1 / 3, rel=1e-6)
    uniform = Beta(jnp.ones(1), jnp.ones(1))
    np.testing.assert_allclose([uniform.entropy(), uniform.mode()[0]], [0.0, 0.5], atol=2e-6)
    # KL of 1 from 12 x (1 - x)² is -ln 12 - E[ln x] - 2 E[ln(1 - x)] = -ln 12 + 3.
    assert float(uniform.kl(p)) == pytest.approx(0.5150934, rel=1e-5)


def test_beta_mode_is_where_the_density_is_highest_and_else_the_mean():
    grid = np.linspace(0.001, 0.999, 999)
    p, _ = betas()
    density = scipy.stats.beta(ALPHA, BETA).logpdf(grid[:, None, None])
    peaked = (ALPHA > 1) & (BETA > 1)
    expected = np.where(peaked, grid[density.argmax(axis=0)], ALPHA / (ALPHA + BETA))
    assert 0 < peaked.sum() < peaked.size
    np.testing.assert_allclose(p.mode(), expected, atol=6e-4)


def test_beta_samples_are_never_0_or_1_and_have_a_finite_log_prob():
    alpha, beta = np.array([[1e-3, 1e-3], [1e-3, 50.0], [50.0, 1e-3], [0.3, 0.3], [1.0, 1.0], [4.0, 2.0]]).T
    shape = (5000, 6, 1)
    p = Beta(*(jnp.broadcast_to(f32(x)[None, :, None], shape) for x in (alpha, beta)))
    draws = np.asarray(p.sample(jax.random.key(0)))
    assert 0.0 < draws.min() < 1e-5
    assert 1.0 - 1e-5 < draws.max() < 1.0
    assert np.all(np.isfinite(p.log_prob(jnp.asarray(draws))))
    for column in (4, 5):
        assert scipy.stats.kstest(draws[:, column, 0], scipy.stats.beta(alpha[column], beta[column]).cdf).pvalue > 1e-4


def test_beta_bears_the_actions_0_and_1():
    parameters = np.array([(a, b, x) for a in (0.5, 1.0, 1.5, 60.0) for b in (0.5, 1.0, 3.0) for x in (0.0, 1.0)])
    log_prob = lambda a, b, x: jnp.sum(Beta(a, b).log_prob(x))  # noqa: E731
    args = [f32(x)[:, None] for x in parameters.T]
    assert np.all(np.isfinite(Beta(*args[:2]).log_prob(args[2])))
    assert all(np.all(np.isfinite(g)) for g in jax.jit(jax.grad(log_prob, (0, 1, 2)))(*args))
    # An action at the edge counts as one just inside, as the samples do.
    inside = jnp.clip(args[2], 1e-6, 1.0 - 1e-6)
    np.testing.assert_array_equal(Beta(*args[:2]).log_prob(args[2]), Beta(*args[:2]).log_prob(inside))


def test_beta_entropy_and_kl_gradients_against_differences():
    step = 1e-6

    def numbers(a, b):
        means = a * scipy.special.digamma(a) + b * scipy.special.digamma(b) - (a + b) * scipy.special.digamma(a + b)
        kl = scipy.special.betaln(2.0, 3.0) - scipy.special.betaln(a, b) + means
        kl -= 2 * scipy.special.digamma(a) + 3 * scipy.special.digamma(b) - 5 * scipy.special.digamma(a + b)
        return np.array([scipy.stats.beta(a, b).entropy(), kl])

    a, b = np.array([1.2, 5.0, 20.0]), np.array([3.0, 1.1, 30.0])
    by_a = (numbers(a + step, b) - numbers(a - step, b)) / (2 * step)
    other = Beta(jnp.full((3, 1), 2.0), jnp.full((3, 1), 3.0))
    for function, expected in zip((lambda p: p.entropy(), lambda p: p.kl(other)), by_a):
        slope = jax.jit(jax.grad(lambda x: jnp.sum(function(Beta(x, f32(b)[:, None])))))(f32(a)[:, None])  # noqa: B023
        np.testing.assert_allclose(slope[:, 0], expected, rtol=1e-3, atol=1e-5)


def test_joint_is_the_sum_of_its_parts():
    p, q = joints()
    action = jnp.asarray(ACTION), f32(FRACTION), f32(POINT)
    each = [part.log_prob(a) for part, a in zip(p.parts, action)]
    np.testing.assert_allclose(p.log_prob(action), np.sum(each, axis=0), rtol=1e-6)
    np.testing.assert_allclose(p.entropy(), np.sum([part.entropy() for part in p.parts], axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(p.kl(q), np.sum([a.kl(b) for a, b in zip(p.parts, q.parts)], axis=0), rtol=1e-6)
    assert_all_close(p.mode(), tuple(part.mode() for part in p.parts))
    for wrong in (lambda: p.log_prob(action[:2]), lambda: p.kl(Joint(q.parts[:2]))):
        with pytest.raises(ValueError, match="argument"):  # of zip: one part too few is not a sum of fewer
            wrong()


def test_joint_parts_draw_with_keys_of_their_own():
    part = Gaussian(jnp.zeros((10_000, 1)), jnp.zeros((10_000, 1)))
    draws = np.concatenate(Joint((part, part, part)).sample(jax.random.key(0)), axis=1)
    np.testing.assert_allclose(np.corrcoef(draws.T), np.eye(3), atol=0.06)  # six standard errors
    np.testing.assert_allclose(draws.std(axis=0), np.ones(3), atol=0.05)


def test_choices_and_bits_of_one_draw_are_independent():
    logits = jnp.zeros((10_000, 4))
    for p in (MultiCategorical(logits, (2, 2)), Bernoulli(logits[:, :2])):
        draws = np.asarray(p.sample(jax.random.key(0)))
        assert np.abs(np.corrcoef(draws.T)[0, 1]) < 0.06  # six standard errors
        np.testing.assert_allclose(draws.mean(axis=0), [0.5, 0.5], atol=0.03)


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
    [
        Categorical(f32(LOGITS[0, 0])),
        Categorical(MASKED),
        Gaussian(f32(MEAN[0, 0]), f32(LOG_STD[0, 0])),
        MASKED_CHOICES,
        MASKED_BITS,
        SquashedGaussian(jnp.array([0.0, 6.0]), jnp.array([-10.0, -2.0])),
        SquashedGaussian(jnp.array([0.5, -2.0]), jnp.array([1.0, 2.0])),
        Beta(f32(ALPHA[3]), f32(BETA[3])),
        Joint((Categorical(MASKED), SquashedGaussian(jnp.ones(1), jnp.zeros(1)), MASKED_BITS)),
    ],
    ids=lambda p: type(p).__name__,
)
def test_entropy_is_the_mean_of_minus_log_prob(p):
    keys = jax.random.split(jax.random.key(1), DRAWS)
    surprise = jax.jit(jax.vmap(lambda key: -p.log_prob(p.sample(key))))(keys)
    error = float(np.std(surprise)) / np.sqrt(DRAWS)
    assert error < 0.03
    assert np.mean(surprise) == pytest.approx(float(p.entropy()), abs=6 * error + 1e-5)


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


@pytest.mark.trap(15)
def test_a_forbidden_action_has_probability_exactly_zero():
    # Eager: a compiler may turn one-hot times -inf, which is NaN, into the select it should have been.
    probability = np.exp(Categorical(jnp.broadcast_to(MASKED, (4, 4))).log_prob(jnp.arange(4)))
    np.testing.assert_array_equal(probability[[1, 3]], [0.0, 0.0])
    np.testing.assert_allclose(probability[[0, 2]], [0.6224593, 0.3775407], rtol=1e-6)
    draws = Categorical(jnp.broadcast_to(MASKED, (DRAWS, 4))).sample(jax.random.key(0))
    assert set(np.unique(draws)) == {0, 2}
    assert int(Categorical(MASKED).mode()) == 0


@pytest.mark.trap(15)
def test_entropy_and_kl_count_only_what_is_allowed():
    p, q = Categorical(MASKED), Categorical(jnp.array([0.0, -jnp.inf, 2.0, -jnp.inf]))
    allowed_p, allowed_q = Categorical(jnp.array([1.0, 0.5])), Categorical(jnp.array([0.0, 2.0]))
    np.testing.assert_allclose(p.entropy(), allowed_p.entropy(), rtol=1e-6)
    np.testing.assert_allclose(p.kl(q), allowed_p.kl(allowed_q), rtol=1e-6)
    assert float(Categorical(jnp.array([-jnp.inf, 0.3, -jnp.inf])).entropy()) == 0.0
    # What p never does costs nothing, whether or not q allows it.
    np.testing.assert_allclose(p.kl(Categorical(jnp.zeros(4))), np.log(4.0) - float(p.entropy()), rtol=1e-6)


NEARLY_MASKED = jnp.maximum(2.0 * MASKED, -60.0)


@pytest.mark.trap(15)
@pytest.mark.parametrize(
    "function",
    [
        lambda logits: Categorical(logits).log_prob(jnp.array(2)),
        lambda logits: Categorical(logits).entropy(),
        lambda logits: Categorical(logits).kl(Categorical(jnp.where(jnp.isneginf(logits), -jnp.inf, NEARLY_MASKED))),
        lambda logits: Categorical(MASKED * 2.0).kl(Categorical(logits)),
    ],
    ids=["log_prob", "entropy", "kl", "kl as argument"],
)
def test_gradients_of_a_masked_row_are_finite(function):
    slopes = jax.jit(jax.grad(function))
    gradient = np.asarray(slopes(MASKED))
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[[1, 3]], [0.0, 0.0])
    assert np.abs(gradient).sum() > 0.1
    narrow = f32(np.where(np.isneginf(MASKED), -30.0, MASKED))  # nearly forbidden: the same slopes, no infinities
    np.testing.assert_allclose(gradient, slopes(narrow), atol=1e-5)


@pytest.mark.trap(15)
def test_forbidden_choices_and_bits_have_probability_exactly_zero():
    for p, sizes, allowed in (
        (MASKED_CHOICES, (2, 3, 2), lambda a: (a[:, 0] == 0) & (a[:, 1] != 1)),
        (MASKED_BITS, (2, 2, 2), lambda a: (a[:, 0] == 1) & (a[:, 1] == 0)),
    ):
        every = np.array(list(itertools.product(*map(range, sizes))))
        # Eager: a compiler may turn one-hot times -inf, which is NaN, into the select it should have been.
        probability = np.exp(np.array([p.log_prob(jnp.asarray(action)) for action in every], float))
        np.testing.assert_array_equal(probability > 0, allowed(every))
        assert probability.sum() == pytest.approx(1.0, abs=1e-6)
        draws = np.asarray(jax.jit(jax.vmap(p.sample))(jax.random.split(jax.random.key(0), 10_000)))
        np.testing.assert_array_equal(np.unique(draws, axis=0), every[allowed(every)])
        assert bool(allowed(np.asarray(p.mode())[None])[0])


@pytest.mark.trap(15)
def test_choices_filled_up_to_the_longest_never_take_the_filling():
    p = MultiCategorical(jnp.array([-50.0, -60.0, -70.0, -80.0]), (1, 3))
    draws = np.asarray(jax.jit(jax.vmap(p.sample))(jax.random.split(jax.random.key(0), 10_000)))
    assert set(draws[:, 0]) == {0}
    assert set(draws[:, 1]) <= {0, 1, 2}
    np.testing.assert_array_equal(p.mode(), [0, 0])
    assert float(p.log_prob(jnp.array([1, 0]))) == -np.inf  # the first choice has no option 1


@pytest.mark.trap(15)
def test_entropy_and_kl_of_choices_and_bits_count_only_what_is_allowed():
    bit = np.log1p(np.exp(0.4)) - 0.4 / (1 + np.exp(-0.4))  # the entropy of a bit with logit 0.4
    np.testing.assert_allclose(MASKED_BITS.entropy(), bit, rtol=1e-6)
    assert float(Bernoulli(jnp.array([jnp.inf, -jnp.inf])).entropy()) == 0.0
    free = MultiCategorical(jnp.array([1.0, 0.5, 0.2, 0.1]), (2, 2))  # the second choice without option 1, the third
    np.testing.assert_allclose(MASKED_CHOICES.entropy(), free.entropy(), rtol=1e-6)
    # What p never does costs nothing, whether or not q allows it.
    uniform = MultiCategorical(jnp.zeros(7), (2, 3, 2))
    np.testing.assert_allclose(MASKED_CHOICES.kl(uniform), np.log(12.0) - MASKED_CHOICES.entropy(), rtol=1e-6)
    np.testing.assert_allclose(MASKED_BITS.kl(Bernoulli(jnp.zeros(3))), np.log(8.0) - MASKED_BITS.entropy(), rtol=1e-6)
    for p in (MASKED_BITS, MASKED_CHOICES):
        assert float(p.kl(p)) == 0.0


@pytest.mark.trap(15)
@pytest.mark.parametrize(
    ("p", "action"),
    [(MASKED_CHOICES, jnp.array([0, 2, 1])), (MASKED_BITS, jnp.array([1, 0, 1]))],
    ids=["MultiCategorical", "Bernoulli"],
)
def test_gradients_and_curvature_of_masked_choices_and_bits_are_finite(p, action):
    where = jnp.isfinite(p.logits)
    with_logits = lambda x: jax.tree.unflatten(jax.tree.structure(p), [x])  # noqa: E731
    # Forbidden where its argument is, so that the KL stays finite where that is only nearly forbidden.
    other = lambda x: with_logits(jnp.where(jnp.isinf(x), x, jnp.clip(p.logits * 2.0, -60.0, 60.0)))  # noqa: E731
    for function in (
        lambda d: d.log_prob(action),
        lambda d: d.entropy(),
        lambda d: d.kl(other(d.logits)),
        lambda d: other(d.logits).kl(d),
    ):
        slopes = jax.jit(jax.grad(lambda x: function(with_logits(x))))  # noqa: B023
        gradient = np.asarray(slopes(p.logits))
        assert np.all(np.isfinite(gradient))
        np.testing.assert_array_equal(gradient[~where], 0.0)
        assert np.abs(gradient).sum() > 0.01
        # Nearly forbidden: the same slopes, no infinities.
        narrow = jnp.clip(p.logits, -30.0, 30.0)
        np.testing.assert_allclose(gradient, np.where(where, slopes(narrow), 0.0), atol=1e-5)
    curvature = jax.jit(jax.hessian(lambda x: p.kl(with_logits(x))))(p.logits)  # what the natural gradient needs
    assert np.all(np.isfinite(curvature))
    assert np.abs(curvature).sum() > 0.01


def test_kl_is_infinite_where_the_other_forbids_what_this_one_may_do():
    free, bound = jnp.zeros(2), jnp.array([0.0, -jnp.inf])
    assert jnp.isposinf(Categorical(free).kl(Categorical(bound)))
    np.testing.assert_allclose(Categorical(bound).kl(Categorical(free)), np.log(2.0), rtol=1e-6)
    assert jnp.isposinf(Bernoulli(jnp.zeros(1)).kl(Bernoulli(jnp.array([jnp.inf]))))
    assert jnp.isposinf(MultiCategorical(jnp.zeros(4), (2, 2)).kl(MultiCategorical(jnp.tile(bound, 2), (2, 2))))


@pytest.mark.slow
def test_squashed_entropy_has_the_right_slope_where_its_two_quadratures_meet():
    def entropy(log_std):
        return SquashedGaussian(jnp.zeros(1), log_std).entropy()

    around = [jax.grad(entropy)(jnp.log(jnp.array([std])))[0] for std in (0.499, 0.5, 0.501)]
    np.testing.assert_allclose(around, 0.587, atol=5e-3)


# ---------------------------------------------------------------- any parameters

LOGIT = st.floats(-20, 20, width=32) | st.just(-np.inf)
KEY = jax.random.key(0)


def logits_of(size):
    """Three rows; of each at least one logit is finite."""
    rows = arrays(np.float32, (3, size), elements=LOGIT, fill=st.nothing())
    return rows.map(lambda x: np.where(np.isneginf(x).all(axis=1, keepdims=True), np.float32(0), x))


BITS_OF = arrays(np.float32, (3, 3), elements=st.floats(-20, 20, width=32) | st.sampled_from([np.inf, -np.inf]))


def free(x):
    """The same logits with nothing forbidden: where the other allows more, the KL is infinite."""
    return np.where(np.isfinite(x), x, np.float32(0))


# What hypothesis draws, arrays of NumPy: (kind, logits of one, logits of another).
DISCRETE = st.one_of(
    st.tuples(st.just("choice"), logits_of(4), logits_of(4).map(free)),
    st.tuples(st.just("choices"), *(st.tuples(*(logits_of(n).map(f) for n in (2, 1, 3))) for f in (np.array, free))),
    st.tuples(st.just("joint"), *(st.tuples(*(logits_of(n).map(f) for n in (2, 3))) for f in (np.array, free))),
    st.tuples(st.just("bits"), BITS_OF, BITS_OF.map(free)),
)
ACTIONS = {
    "choice": jnp.arange(4),
    "choices": jnp.array(list(itertools.product(range(2), range(1), range(3)))),
    "joint": tuple(jnp.array(list(itertools.product(range(2), range(3)))).T),
    "bits": jnp.array(list(itertools.product(range(2), repeat=3))),
}


def discrete(kind, logits):
    """A distribution of this kind, of three rows."""
    if kind == "choices":
        return MultiCategorical(f32(np.concatenate(logits, axis=1)), (2, 1, 3))
    if kind == "joint":
        return Joint(tuple(Categorical(f32(x)) for x in logits))
    return (Categorical if kind == "choice" else Bernoulli)(f32(logits))


@jax.jit
def of_choices(dist, other, actions):
    """All there is to know of two distributions of three rows; log p is of each of ``actions`` ``[n, ...]``."""
    rows = lambda action: jax.tree.map(lambda x: jnp.stack([x] * 3), action)  # noqa: E731
    tables = (jax.lax.map(lambda action, d=d: d.log_prob(rows(action)), actions) for d in (dist, other))
    drawn = jax.vmap(dist.sample)(jax.random.split(KEY, 4))

    def total(dist, other):
        one = jax.tree.map(lambda x: x[0], drawn)
        return jnp.sum(dist.log_prob(one) + dist.entropy() + dist.kl(other) + other.kl(other))

    numbers = {"entropy": dist.entropy(), "kl": dist.kl(other), "self": dist.kl(dist)}
    numbers |= {"mode": dist.log_prob(dist.mode()), "drawn": jax.vmap(dist.log_prob)(drawn)}
    return *tables, numbers, jax.grad(total, argnums=(0, 1))(dist, other)


@pytest.mark.slow
@given(DISCRETE)
def test_any_choices_against_a_table_of_all_their_actions(drawn):
    kind, *logits = drawn
    log_p, log_q, found, gradients = of_choices(*(discrete(kind, x) for x in logits), ACTIONS[kind])
    log_p, log_q = np.asarray(log_p, np.float64), np.asarray(log_q, np.float64)
    p, finite = np.exp(log_p), np.where(np.isneginf(log_p), 0.0, log_p)
    np.testing.assert_allclose(p.sum(axis=0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(found["entropy"], -(p * finite).sum(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["kl"], (p * (finite - log_q)).sum(axis=0), rtol=1e-4, atol=1e-5)
    assert found["kl"].min() > -1e-5
    np.testing.assert_allclose(found["self"], 0.0, atol=1e-6)
    np.testing.assert_allclose(found["mode"], log_p.max(axis=0), rtol=1e-5, atol=1e-6)
    assert np.isfinite(found["drawn"]).all()  # nothing that is forbidden
    assert all(np.isfinite(gradient).all() for gradient in jax.tree.leaves(gradients))


MEANS, LOG_STDS = st.floats(-5, 5, width=32), st.floats(-3, 1.5, width=32)
SHAPE_NUMBERS = st.floats(1.03125, 40.0, width=32)  # α and β as the policy makes them, above 1
CONTINUOUS = st.one_of(
    *(st.tuples(st.just(kind), MEANS, LOG_STDS, MEANS, LOG_STDS) for kind in (Gaussian, SquashedGaussian)),
    st.tuples(st.just(Beta), *[SHAPE_NUMBERS] * 4),
)
GRID = 4000


def many(dist, count):
    """``count`` rows ``[count, 1]`` of a distribution ``[1, 1]``."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, 1)), dist)


def middles(dist):
    """Points in the middle of equal parts of all that matters, and how much of the space of actions each has."""
    if isinstance(dist, Beta):
        return (np.arange(GRID) + 0.5) / GRID, np.full(GRID, 1 / GRID)
    mean, std = float(dist.mean[0, 0]), float(np.exp(dist.log_std[0, 0]))
    points = (mean + 9 * std * np.linspace(-1, 1, GRID)).astype(np.float32).astype(np.float64)
    width = np.full(GRID, 18 * std / (GRID - 1))
    # 1 - tanh² = 1 / cosh², without the cancellation that the density has to avoid too
    return points, width / np.cosh(points) ** 2 if isinstance(dist, SquashedGaussian) else width


@jax.jit
def of_one_number(dist, other, points):
    """All there is to know of two distributions ``[1, 1]``; log p is at each of ``points`` ``[n]``."""
    densities = (many(x, GRID).log_prob(points[:, None]) for x in (dist, other))
    samples = many(dist, 64).sample(KEY)

    def total(dist, other):
        return jnp.sum(many(dist, 64).log_prob(samples)) + jnp.sum(dist.entropy() + dist.kl(other))

    numbers = {"entropy": dist.entropy()[0], "kl": dist.kl(other)[0], "self": dist.kl(dist)[0]}
    numbers |= {"mode": dist.log_prob(dist.mode())[0], "samples": samples, "total": total(dist, other)}
    return *densities, numbers, jax.grad(total, argnums=(0, 1))(dist, other)


@pytest.mark.slow
@given(CONTINUOUS)
def test_any_density_against_numerical_integration(drawn):
    kind, *numbers = drawn
    dist, other = kind(*f32(numbers[:2])[:, None, None]), kind(*f32(numbers[2:])[:, None, None])
    points, width = middles(dist)
    log_p, log_q, found, gradients = of_one_number(dist, other, f32(points))
    log_p, log_q = np.asarray(log_p, np.float64), np.asarray(log_q, np.float64)
    mass = np.exp(log_p) * width
    assert mass.sum() == pytest.approx(1.0, abs=2e-3)
    assert float(found["entropy"]) == pytest.approx(-(mass * log_p).sum(), rel=1e-2, abs=2e-2)
    assert float(found["kl"]) == pytest.approx((mass * (log_p - log_q)).sum(), rel=1e-2, abs=2e-2)
    assert found["kl"] > -1e-4
    assert float(found["self"]) == pytest.approx(0.0, abs=1e-5)
    if kind is not SquashedGaussian:  # whose mode is the median
        assert found["mode"] >= log_p.max() - 1e-3
    if kind is Beta:
        assert ((found["samples"] > 0) & (found["samples"] < 1)).all()
    assert np.isfinite(found["total"])
    assert all(np.isfinite(gradient).all() for gradient in jax.tree.leaves(gradients))
