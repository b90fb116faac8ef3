"""The road from REINFORCE to PPO: what each algorithm does to a rollout, and that each learns. Traps 1, 3, 12, 13,
19, 20.
"""

import functools
import itertools
import json
import runpy
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from jax.flatten_util import ravel_pytree

import proximax
from proximax import ALGORITHMS, Algorithm, maths
from proximax.config.ppo_config import PPOConfig
from proximax.config.presets import ALGORITHM_SETTINGS
from proximax.config.run_config import RunConfig, from_json
from proximax.envs import HostEnv, probe
from proximax.errors import UsageError
from proximax.policy.policy import make_policy
from proximax.ppo.host_learner import make_host_learner
from proximax.ppo.learner import make_learner
from proximax.ppo.losses import policy_loss, weighted_mean
from proximax.ppo.policy_steps import mean_kl, natural_step
from proximax.ppo.records import ObjectiveInputs, UpdateContext
from proximax.ppo.update import make_batch, scheduled_values, update
from proximax.runtime.prng import seed_key
from proximax.types import Step, Transition
from tests.support import ROOT
from tests.support.updates import ACTIONS, one_update, rollout, setup, state_of

APART = ["reinforce", "npg", "trpo"]  # a step of the policy, then the critic
TOGETHER = ["a2c", "surrogate", "penalty", "clip", "spo"]
# Of one update on a random rollout: each program is compiled once and serves many tests.
SETTINGS = {
    "reinforce": {"advantage": "to-go", "baseline": False, "max_grad_norm": None},
    "a2c": {"epochs": 1, "minibatch_size": None, "max_grad_norm": None},
    "npg": {"max_kl": 1e-4, "damping": 1e-6},
    "trpo": {"max_kl": 0.3, "damping": 1e-3},
}
POLICY = ("actor", "policy_head", "log_std")  # the parts of the built-in network that the policy depends on


BASE = {"hidden": (8,), "epochs": 4, "minibatch_size": 16, "learning_rate": 0.01}
setup_once = functools.cache(lambda kind, *settings: setup(kind, **dict(settings)))


def made(algo, kind="discrete", **settings):
    """(config, policy, parameters, rollout), the same objects each time."""
    return setup_once(kind, *sorted({**BASE, **SETTINGS.get(algo, {}), **settings}.items()))


def shaken(params, seed, size):
    """Other parameters, ``size`` away from these."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: (x + size * rng.standard_normal(x.shape)).astype(np.float32), params)


def without_advantage(transitions):
    """The same rows, each the end of an episode that paid just what was expected."""
    ends = jnp.ones(transitions.reward.shape, bool)
    return transitions._replace(reward=transitions.value, terminated=ends, truncated=~ends)


def rows_of(policy, params, transitions):
    """(π(. | s), V(s)) for all rows ``[B]``."""
    obs = transitions.obs.reshape(-1, 3)
    dist, value, _ = policy.apply(params, (), obs, jnp.zeros(len(obs), bool))
    return dist, value


def divergence(policy, old, new, transitions):
    """Mean KL(old, new) over the rollout."""
    return float(jnp.mean(rows_of(policy, old, transitions)[0].kl(rows_of(policy, new, transitions)[0])))


batch_of = jax.jit(make_batch, static_argnums=0)


def surrogate_of(ppo, policy, params, transitions):
    """Mean of ratio times standardised advantage."""
    batch = batch_of(ppo, transitions)
    ratio = np.exp(rows_of(policy, params, transitions)[0].log_prob(batch.action) - batch.log_prob)
    advantage = np.asarray(batch.advantage, np.float64)
    return np.mean(ratio * (advantage - advantage.mean()) / advantage.std())


def value_error(ppo, policy, params, transitions):
    """The mean value loss."""
    target = batch_of(ppo, transitions).target
    return float(jnp.mean(jnp.square(rows_of(policy, params, transitions)[1] - target))) / 2


def split(params):
    """(the policy's parameters, the critic's) as flat vectors, by the names of the built-in network's parts."""
    parts = {**params, **params["network"]}
    del parts["network"]
    mine = [ravel_pytree({k: v for k, v in parts.items() if (k in POLICY) == policy})[0] for policy in (True, False)]
    return np.asarray(mine[0]), np.asarray(mine[1])


def assert_trees(check, a, b, **tolerance):
    jax.tree.map(functools.partial(check, **tolerance), a, b)


same = functools.partial(assert_trees, np.testing.assert_array_equal)
assert_close = functools.partial(assert_trees, np.testing.assert_allclose)


# ---------------------------------------------------------------- one update, any algorithm


CASES = [(algo, "discrete") for algo in ALGORITHMS] + [("npg", "continuous"), ("trpo", "continuous")]


