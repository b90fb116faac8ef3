"""The monotonic improvement bound in exact numbers: examples/trust_region_theory.py over many MDPs, and its page."""

import importlib.util
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from proximax.maths import Categorical, surrogate_objective
from tests.support import ROOT

enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # older JAX


@pytest.fixture(scope="module")
def theory():
    spec = importlib.util.spec_from_file_location("trust_region_theory", ROOT / "examples" / "trust_region_theory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pairs(theory, seed, count=500):
    """Log policies [N, S, A], old and new: near and far apart, nearly uniform and nearly deterministic."""
    rng = np.random.default_rng(seed)
    old = rng.normal(size=(count, 4, 3)) * rng.choice([0.3, 1.0, 3.0], size=(count, 1, 1))
    new = old + rng.normal(size=(count, 4, 3)) * rng.choice([0.03, 0.3, 1.0, 3.0], size=(count, 1, 1))
    return theory.log_softmax(old), theory.log_softmax(new)


def solved(theory, mdp, *log_policies):
    return [theory.solve(mdp, np.exp(log_policy)) for log_policy in log_policies]


@pytest.mark.parametrize(("gamma", "needed"), [(0.5, 0.099), (0.8, 0.0354), (0.95, 0.0090)])
def test_m_never_exceeds_the_return_and_touches_it(theory, gamma, needed):
    share, promised_too_much = 0.0, 0
    for seed in range(200):
        mdp = theory.random_mdp(seed, gamma)
        old, new = pairs(theory, seed=1000 + seed)
        at, then = solved(theory, mdp, old, new)
        c = theory.penalty(at, gamma)
        assert np.all(theory.minorant(at, old, new, c) <= then.eta + 1e-10)
        np.testing.assert_allclose(theory.minorant(at, old, old, c), at.eta, rtol=0, atol=1e-12)
        over = theory.surrogate(at, np.exp(new)) - then.eta
        share = max(share, np.max(over / (c * theory.kl(old, new).max(-1))))
        promised_too_much += np.sum(over > 1e-10)
    assert promised_too_much > 0.4 * 200 * 500  # the surrogate alone is no bound ...
    assert share == pytest.approx(needed, rel=0.02)  # ... and the theorem's C is far more than random pairs need


def test_the_solution_of_an_mdp_is_exact(theory):
    mdp = theory.random_mdp(7)
    old, new = pairs(theory, seed=7)
    at, then = solved(theory, mdp, old, new)
    np.testing.assert_allclose(at.visits.sum(-1), 1.0 / (1.0 - mdp.gamma))
    np.testing.assert_allclose((np.exp(old) * at.advantage).sum(-1), 0.0, atol=1e-12)
    np.testing.assert_allclose(at.eta, (at.visits[..., None] * np.exp(old) * mdp.reward).sum((-1, -2)))
    # η(π') - η(π) = Σ d'(s) Σ π'(a|s) A(s, a): the surrogate with the new policy's own visits is exact.
    np.testing.assert_allclose(theory.surrogate(at._replace(visits=then.visits), np.exp(new)), then.eta)
    # At γ = 0.8, 4 γ / (1 - γ)² = 80.
    np.testing.assert_allclose(theory.penalty(at, 0.8), 80.0 * np.abs(at.advantage).max(axis=(1, 2)))
    # η by playing it out: the return of the first 200 steps.
    states, eta, policy = mdp.start, 0.0, np.exp(old[0])
    for t in range(200):
        eta += mdp.gamma**t * np.sum(states[:, None] * policy * mdp.reward)
        states = np.einsum("s,sa,sat->t", states, policy, mdp.move)
    np.testing.assert_allclose(at.eta[0], eta)


@pytest.mark.parametrize("rows", ["OWN", "SHARED"])
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 1114])
def test_every_step_up_m_raises_the_return_by_at_least_what_m_gains(theory, seed, rows):
    steps = np.array(theory.climb(theory.random_mdp(seed), getattr(theory, rows), 1.0, np.inf, 60))
    eta, bound, then, kl, _ = steps.T
    np.testing.assert_array_equal(eta[1:], then[:-1])
    assert np.all(bound > eta)
    assert np.all(then >= bound)
    assert np.all(kl > 0)


