"""The natural gradient against explicit matrices in float64, and what a trust region promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.maths import (
    Beta,
    Categorical,
    conjugate_gradient,
    fisher_vector_product,
    line_search,
    natural_gradient_step,
)

N = 6  # the order of the matrices, and the parameters of the policy below: 3 features, 2 free logits


def f32(x):
    return jnp.asarray(x, jnp.float32)


def random_spd(count, seed=0, condition=30.0):
    """Symmetric positive definite matrices ``[count, N, N]`` with eigenvalues from 1 / 3 up to ``condition`` / 3."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((count, N, N)))
    eigenvalues = np.geomspace(1 / 3, condition / 3, N)
    return turn * eigenvalues @ np.swapaxes(turn, -1, -2)


def solve(matrix, b, iterations):
    return conjugate_gradient(lambda v: matrix @ v, b, iterations)


solve_all = jax.jit(jax.vmap(solve, in_axes=(0, 0, None)), static_argnums=2)


# A softmax policy of 3 actions at 5 states. The last logit is 0, else the Fisher matrix would be singular.
FEATURES = 2.0 * np.linalg.qr(np.random.default_rng(1).standard_normal((5, 3))).Q
THETA = np.random.default_rng(2).standard_normal(N) * 0.7
OLD = f32(THETA)
ADVANTAGE = np.random.default_rng(3).standard_normal((5, 3))
GRADIENT = np.array([0.3, -1.0, 0.5, 2.0, -0.2, 0.1])


def policy(theta):
    free = f32(FEATURES) @ theta.reshape(3, 2)
    return Categorical(jnp.concatenate([free, jnp.zeros((5, 1))], axis=1))


def mean_kl(theta, old=OLD):
    return jnp.mean(policy(old).kl(policy(theta)))


def objective(theta):
    """E[A] at each state, exactly: the sum over the actions."""
    return jnp.mean(jnp.sum(jax.nn.softmax(policy(theta).logits) * f32(ADVANTAGE), axis=-1))


def fisher_of_scores(theta):
    """E[∇log π ∇log πᵀ], summed over the actions, in float64: ∇log π(a) = features ⊗ (one-hot(a) - π)."""
    logits = np.concatenate([FEATURES @ theta.reshape(3, 2), np.zeros((5, 1))], axis=1)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    fisher = np.zeros((N, N))
    for features, p in zip(FEATURES, probability):
        for action in range(3):
            score = np.outer(features, (np.eye(3)[action] - p)[:2]).ravel()
            fisher += p[action] * np.outer(score, score) / 5
    return fisher


FISHER = fisher_of_scores(THETA)
product = fisher_vector_product(mean_kl, OLD)
natural_step = jax.jit(lambda g, delta: natural_gradient_step(g, product, delta, 20), static_argnums=1)


def exact_step(gradient, fisher, delta):
    direction = np.linalg.solve(fisher, gradient)
    return np.sqrt(2.0 * delta / (gradient @ direction)) * direction