@pytest.mark.slow
@pytest.mark.trap(12)
@pytest.mark.parametrize(("algo", "kind"), CASES)
def test_the_first_ratio_is_1_parameters_move_and_all_is_finite(algo, kind):
    ppo, policy, params, transitions = made(algo, kind)
    after, opt_state, metrics = one_update(ppo, transitions, policy, params, algo=algo)
    assert metrics["first_ratio_error"] <= (1e-6 if kind == "discrete" else 1e-5)
    assert metrics["finite"] == 1
    for leaf in jax.tree.leaves((after, opt_state, metrics)):
        assert np.isfinite(leaf).all()
    for mine, old in zip(split(after), split(params)):
        assert np.abs(mine - old).max() > 1e-4  # the policy's and the critic's
    assert metrics["kl"] == pytest.approx(divergence(policy, params, after, transitions), rel=1e-3)
    assert metrics["kl"] > 1e-5
    assert metrics["gradient_steps"] == {"a2c": 1, **dict.fromkeys(APART, 17)}.get(algo, 16)


@pytest.mark.trap(3)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_rows_that_are_no_transition_change_nothing(algo):
    ppo, policy, params, transitions = made(algo)
    valid = transitions.valid.at[3].set(0.0).at[9, 1].set(0.0)
    junk = {
        "action": jnp.where(valid > 0, transitions.action, 3 - transitions.action),
        "log_prob": jnp.where(valid > 0, transitions.log_prob, -200.0),
        "obs": jnp.where(valid[..., None] > 0, transitions.obs, 100.0),
        "value": jnp.where(valid > 0, transitions.value, 1e6),
    }
    # Rows before them end their episode: what lies beyond must not be reached through the advantages either.
    ends = transitions._replace(valid=valid, truncated=transitions.truncated.at[2].set(True).at[8, 1].set(True))
    clean = one_update(ppo, ends, policy, params, algo=algo)
    dirty = one_update(ppo, ends._replace(**junk), policy, params, algo=algo)
    assert_close(clean, dirty, rtol=1e-4, atol=1e-5)
    assert clean[2]["steps"] == 64 - 5
    one = one_update(ppo, transitions, policy, params, algo=algo)  # and they would have changed something
    assert np.abs(split(one[0])[0] - split(clean[0])[0]).max() > 1e-5


@pytest.mark.slow
def test_epochs_of_the_critic_alone_leave_the_policy_where_it_is():
    ppo, policy, params, transitions = made("clip")
    longer = replace(ppo, value_epochs=3)
    without, with_more = (one_update(x, transitions, policy, params) for x in (ppo, longer))
    mine, other = split(without[0]), split(with_more[0])
    np.testing.assert_allclose(mine[0], other[0], atol=1e-5)  # two programs may round otherwise
    assert np.abs(mine[1] - other[1]).max() > 1e-3
    assert (without[2]["gradient_steps"], with_more[2]["gradient_steps"]) == (16, 28)
    assert float(with_more[2]["value_loss"]) == pytest.approx(
        float(without[2]["value_loss"]), rel=1e-4
    )  # of the epochs for both

    def error(after):
        value = policy.apply(after, (), transitions.obs.reshape(-1, 3), jnp.zeros(64, bool))[1]
        return float(jnp.mean(jnp.square(value - make_batch(ppo, transitions).target)))

    assert error(with_more[0]) < 0.97 * error(without[0])
    assert float(with_more[2]["kl"]) == pytest.approx(float(without[2]["kl"]), rel=1e-3)
    joint, critic = with_more[1]
    assert_close(joint, without[1], atol=1e-5)
    assert max(np.abs(x).max() for x in jax.tree.leaves(critic)) > 0


# ---------------------------------------------------------------- natural gradient and trust region


@pytest.mark.slow
@pytest.mark.trap(19)
@pytest.mark.parametrize("kind", ACTIONS)
def test_trpo_takes_the_largest_share_of_the_step_within_the_trust_region_that_is_no_loss(kind):
    ppo, policy, params, _ = made("trpo", kind)
    shares = []
    for i in range(14):
        old = shaken(params, i, 0.1 + 0.1 * i)
        transitions = rollout(policy, old, seed=i)
        after, _, metrics = one_update(ppo, transitions, policy, old, algo="trpo")
        share = float(metrics["line_search_fraction"])
        shares.append(share)
        assert share in [0.0, *(0.5**j for j in range(ppo.line_search_steps + 1))]
        assert divergence(policy, old, after, transitions) <= ppo.max_kl * (1 + 1e-5)
        gain = surrogate_of(ppo, policy, after, transitions) - surrogate_of(ppo, policy, old, transitions)
        assert gain > 0 if share else gain == 0
        # Twice that step would not have done.
        twice = jax.tree.map(lambda x, y: x + 2.0 * (y - x), old, after)
        gain = surrogate_of(ppo, policy, twice, transitions) - surrogate_of(ppo, policy, old, transitions)
        assert share in (0.0, 1.0) or divergence(policy, old, twice, transitions) > ppo.max_kl or gain <= 0
    assert {0.5, 1.0} <= set(shares)