@pytest.mark.parametrize("share", [1.0, 0.01])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_m_is_maximised(theory, seed, share):
    mdp, rng = theory.random_mdp(seed), np.random.default_rng(seed)
    old = theory.log_softmax(rng.normal(size=(2, 3)))
    at = theory.solve(mdp, np.exp(old)[theory.SHARED])
    b, c = theory.slopes(at, theory.SHARED), share * theory.penalty(at, mdp.gamma)

    def gain(new):
        return np.sum(np.exp(new) * b) - c * theory.kl(old, new).max()

    # Another solver: the logits and t, where t is at least the KL of every row.
    best = scipy.optimize.minimize(
        lambda x: -np.sum(np.exp(theory.log_softmax(x[:6].reshape(2, 3))) * b) + c * x[6],
        np.append(old.ravel(), 1e-3),
        constraints={
            "type": "ineq",
            "fun": lambda x: x[6] - theory.kl(old, theory.log_softmax(x[:6].reshape(2, 3))),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    found, other = gain(theory.maximise(old, b, c)), gain(theory.log_softmax(best.x[:6].reshape(2, 3)))
    assert found > 0
    np.testing.assert_allclose(found, other, rtol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["OWN", "SHARED"])
def test_the_gradient_of_the_surrogate_is_the_policy_gradient(theory, rows):
    mdp, row = theory.random_mdp(3), getattr(theory, rows)
    with enable_x64(True):
        logits = jnp.asarray(np.random.default_rng(3).normal(size=(row.max() + 1, 3)))
        move, reward = jnp.asarray(mdp.move), jnp.asarray(mdp.reward)

        def eta(logits):
            policy = jax.nn.softmax(logits)[row]
            left = jnp.eye(4) - mdp.gamma * jnp.einsum("sa,sat->st", policy, move)
            return jnp.linalg.solve(left, jnp.sum(policy * reward, axis=-1)) @ jnp.asarray(mdp.start)

        at = theory.solve(mdp, np.asarray(jax.nn.softmax(logits))[row])
        of_surrogate = jax.grad(lambda x: theory.surrogate(at, jax.nn.softmax(x)[row]))(logits)
        of_return = jax.grad(eta)(logits)
        by_hand = np.asarray(jax.nn.softmax(logits)) * theory.slopes(at, row)
        np.testing.assert_allclose(eta(logits), at.eta, rtol=1e-12)
    np.testing.assert_allclose(of_surrogate, of_return, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(by_hand, of_return, rtol=1e-9, atol=1e-12)
    assert np.abs(of_return).max() > 0.01


def test_the_cliff(theory):
    """Up the gradient by one large step: the surrogate promises a gain, the return falls, the gradient is gone."""
    mdp, row, old = theory.random_mdp(1114), theory.SHARED, theory.log_softmax(np.zeros((2, 3)))
    at = theory.solve(mdp, np.exp(old)[row])
    gradient = np.exp(old) * theory.slopes(at, row)
    sizes = np.array([0.01, 1.0, 5.0, 30.0, 100.0])
    new = theory.log_softmax(old + sizes[:, None, None] * gradient)
    promise, then = theory.surrogate(at, np.exp(new)[:, row]), theory.solve(mdp, np.exp(new)[:, row])
    assert np.all(np.diff(promise) > 0)  # always "better"
    assert np.all(then.eta[:3] > at.eta)  # true for a while
    assert np.all(promise[3:] > at.eta + 0.9)
    assert np.all(then.eta[3:] < at.eta - 0.9)
    there = theory.Solved(*(x[-1] for x in then))
    assert np.linalg.norm(np.exp(new[-1]) * theory.slopes(there, row)) < 1e-4 * np.linalg.norm(gradient)
    bound = theory.minorant(at, old[row], new[:, row], theory.penalty(at, mdp.gamma))
    assert bound[0] > at.eta
    assert np.all(bound[1:] < at.eta)  # M asks for a smaller step


def test_where_the_return_and_m_turn_on_the_way_to_the_cliff(theory):
    mdp, row, old = theory.random_mdp(1114), theory.SHARED, theory.log_softmax(np.zeros((2, 3)))
    at = theory.solve(mdp, np.exp(old)[row])
    sizes = np.linspace(0.01, 20.0, 2000)
    new = theory.log_softmax(old + sizes[:, None, None] * np.exp(old) * theory.slopes(at, row))[:, row]
    eta = theory.solve(mdp, np.exp(new)).eta
    bound = theory.minorant(at, old[row], new, theory.penalty(at, mdp.gamma))
    turns = [
        sizes[eta.argmax()],
        sizes[(eta < at.eta).argmax()],
        sizes[bound.argmax()],
        sizes[(bound < at.eta).argmax()],
    ]
    np.testing.assert_allclose(turns, [4.4, 9.1, 0.15, 0.3], rtol=0.05)
    assert np.all((eta < at.eta) == (sizes > turns[1] - 1e-9))


def test_from_the_bottom_of_the_cliff_there_is_no_way_back(theory):
    mdp, row = theory.random_mdp(1114), theory.SHARED

    def ascend(logits, size, steps):
        for _ in range(steps):
            policy = np.exp(theory.log_softmax(logits))
            logits = logits + size * policy * theory.slopes(theory.solve(mdp, policy[row]), row)
        return logits, theory.solve(mdp, np.exp(theory.log_softmax(logits))[row]).eta

    bottom, eta = ascend(np.zeros((2, 3)), 100.0, 1)
    assert 0.0 < ascend(bottom, 1.0, 1000)[1] - eta < 1e-7
    assert ascend(np.zeros((2, 3)), 1.0, 100)[1] == pytest.approx(4.18, abs=0.005)


@pytest.mark.parametrize("seed", range(20))
def test_with_a_row_for_each_state_even_the_surrogate_alone_never_falls(theory, seed):
    steps = np.array(theory.climb(theory.random_mdp(seed), theory.OWN, 0.0, np.inf, 8))
    assert np.all(steps[:, 2] >= steps[:, 0] - 1e-9)


def test_with_shared_rows_a_smaller_penalty_is_faster_until_it_is_too_small(theory):
    mdp, target = theory.random_mdp(1114), 0.99 * 4.197
    runs = [np.array(theory.climb(mdp, theory.SHARED, share, target, 600)) for share in (1.0, 0.1, 0.02, 0.01, 0.0)]
    gains = [steps[:, 2] - steps[:, 0] for steps in runs]
    assert len(runs[0]) > 5 * len(runs[1]) > 10 * len(runs[2])
    assert all(steps[-1, 2] >= target and np.all(gain > 0) for steps, gain in zip(runs[:3], gains[:3]))
    assert all(steps[-1, 2] < target and np.min(gain) < -0.1 for steps, gain in zip(runs[3:], gains[3:]))


def test_the_best_returns(theory):
    mdp = theory.random_mdp(1114)
    greedy = np.stack([np.eye(3)[list(choice)] for choice in itertools.product(range(3), repeat=4)])
    np.testing.assert_allclose(theory.best_return(mdp), theory.solve(mdp, greedy).eta.max())
    # With shared rows chance might help; here it does not: a grid of all policies.
    simplex = np.array([(i, j, 12 - i - j) for i in range(13) for j in range(13 - i)]) / 12
    both = np.stack([np.repeat(simplex, len(simplex), axis=0), np.tile(simplex, (len(simplex), 1))], axis=1)
    eta = theory.solve(mdp, both[:, theory.SHARED]).eta
    assert both[eta.argmax()].max(-1).tolist() == [1.0, 1.0]
    assert f"{eta.max():.3f}" == "4.197"


def test_the_library_computes_the_same(theory):
    mdp = theory.random_mdp(5)
    old, new = pairs(theory, seed=5, count=20)
    (at,) = solved(theory, mdp, old)
    theirs = Categorical(jnp.asarray(old, jnp.float32)), Categorical(jnp.asarray(new, jnp.float32))
    np.testing.assert_allclose(theirs[0].kl(theirs[1]), theory.kl(old, new), rtol=1e-4, atol=1e-5)
    ratio_times_advantage = surrogate_objective(jnp.asarray(new - old), jnp.asarray(at.advantage))
    surrogate = at.eta + np.sum(at.visits[..., None] * np.exp(old) * ratio_times_advantage, axis=(-1, -2))
    np.testing.assert_allclose(surrogate, theory.surrogate(at, np.exp(new)), rtol=1e-5)


@pytest.mark.slow
def test_the_page_shows_what_the_script_prints(theory, capsys):
    theory.main()
    printed = capsys.readouterr().out
    blocks = re.findall(
        r"^```text\n(.*?)^```$",
        (ROOT / "docs" / "algorithms" / "trust-region-theory.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    shown, printed = (re.sub("[,)]", "", text).split() for text in (" ".join(blocks), printed))
    assert len(shown) == len(printed)
    for word, other in zip(shown, printed):
        if re.match(r"-?\d", word):
            assert float(word) == pytest.approx(float(other), rel=0.02, abs=2e-3)  # other machines round otherwise
        else:
            assert word == other