def test_conjugate_gradient_by_hand():
    # M = diag(1, 4), b = (1, 4): the first step has length 17/65, the second is exact.
    matrix, b = jnp.diag(jnp.array([1.0, 4.0])), jnp.array([1.0, 4.0])
    np.testing.assert_allclose(solve(matrix, b, 1), [17 / 65, 68 / 65], rtol=1e-6)
    np.testing.assert_allclose(solve(matrix, b, 2), [1.0, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(solve(matrix, b, 0), [0.0, 0.0])


def test_conjugate_gradient_solves_in_as_many_steps_as_the_matrix_has_eigenvalues():
    matrix, b = random_spd(50), np.random.default_rng(4).standard_normal((50, N))
    expected = np.linalg.solve(matrix, b[..., None])[..., 0]
    error = lambda k: np.max(np.abs(np.asarray(solve_all(f32(matrix), f32(b), k)) - expected))  # noqa: E731
    assert error(N) < 1e-3  # of solutions up to 6
    assert error(2) > 0.1
    # The identity plus a matrix of rank one has two eigenvalues.
    two = np.eye(N) + b[:, :, None] * b[:, None]
    expected = np.linalg.solve(two, np.ones((50, N, 1)))[..., 0]
    np.testing.assert_allclose(solve_all(f32(two), jnp.ones((50, N)), 2), expected, rtol=1e-4, atol=1e-5)


def test_conjugate_gradient_comes_nearer_in_the_norm_of_the_matrix_with_every_step():
    matrix, b = random_spd(20, condition=1000.0), np.random.default_rng(4).standard_normal((20, N))
    exact = np.linalg.solve(matrix, b[..., None])[..., 0]
    errors = []
    for iterations in (0, 1, 3, 5):
        error = np.asarray(solve_all(f32(matrix), f32(b), iterations), float) - exact
        errors.append(np.einsum("bi,bij,bj->b", error, matrix, error))
    assert np.all(np.diff(errors, axis=0) < 0)


@pytest.mark.parametrize("iterations", [N + 1, 1000])
def test_conjugate_gradient_takes_no_harm_from_more_steps_than_it_needs(iterations):
    matrix, b = random_spd(50), np.random.default_rng(4).standard_normal((50, N))
    expected = np.linalg.solve(matrix, b[..., None])[..., 0]
    np.testing.assert_allclose(solve_all(f32(matrix), f32(b), iterations), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(solve(jnp.eye(N), f32(b[0]), iterations), f32(b[0]))


def test_conjugate_gradient_is_as_exact_for_a_tiny_right_hand_side_as_for_a_large_one():
    matrix, b = random_spd(1), np.random.default_rng(4).standard_normal((1, N))
    expected = np.linalg.solve(matrix, b[..., None])[..., 0]
    for scale in (1e-12, 1e12):
        np.testing.assert_allclose(solve_all(f32(matrix), f32(b * scale), 10) / scale, expected, rtol=1e-3, atol=1e-4)


def test_conjugate_gradient_of_zero_is_zero():
    np.testing.assert_array_equal(solve(f32(random_spd(1)[0]), jnp.zeros(N), 10), np.zeros(N))
    np.testing.assert_array_equal(solve(jnp.zeros((N, N)), jnp.ones(N), 10), np.zeros(N))  # no way to move: stays


def test_eager_jit_and_vmap_agree_for_conjugate_gradient():
    matrix, b = f32(random_spd(3)), f32(np.random.default_rng(4).standard_normal((3, N)))
    eager = np.stack([solve(m, x, 10) for m, x in zip(matrix, b)])
    np.testing.assert_allclose(jax.jit(solve, static_argnums=2)(matrix[0], b[0], 10), eager[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(solve_all(matrix, b, 10), eager, rtol=1e-4, atol=1e-5)


def test_fisher_vector_product_is_the_fisher_matrix_of_the_scores_and_the_curvature_of_kl():
    columns = jax.jit(jax.vmap(product))(jnp.eye(N))  # F applied to each unit vector
    np.testing.assert_allclose(columns, FISHER, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.hessian(mean_kl))(OLD), FISHER, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(product(f32(GRADIENT)), FISHER @ GRADIENT, rtol=1e-4)  # eager
    np.testing.assert_allclose(jax.jit(product)(f32(GRADIENT)), FISHER @ GRADIENT, rtol=1e-4)
    assert np.linalg.cond(FISHER) < 100


def test_damping_adds_that_many_identities():
    damped = jax.jit(fisher_vector_product(mean_kl, OLD, 0.25))
    expected = FISHER @ GRADIENT + 0.25 * GRADIENT
    np.testing.assert_allclose(damped(f32(GRADIENT)), expected, rtol=1e-4)


@pytest.mark.slow
def test_fisher_of_beta_is_of_trigammas():
    # F = [[ψ'(α) - ψ'(α + β), -ψ'(α + β)], [., ψ'(β) - ψ'(α + β)]]; ψ'(1) = π²/6, ψ'(2) = ψ'(1) - 1, ψ'(3) = ψ'(2) - ¼.
    p = Beta(jnp.array([1.0]), jnp.array([2.0]))
    matvec = fisher_vector_product(lambda x: p.kl(Beta(x[:1], x[1:])), jnp.array([1.0, 2.0]))
    one, two, three = np.pi**2 / 6 - np.array([0.0, 1.0, 1.25])
    fisher = [[one - three, -three], [-three, two - three]]
    np.testing.assert_allclose(jax.jit(jax.vmap(matvec))(jnp.eye(2)), fisher, rtol=1e-5)


def test_natural_gradient_step_by_hand():
    # F = diag(1, 4), g = (2, 4): F⁻¹ g = (2, 1), gᵀ F⁻¹ g = 8, sqrt(2 · 1 / 8) = ½.
    step = natural_gradient_step(jnp.array([2.0, 4.0]), lambda v: v * jnp.array([1.0, 4.0]), 1.0)
    np.testing.assert_allclose(step, [1.0, 0.5], rtol=1e-5)


def test_natural_gradient_step_against_the_explicit_inverse():
    for delta in (0.01, 1.0):
        step = natural_step(f32(GRADIENT), delta)
        np.testing.assert_allclose(step, exact_step(GRADIENT, FISHER, delta), rtol=1e-3, atol=1e-5)
        assert 0.5 * step @ FISHER @ step == pytest.approx(delta, rel=1e-3)
        assert float(step @ f32(GRADIENT)) > 0  # up the objective


def test_the_kl_of_a_small_natural_step_is_delta():
    step = natural_step(f32(GRADIENT), 1e-3)
    assert float(mean_kl(OLD + step)) == pytest.approx(1e-3, rel=0.1)


def test_a_zero_gradient_gives_a_zero_step():
    np.testing.assert_array_equal(natural_step(jnp.zeros(N), 0.01), np.zeros(N))


def test_the_natural_step_does_not_depend_on_the_length_of_the_gradient():
    step = natural_step(f32(GRADIENT), 0.01)
    for scale in (1e-15, 1e-6, 7.0, 1e6, 1e15):
        np.testing.assert_allclose(natural_step(f32(GRADIENT * scale), 0.01), step, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(natural_step(f32(-GRADIENT), 0.01), -step, rtol=1e-3, atol=1e-5)


def test_eager_jit_and_vmap_agree_for_the_natural_gradient_step():
    function = lambda g: natural_gradient_step(g, product, 0.01, 8)  # noqa: E731
    gradients = f32(np.stack([GRADIENT, -2.0 * GRADIENT[::-1], np.zeros(N)]))
    eager = np.stack([function(g) for g in gradients])
    np.testing.assert_allclose(jax.jit(function)(gradients[0]), eager[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(gradients), eager, rtol=1e-4, atol=1e-5)


def steps_under(transform, phi, delta):
    """The natural step and the plain gradient in parameters phi of the policy with weights ``transform(phi)``."""
    matvec = fisher_vector_product(lambda x: mean_kl(transform(x)), phi)
    gradient = jax.grad(lambda x: objective(transform(x)))(phi)
    return natural_gradient_step(gradient, matvec, delta, 30), gradient


def test_the_natural_gradient_is_invariant_under_linear_reparametrisation_and_the_plain_one_is_not():
    matrix = np.eye(N) + 0.4 * np.random.default_rng(5).standard_normal((N, N))  # theta = A phi
    assert np.linalg.cond(matrix) < 20
    phi = f32(np.linalg.solve(matrix, THETA))
    (step_phi, by_phi), (step_theta, by_theta) = (
        jax.jit(lambda: steps_under(lambda x: f32(matrix) @ x, phi, 0.01))(),
        jax.jit(lambda: steps_under(lambda x: x, OLD, 0.01))(),
    )
    np.testing.assert_allclose(matrix @ step_phi, step_theta, rtol=3e-3, atol=1e-4)
    plain, other = matrix @ by_phi, np.asarray(by_theta)
    cosine = plain @ other / np.linalg.norm(plain) / np.linalg.norm(other)
    assert cosine < 0.9  # another direction, not only another length


def test_the_natural_gradient_is_invariant_under_nonlinear_reparametrisation_to_first_order():
    transform, phi = jnp.sinh, f32(np.arcsinh(THETA))  # theta = sinh(phi)
    step_phi = jax.jit(lambda: steps_under(transform, phi, 1.0)[0])()
    step_theta = np.asarray(jax.jit(lambda: steps_under(lambda x: x, OLD, 1.0)[0])())
    slope = np.cosh(np.arcsinh(THETA))
    np.testing.assert_allclose(slope * step_phi, step_theta, rtol=3e-3, atol=1e-3)  # the tangents
    misses = []
    for share in (1e-1, 1e-2):  # the steps of δ = 1e-2 and 1e-4
        reached = np.sinh(np.arcsinh(THETA) + share * np.asarray(step_phi)) - THETA
        misses.append(np.linalg.norm(reached - share * step_theta) / np.linalg.norm(share * step_theta))
    assert misses[0] < 0.2
    assert misses[1] < 0.2 * misses[0]  # ten times nearer with a step ten times shorter, but for rounding
    by_phi, by_theta = (jax.grad(f)(x) for f, x in ((lambda x: objective(transform(x)), phi), (objective, OLD)))
    plain = slope * np.asarray(by_phi) / np.asarray(by_theta)
    assert np.ptp(plain) > 0.1  # the plain gradient turns


# Line searches along one axis: params 0, KL = p² / 2 unless said otherwise.
def search(gain, step, delta, backtracks=10, kl=lambda p: 0.5 * p[0] * p[0]):
    found, share, reached = line_search(lambda p: (gain(p[0]), kl(p)), jnp.zeros(1), f32([step]), delta, backtracks)
    return float(found[0]), float(share), float(reached)


def up(p):
    return p


def hill(p):
    return -jnp.square(p - 1.0)  # from -1 at 0 up to 0 at 1 and down to -1 at 2


def test_line_search_takes_the_whole_step_where_it_will_do():
    assert search(up, 2.0, 2.0) == (2.0, 1.0, 2.0)  # KL = delta is allowed


def test_line_search_halves_until_kl_is_at_most_delta():
    assert search(up, 8.0, 2.0) == (2.0, 0.25, 2.0)
    assert search(up, 8.0, 1.99) == (1.0, 0.125, 0.5)


def test_line_search_halves_until_the_objective_rises_strictly():
    assert search(hill, 8.0, 1e9) == (1.0, 0.125, 0.5)  # at 2 it is what it was
    assert search(hill, -8.0, 1e9) == (0.0, 0.0, 0.0)  # downhill all the way
    assert search(hill, 2.0, 2.0) == (1.0, 0.5, 0.5)  # for the KL alone the whole step would do


def test_line_search_tries_the_whole_step_and_that_many_halvings():
    assert search(up, 8.0, 0.5, backtracks=3) == (1.0, 0.125, 0.5)
    assert search(up, 8.0, 0.5, backtracks=2) == (0.0, 0.0, 0.0)
    assert search(up, 1.0, 2.0, backtracks=0) == (1.0, 1.0, 0.5)
    assert search(up, 8.0, 2.0, backtracks=0) == (0.0, 0.0, 0.0)


def test_line_search_takes_no_step_to_what_is_not_a_number():
    nan = lambda p: p + jnp.nan  # noqa: E731
    assert search(nan, 1.0, 2.0) == (0.0, 0.0, 0.0)
    assert search(up, 1.0, 2.0, kl=lambda p: p[0] + jnp.nan) == (0.0, 0.0, 0.0)
    assert search(up, np.nan, 2.0) == (0.0, 0.0, 0.0)
    assert search(up, np.inf, 2.0) == (0.0, 0.0, 0.0)
    only_far = lambda p: jnp.where(p > 2.5, jnp.nan, p)  # noqa: E731
    assert search(only_far, 8.0, 1e9) == (2.0, 0.25, 2.0)


def test_line_search_along_a_zero_step_stays():
    assert search(up, 0.0, 2.0) == (0.0, 0.0, 0.0)


def evaluate(theta):
    return objective(theta), mean_kl(theta)


DELTA = 0.02


def step_and_search(step):
    return line_search(evaluate, OLD, step, DELTA, 6)


def test_line_search_never_leaves_the_trust_region_and_always_improves():
    rng = np.random.default_rng(6)
    steps = f32(rng.standard_normal((200, N)) * np.geomspace(0.01, 100.0, 200)[:, None])
    theta, share, kl = jax.jit(jax.vmap(step_and_search))(steps)
    gain, reached = (np.asarray(x) for x in jax.jit(jax.vmap(evaluate))(theta))
    tried = THETA + 0.5 ** np.arange(7)[:, None, None] * np.asarray(steps)
    values, kls = (np.asarray(x) for x in jax.jit(jax.vmap(jax.vmap(evaluate)))(f32(tried)))
    before = float(objective(OLD))
    share, kl, found = np.asarray(share), np.asarray(kl), np.asarray(share) > 0
    assert found.sum() > 30
    assert (~found).sum() > 30
    assert np.all(kl <= DELTA)
    np.testing.assert_allclose(kl[found], reached[found], rtol=1e-4, atol=1e-6)
    assert np.all(gain[found] > before)
    # The first admissible halving of all seven, or none.
    admissible = (values > before + 1e-6) & (kls <= DELTA - 1e-6)
    clear = np.all((np.abs(values - before) > 1e-6) & (np.abs(kls - DELTA) > 1e-6), axis=0)  # of rounding
    first = np.where(admissible.any(axis=0), 0.5 ** admissible.argmax(axis=0), 0.0)
    assert clear.sum() > 150
    np.testing.assert_array_equal(share[clear], first[clear])
    np.testing.assert_array_equal(np.asarray(theta)[~found], np.broadcast_to(OLD, ((~found).sum(), N)))
    np.testing.assert_array_equal(kl[~found], 0.0)


def test_eager_jit_and_vmap_agree_for_line_search():
    steps = f32(np.outer([0.1, 3.0, -1.0], GRADIENT))
    eager = [step_and_search(step) for step in steps]
    assert len({float(share) for _, share, _ in eager}) == 3  # they stop after different numbers of halvings
    for compiled in (
        [jax.jit(step_and_search)(steps[0])],
        list(zip(*jax.jit(jax.vmap(step_and_search))(steps))),
    ):
        for got, expected in zip(compiled, eager):
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), got, expected)


def test_natural_steps_with_line_search_climb_to_the_best_policy_and_stay_in_every_trust_region():
    def iterate(theta, _):
        gradient = jax.grad(objective)(theta)
        matvec = fisher_vector_product(lambda x: mean_kl(x, theta), theta, 1e-3)
        step = natural_gradient_step(gradient, matvec, DELTA, 10)
        new, _, kl = line_search(lambda x: (objective(x), mean_kl(x, theta)), theta, step, DELTA)
        return new, (objective(new), kl)

    _, (values, kls) = jax.jit(lambda theta: jax.lax.scan(iterate, theta, None, 50))(OLD)
    assert np.max(kls) <= DELTA
    assert np.all(np.diff(values) >= 0)
    assert float(values[-1]) > float(objective(OLD)) + 0.3


@pytest.mark.trap(24)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_or_curvature_that_is_not_finite_is_not_hidden(bad):
    gradient = jnp.array([bad, 1.0])
    assert not jnp.isfinite(natural_gradient_step(gradient, lambda v: v, 0.01)).all()
    assert not jnp.isfinite(natural_gradient_step(jnp.ones(2), lambda v: bad * v, 0.01)).all()


@pytest.mark.parametrize("size", [1e-30, 1e-19, 1.0, 1e20, 1e30])
def test_the_length_of_the_gradient_changes_nothing_even_where_its_square_leaves_float32(size):
    step = natural_gradient_step(size * jnp.array([3.0, 4.0]), lambda v: v, 0.5)
    np.testing.assert_allclose(step, [0.6, 0.8], rtol=1e-6)