def test_trpo_without_advantages_leaves_the_policy_where_it_is():
    ppo, policy, params, transitions = made("trpo")
    after, _, metrics = one_update(ppo, without_advantage(transitions), policy, params, algo="trpo")
    np.testing.assert_array_equal(split(after)[0], split(params)[0])
    assert metrics["line_search_fraction"] == 0
    assert abs(metrics["kl"]) < 1e-7
    assert metrics["finite"] == 1
    for leaf in jax.tree.leaves((after, metrics)):
        assert np.isfinite(leaf).all()


@pytest.mark.slow
def test_trpo_under_an_impossible_bound_gives_up_and_fits_the_critic():
    ppo, policy, params, transitions = made("trpo", max_kl=1e-30)
    after, _, metrics = one_update(ppo, transitions, policy, params, algo="trpo")
    np.testing.assert_array_equal(split(after)[0], split(params)[0])
    assert np.abs(split(after)[1] - split(params)[1]).max() > 1e-4
    assert metrics["line_search_fraction"] == 0
    assert abs(metrics["kl"]) < 1e-7
    assert metrics["gradient_steps"] == 16  # the critic's
    assert metrics["finite"] == 1


@pytest.mark.parametrize("kind", ACTIONS)
def test_npg_takes_the_whole_step_whose_kl_is_near_delta(kind):
    ppo, policy, params, _ = made("npg", kind)
    for i in range(6):
        old = shaken(params, i, 0.3)
        transitions = rollout(policy, old, seed=i)
        after, _, metrics = one_update(ppo, transitions, policy, old, algo="npg")
        assert divergence(policy, old, after, transitions) == pytest.approx(ppo.max_kl, rel=0.2)
        assert surrogate_of(ppo, policy, after, transitions) > surrogate_of(ppo, policy, old, transitions)
        assert "line_search_fraction" not in metrics
    still, _, metrics = one_update(ppo, without_advantage(transitions), policy, old, algo="npg")
    np.testing.assert_array_equal(split(still)[0], split(old)[0])
    assert metrics["finite"] == 1


# ---------------------------------------------------------------- the critic apart


def is_adam(part):
    """Whether this part of an optimiser's state is Adam's."""
    return hasattr(part, "mu")


@pytest.mark.parametrize(
    ("algo", "shared"), [("reinforce", False), ("npg", False), ("trpo", False), ("reinforce", True), ("trpo", True)]
)
def test_fitting_the_critic_never_changes_what_the_policy_does(algo, shared):
    ppo, policy, params, transitions = made(algo, **({"shared_torso": True} if shared else {}))
    after, *_ = one_update(ppo, transitions, policy, params, algo=algo)
    other, *_ = one_update(ppo, transitions, policy, params, algo=algo, seed=2)  # the critic's rows in another order
    np.testing.assert_array_equal(split(after)[0], split(other)[0])
    head, shuffled, before = (split(p)[1] for p in (after, other, params))
    assert np.abs(head - before).max() > 0.01
    assert np.abs(head - shuffled).max() > 1e-6
    assert value_error(ppo, policy, after, transitions) < 0.95 * value_error(ppo, policy, params, transitions)
    # The policy's step alone: for npg and trpo the learning rate is the critic's.
    if algo != "reinforce":
        still = state_of(ppo, params, algo=algo)._replace(learning_rate=jnp.zeros(()))
        alone, _, metrics = one_update(ppo, transitions, policy, params, algo=algo, state=still)
        np.testing.assert_array_equal(split(alone)[1], before)
        np.testing.assert_array_equal(split(alone)[0], split(after)[0])
        assert metrics["kl"] == pytest.approx(divergence(policy, params, after, transitions), rel=1e-3)
    # Each optimiser goes on where it stood, and sees its own parameters only.
    state = state_of(ppo, params, algo=algo)
    for number in (1, 2):
        after, opt_state, _ = one_update(ppo, transitions, policy, params, algo=algo, state=state)
        state = state._replace(params=after, opt_state=opt_state)
        for part, mine, steps in zip(opt_state, (0, 1), (number * (algo == "reinforce"), number * 16)):
            (adam,) = (x for x in jax.tree.leaves(part, is_leaf=is_adam) if is_adam(x))
            moments = split(ravel_pytree(params)[1](adam.mu))
            assert adam.count == steps
            assert (np.abs(moments[mine]).max() > 0) == (steps > 0)
            np.testing.assert_array_equal(moments[1 - mine], 0.0)


def test_reinforce_takes_one_step_of_adam_up_the_standardised_returns():
    ppo, policy, params, transitions = made("reinforce")
    returns = np.asarray(batch_of(ppo, transitions).target, np.float64)
    weight = (returns - returns.mean()) / returns.std()
    action = transitions.action.reshape(64)
    gradient = jax.grad(lambda p: jnp.mean(rows_of(policy, p, transitions)[0].log_prob(action) * weight))(params)
    after, *_ = one_update(ppo, transitions, policy, params, algo="reinforce")
    g = split(gradient)[0]
    step = ppo.learning_rate * g / (np.abs(g) + ppo.adam_epsilon)  # Adam's first
    np.testing.assert_allclose(split(after)[0] - split(params)[0], step, atol=1e-4)
    assert np.abs(step).max() > 0.009


CUSTOM_NETWORK = runpy.run_path(str(ROOT / "examples" / "custom_network.py"))


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_network_without_a_parameter_of_the_values_own_is_refused_before_training(algo, tmp_path):
    network = proximax.Network(CUSTOM_NETWORK["init"], CUSTOM_NETWORK["apply"])  # one matrix for both heads
    settings = {"steps": 16, "num_steps": 8, "num_envs": 2, "minibatch_size": 16, "preset": "none", "quiet": True}
    out = tmp_path / "run"
    if algo in APART:
        with pytest.raises(
            UsageError, match="Give the value a head of its own, or choose a2c, surrogate, penalty, clip or"
        ):
            proximax.train("CartPole-v1", algo=algo, network=network, out=out, **settings)
        assert not out.exists()
    else:
        env, ppo = probe.matching(), PPOConfig(**ALGORITHM_SETTINGS.get(algo, {}))
        network = network._replace(apply=lambda p, obs: CUSTOM_NETWORK["apply"](p, obs))
        policy = make_policy(env.observation_space, env.action_space, ppo, network)
        learner = make_learner(env, policy, RunConfig("probe", algo=algo, num_envs=2, ppo=ppo))
        assert learner.init(seed_key(0)).update == 0


# ---------------------------------------------------------------- penalty, clip, reinforce, a2c


def context_of(algo, ppo, policy, params, transitions, objective=None):
    """(what stays the same during an update, flat parameters, rows)."""
    flat, unravel = ravel_pytree(params)
    rates = scheduled_values(ppo, state_of(ppo, params, algo=algo), 10)
    objective = objective or ALGORITHMS[algo].objective
    return UpdateContext(objective, policy, ppo, None, transitions, rates, unravel), flat, batch_of(ppo, transitions)


def test_at_the_old_policy_the_penalty_has_no_gradient():
    ppo, policy, params, transitions = made("penalty", "continuous")
    flat, batch = ravel_pytree(params)[0], batch_of(ppo, transitions)
    contexts = [context_of(algo, ppo, policy, params, transitions)[0] for algo in ("penalty", "surrogate")]
    gradients = jax.jit(lambda p: [jax.grad(policy_loss, has_aux=True)(p, context, batch)[0] for context in contexts])
    np.testing.assert_allclose(*gradients(flat), atol=1e-6)
    assert np.abs(gradients(flat)[0]).max() > 0.01
    away = gradients(flat + 0.1)  # and elsewhere it has
    assert np.abs(away[0] - away[1]).max() > 0.01


@pytest.mark.slow
def test_the_larger_the_penalty_the_smaller_the_kl_and_without_it_is_the_surrogate():
    ppo, policy, params, transitions = made("penalty", epochs=6)
    fresh, kls, first = state_of(ppo, params, algo="penalty"), [], None
    for beta in (1e-8, 0.1, 1.0, 10.0, 100.0):
        state = fresh._replace(beta=jnp.asarray(beta, jnp.float32))
        after, _, metrics = one_update(ppo, transitions, policy, params, algo="penalty", state=state)
        kls.append(float(metrics["kl"]))
        first = after if first is None else first
    assert all(larger > 1.05 * smaller for larger, smaller in itertools.pairwise(kls))
    assert kls[-1] < 0.01 * kls[0]
    ppo, policy, params, transitions = made("surrogate", epochs=6)
    unguarded, *_ = one_update(ppo, transitions, policy, params, algo="surrogate")
    assert_close(first, unguarded, rtol=1e-3, atol=1e-4)


SIMPLE = Algorithm("simple", lambda s, rates: maths.simple_clip_objective(s.log_ratio, s.advantage, rates.epsilon))


def test_clip_and_its_simple_form_are_the_same_update():
    ppo, policy, params, transitions = made("clip")
    clip, _, metrics = one_update(ppo, transitions, policy, params, algo="clip")
    simple, *_ = one_update(ppo, transitions, policy, params, algo=SIMPLE)
    assert metrics["clip_fraction"] > 0.1  # the clip was at work
    assert_close(clip, simple, rtol=1e-4, atol=1e-5)
    unguarded, *_ = one_update(ppo, transitions, policy, params, algo="surrogate")
    assert np.abs(split(clip)[0] - split(unguarded)[0]).max() > 1e-3


def test_an_objective_is_given_the_log_prob_ratio_advantage_and_kl_of_the_new_policy():
    ppo, policy, params, transitions = made("clip", "continuous")
    new = shaken(params, 0, 0.1)
    transitions = transitions._replace(valid=transitions.valid.at[5].set(0.0))
    keep = np.asarray(transitions.valid.reshape(-1)) > 0
    (old_dist, _), (dist, _) = (rows_of(policy, p, transitions) for p in (params, new))
    log_prob = np.asarray(dist.log_prob(transitions.action.reshape(64, 2)))
    log_ratio = log_prob - np.asarray(transitions.log_prob.reshape(64))
    raw = np.asarray(batch_of(ppo, transitions).advantage)
    wanted = {
        "log_prob": log_prob,
        "log_ratio": log_ratio,
        "advantage": (raw - raw[keep].mean()) / raw[keep].std(),
        "kl": np.asarray(old_dist.kl(dist)),
    }
    backwards = np.asarray(dist.kl(old_dist))
    assert np.abs(backwards / wanted["kl"] - 1)[keep].max() > 0.02
    rng = np.random.default_rng(0).uniform(size=64).astype(np.float32)  # tells the rows apart
    for name, each in wanted.items():
        context, _, batch = context_of("clip", ppo, policy, new, transitions, lambda s, r, n=name: getattr(s, n) * rng)
        loss, _ = policy_loss(ravel_pytree(new)[0], context, batch)
        assert float(-loss) == pytest.approx((each * rng)[keep].mean(), rel=1e-4), name


def column(*pairs):
    """``[T, 2]`` of two columns."""
    return jnp.asarray(np.array(pairs).T)


# γ = λ = ½. Column 0: a trajectory of two steps that a time limit ends, V(final) = 10, then one of three that ends.
# Column 1: four steps of an episode that began before the rollout, then the first of another, V(reached) = 20.
TINY = {
    "reward": column([1.0, 2, 3, 4, 5], [1.0, 1, 1, 1, 2]),
    "value": column([1.0, 2, 3, 4, 5], [0.0, 1, 0, 1, 0]),
    "next_value": column([2.0, 10, 4, 5, 99], [1.0, 0, 1, 99, 20]),
    "terminated": column([False, False, False, False, True], [False, False, False, True, False]),
    "truncated": column([False, True, False, False, False], [False] * 5),
    "first": column([True, False, True, False, False], [False, False, False, False, True]),
}
TO_GO = column([4.5, 7.0, 6.25, 6.5, 5.0], [1.875, 1.75, 1.5, 1.0, 12.0])
TOTAL = column([4.5, 4.5, 6.25, 6.25, 6.25], [1.875, 1.875, 1.875, 1.875, 12.0])
GAE = column([2.25, 5.0, 2.625, 2.5, 0.0], [1.59375, 0.375, 1.5, 0.0, 12.0])


@pytest.mark.trap(1)
@pytest.mark.parametrize(
    ("credit", "baseline", "advantage", "target"),
    [
        ("to-go", False, TO_GO, TO_GO),
        ("to-go", True, TO_GO - TINY["value"], TO_GO),
        ("total", False, TOTAL, TO_GO),
        ("total", True, TOTAL - TINY["value"], TO_GO),
        ("gae", True, GAE, GAE + TINY["value"]),
    ],
)
def test_what_an_action_is_weighed_with_worked_out_by_hand(credit, baseline, advantage, target):
    nothing = jnp.zeros((5, 2))
    names = set(Transition._fields) - set(TINY) - {"valid"}
    transitions = Transition(**TINY, valid=nothing + 1, **dict.fromkeys(names, nothing))
    batch = batch_of(PPOConfig(advantage=credit, baseline=baseline, gamma=0.5, lam=0.5), transitions)
    np.testing.assert_allclose(batch.advantage.reshape(5, 2), advantage, rtol=1e-6)
    np.testing.assert_allclose(batch.target.reshape(5, 2), target, rtol=1e-6)


@pytest.mark.trap(13)
def test_where_all_returns_are_equal_reinforce_stays():
    ppo, policy, params, transitions = made("reinforce")
    equal = without_advantage(transitions)._replace(reward=jnp.full((16, 4), 0.7, jnp.float32))
    after, _, metrics = one_update(ppo, equal, policy, params, algo="reinforce")
    np.testing.assert_array_equal(split(after)[0], split(params)[0])
    assert metrics["global_grad_norm"] == metrics["policy_objective"] == 0
    assert metrics["finite"] == 1


def test_reinforce_with_gae_moves_the_policy_as_a2c_does():
    ppo, policy, params, transitions = made("a2c")
    together, *_ = one_update(ppo, transitions, policy, params, algo="a2c")
    apart = PPOConfig(**{**vars(ppo), "advantage": "gae", "epochs": 2, "minibatch_size": 16})
    alone, *_ = one_update(apart, transitions, policy, params, algo="reinforce")
    np.testing.assert_allclose(split(together)[0], split(alone)[0], atol=1e-4)
    assert np.abs(split(alone)[0] - split(params)[0]).max() > 0.009
    assert np.abs(split(together)[1] - split(alone)[1]).max() > 0.005


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["trpo", "penalty"])
def test_an_update_is_the_same_eager_compiled_and_for_two_seeds_at_once(algo):
    ppo, policy, params, transitions = made(algo)
    seeds = [params, shaken(params, 5, 0.3)]
    rollouts = [transitions, rollout(policy, seeds[1], seed=5)]
    states = [state_of(ppo, p, algo=algo) for p in seeds]
    single = [one_update(ppo, r, policy, p, algo=algo)[::2] for p, r in zip(seeds, rollouts)]

    def learn(state, transitions):
        rates = scheduled_values(ppo, state, 10)
        return update(ALGORITHMS[algo], policy, ppo, state, transitions, rates, jax.random.key(1))[::2]

    assert_close(learn(states[0], rollouts[0]), single[0], rtol=1e-3, atol=1e-5)
    stack = lambda *trees: jax.tree.map(lambda *x: jnp.stack([jnp.asarray(y) for y in x]), *trees)  # noqa: E731
    assert_close(jax.jit(jax.vmap(learn))(stack(*states), stack(*rollouts)), stack(*single), rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------- learning, inside the program and outside it


class Matching(HostEnv):
    """``probe.matching`` outside the program: observation ±1, pays 1 for the action that agrees, else -1."""

    observation_space, action_space, notes = probe.OBS, spaces.Discrete(2), ()

    def __init__(self, num_envs):
        self.num_envs = num_envs

    def coins(self):
        return self.rng.choice(np.array([-1.0, 1.0], np.float32), (self.num_envs, 1))

    def reset(self, seeds):
        self.rng = np.random.default_rng(seeds)
        self.obs = self.coins()
        return self.obs

    def send(self, action):
        self.action = action

    def receive(self):
        paid, before = np.where((self.action > 0) == (self.obs[:, 0] > 0), 1.0, -1.0), self.obs
        self.obs, ends = self.coins(), np.ones(self.num_envs, bool)
        return Step(self.obs, before, paid, ends, ~ends, ends, ends)


class Run(NamedTuple):
    """A short training run: states ``[updates + 1]`` and metrics ``[updates]``, without a seeds' axis."""

    ppo: PPOConfig
    policy: object
    states: list
    metrics: list

    def act(self, obs):
        """π(. | obs) at the end."""
        state = self.states[-1]
        encoded = self.policy.encode(state.obs_moments, np.array(obs, np.float32))
        return self.policy.apply(state.params, (), encoded, np.ones(len(obs), bool))[0]


LEARNING = {"num_steps": 16, "minibatch_size": 32, "epochs": 4, "learning_rate": 0.01, "anneal": "none", "hidden": (8,)}
FASTER = {"reinforce": {"learning_rate": 0.03}, "a2c": {"learning_rate": 0.03}, "penalty": {"beta": 0.1}}
FASTER |= {name: {"max_kl": 0.02} for name in ("npg", "trpo")}
INSIDE_UPDATES, OUTSIDE_UPDATES = 60, 40
# Controlled otherwise outside than inside, to see all controls at work.
OUTSIDE = {
    "penalty": {"target_kl": None, "beta": 0.5},
    "surrogate": {"target_kl": 0.01, "kl_control": "learning_rate"},
}


def learn(outside, algo, seed=0):
    ppo = PPOConfig(
        **LEARNING
        | ALGORITHM_SETTINGS.get(algo, {})
        | FASTER.get(algo, {})
        | (OUTSIDE.get(algo, {}) if outside else {})
    )
    env = Matching(8) if outside else probe.choice(continuous=True)
    policy = make_policy(env.observation_space, env.action_space, ppo)
    config = RunConfig("probe", algo=algo, steps=10**6, seed=seed, num_envs=8, ppo=ppo)
    config.check()
    if outside:
        learner = make_host_learner(env, policy, config)
        states, step = [learner.init([seed_key(seed)])], learner.step
    else:
        learner = make_learner(env, policy, config)
        states, step = [learner.init(seed_key(seed))], jax.jit(learner.step)
    metrics = []
    for _ in range(OUTSIDE_UPDATES if outside else INSIDE_UPDATES):
        state, numbers = step(states[-1])
        states.append(state)
        metrics.append(numbers)
    states = [state._replace(key=(), rollout=()) for state in states]
    states, metrics = jax.device_get((states, metrics))
    if outside:
        states, metrics = jax.tree.map(lambda x: x[0], (states, metrics))
    return Run(ppo, policy, states, metrics)


learned = functools.cache(learn)
# One of each kind of step: the bounds on rounding hold in the programs that users have, too.
AS_USERS = dict.fromkeys(("clip", "trpo"), pytest.mark.optimised)
AS_USERS |= dict.fromkeys(("a2c", "surrogate", "spo"), pytest.mark.exhaustive)  # they learn outside the program


@pytest.mark.slow
@pytest.mark.parametrize("algo", [pytest.param(algo, marks=AS_USERS.get(algo, ())) for algo in ALGORITHMS])
def test_every_algorithm_finds_the_best_continuous_action(algo):
    run = learned(False, algo)
    dist = run.act([[1.0]])
    assert dist.mean.item() == pytest.approx(0.5, abs=0.15)
    assert np.exp(dist.log_std).item() < 0.35  # and is sure of it: it began with 1
    check_every_update(run, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_learns_outside_the_program_to_act_by_the_observation(algo):
    run = learned(True, algo)
    p = np.exp(run.act([[1.0], [-1.0]]).log_prob(jnp.array([1, 0])))
    assert p.min() > 0.8
    check_every_update(run, 1e-6)


def check_every_update(run, ratio_error):
    for numbers in run.metrics:
        assert numbers["finite"] == 1
        assert numbers["steps"] == 128
        assert numbers["first_ratio_error"] <= ratio_error
        assert numbers["ratio_histogram"].sum() == 128
        if "line_search_fraction" in numbers:
            assert numbers["kl"] <= run.ppo.max_kl * (1 + 1e-5)


@pytest.mark.trap(20)
def test_beta_follows_the_kl_of_each_update_and_lives():
    run = learned(False, "penalty")
    betas, target = [float(state.beta) for state in run.states], run.ppo.target_kl
    factors = []
    for before, after, numbers in zip(betas, betas[1:], run.metrics):
        kl = float(numbers["kl"])
        factors.append(2.0 if kl >= 1.5 * target else 0.5 if kl <= target / 1.5 else 1.0)
        assert float(numbers["beta"]) == pytest.approx(before)
        assert after == pytest.approx(before * factors[-1])
        assert 0 < after < 1e8
    assert len(factors) >= 50
    assert set(factors) == {0.5, 1.0, 2.0}


@pytest.mark.slow
@pytest.mark.trap(20)
def test_without_a_target_beta_stays():
    run = learned(True, "penalty")
    assert {float(state.beta) for state in run.states} == {0.5}
    assert {float(numbers["beta"]) for numbers in run.metrics} == {0.5}
    assert {float(state.learning_rate) for state in run.states} == {np.float32(0.01)}


@pytest.mark.slow
@pytest.mark.trap(20)
def test_an_adaptive_learning_rate_goes_the_other_way():
    run = learned(True, "surrogate")
    rates, target = [float(state.learning_rate) for state in run.states], run.ppo.target_kl
    factors = []
    for before, after, numbers in zip(rates, rates[1:], run.metrics):
        kl = float(numbers["kl"])
        factors.append(1 / 1.5 if kl >= 2 * target else 1.5 if kl <= target / 2 else 1.0)
        assert float(numbers["learning_rate"]) == pytest.approx(before)
        assert after == pytest.approx(min(max(before * factors[-1], 1e-6), 1e-2))
    assert {1 / 1.5, 1.5} <= set(factors)
    assert {float(state.beta) for state in run.states} == {1.0}


# ---------------------------------------------------------------- an algorithm of one's own


@pytest.mark.slow
def test_an_algorithm_of_ones_own_trains_is_saved_and_needed_to_train_again(tmp_path):
    calls = []

    def objective(signals, rates):
        calls.append(signals.advantage.shape)
        return maths.clip_objective(signals.log_ratio, signals.advantage, rates.epsilon)

    mine, small = Algorithm("mine", objective), {"num_steps": 16, "minibatch_size": 32, "hidden": (8,), "epochs": 4}
    small |= {"learning_rate": 0.01, "steps": 20 * 128, "eval_episodes": 20, "quiet": True}
    result = proximax.train("probe:matching", algo=mine, out=tmp_path / "run", **small)
    assert set(calls) == {(32,)}
    assert result.config.algo == "custom:mine"
    assert result.evaluation.mean > 0.9
    config = from_json(json.loads((tmp_path / "run" / "config.json").read_text()))
    assert config == result.config
    assert json.loads((tmp_path / "run" / "result.json").read_text())["algo"] == "custom:mine"
    obs = np.array([0.9], np.float32)
    assert proximax.load(tmp_path / "run").act(obs) == result.agent.act(obs) == 1
    assert proximax.evaluate(tmp_path / "run", 10).mean > 0.9
    with pytest.raises(UsageError, match="algo = custom:mine, but none was passed"):
        proximax.run(config, out=tmp_path / "again", quiet=True)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("name", ["clip", "custom:other"])
def test_a_config_and_the_algorithm_passed_with_it_must_agree(name):
    config = RunConfig("probe:matching", algo=name, steps=4096)
    with pytest.raises(UsageError, match="the Algorithm that was passed is called 'mine'"):
        proximax.run(config, custom_algorithm=Algorithm("mine", ALGORITHMS["clip"].objective), quiet=True)


@pytest.mark.trap(10)
@pytest.mark.parametrize("shape", ["column", "scalar"])
def test_an_objective_of_another_shape_than_the_rows_is_refused(shape):
    def objective(signals, rates):
        each = signals.log_ratio * signals.advantage
        return each[:, None] if shape == "column" else jnp.sum(each)

    with pytest.raises(UsageError, match="a number per sample"):
        proximax.train("probe:matching", algo=Algorithm("mine", objective), steps=4096, quiet=True)


def test_an_algorithm_is_a_name_or_an_algorithm():
    for algo in (["clip"], lambda inputs, scheduled: inputs.advantage):
        with pytest.raises(UsageError, match=r"a name or an Algorithm, as proximax.Algorithm\(.mine., objective\)"):
            proximax.train("probe:matching", algo=algo)


def test_the_road_is_complete_and_every_name_finds_itself():
    assert list(ALGORITHMS) == ["reinforce", "a2c", "npg", "trpo", "surrogate", "penalty", "clip", "spo"]
    assert all(algorithm.name == name for name, algorithm in ALGORITHMS.items())
    assert [name for name, algorithm in ALGORITHMS.items() if algorithm.policy_step] == APART
    for name in ALGORITHMS:
        RunConfig("probe", algo=name, ppo=PPOConfig(**ALGORITHM_SETTINGS.get(name, {}))).check()


@pytest.mark.trap(22)
def test_the_clip_has_the_band_of_the_settings():
    ppo = PPOConfig(epsilon=0.2, epsilon_high=0.4, dual_clip=3.0, anneal=("epsilon",))
    state = state_of(ppo, {"w": np.zeros(1, np.float32)}, number=5)
    scheduled = scheduled_values(ppo, state, 10)  # half of both widths
    advantage = jnp.array([1.0, -1.0, -1.0])
    inputs = ObjectiveInputs(jnp.zeros(3), jnp.log(jnp.array([1.3, 0.85, 3.5])), advantage, jnp.zeros(3))
    np.testing.assert_allclose(ALGORITHMS["clip"].objective(inputs, scheduled), [1.2, -0.9, -3.0], rtol=1e-6)
    np.testing.assert_allclose(ALGORITHMS["spo"].objective(inputs, scheduled), [0.85, -0.9625, -34.75], rtol=1e-5)
    plain = scheduled_values(PPOConfig(epsilon=0.2, anneal=("epsilon",)), state, 10)
    np.testing.assert_allclose(ALGORITHMS["clip"].objective(inputs, plain), [1.1, -0.9, -3.5], rtol=1e-6)
    assert set(scheduled.logged()) == set(plain.logged()) == {"learning_rate", "epsilon", "entropy_coef", "beta"}


def test_an_average_over_rows_counts_by_their_weight():
    assert weighted_mean(jnp.array([1.0, 5.0, jnp.nan]), jnp.array([1.0, 3.0, 0.0])) == 4.0
    assert weighted_mean(jnp.array([jnp.inf]), jnp.zeros(1)) == 0.0


@pytest.mark.trap(19)
def test_the_kl_of_the_trust_region_is_from_the_old_policy_to_the_new():
    ppo, policy, params, transitions = made("trpo", "continuous")
    new = shaken(params, 0, 0.4)
    context, _, batch = context_of("trpo", ppo, policy, params, transitions)
    there, back = divergence(policy, params, new, transitions), divergence(policy, new, params, transitions)
    assert abs(there / back - 1) > 0.02
    assert float(mean_kl(ravel_pytree(new)[0], context, batch)) == pytest.approx(there, rel=1e-4)


@pytest.mark.slow
@pytest.mark.trap(24)
def test_a_natural_step_that_is_not_finite_is_not_taken():
    ppo, policy, params, transitions = made("npg")
    context, flat, batch = context_of("npg", ppo, policy, params, transitions)
    step, metrics = natural_step(context, flat, batch)
    assert np.abs(step).max() > 0
    assert metrics["finite"] == metrics["gradient_steps"] == 1
    step, metrics = natural_step(context, flat, batch._replace(advantage=batch.advantage.at[7].set(jnp.nan)))
    np.testing.assert_array_equal(step, 0.0)
    assert metrics["finite"] == metrics["gradient_steps"] == 0
