"""One update: ratio, early stop, masks, schedules, batches. Traps 3, 11, 12, 14, 18, 21, 24, 25, 26."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from proximax.config.ppo_config import PPOConfig
from proximax.ppo import RATIO_EDGES
from proximax.ppo.algorithms import ALGORITHMS
from proximax.ppo.losses import joint_loss
from proximax.ppo.records import OptimizerProgress, UpdateContext
from proximax.ppo.update import (
    gradient_step,
    make_batch,
    run_epochs,
    scheduled_values,
)
from proximax.ppo.values import add_values
from proximax.types import Moments
from tests.support import sb3_update
from tests.support.updates import ACTIONS, MOMENTS, one_update, rollout, setup, state_of

exact = pytest.mark.optimised  # bounds on rounding are those of the programs that users have
MORE = pytest.mark.exhaustive


@exact
@pytest.mark.slow
@pytest.mark.trap(12)
@pytest.mark.parametrize(
    ("kind", "moments", "shared"),
    [
        pytest.param(kind, moments, shared, marks=() if shared == ((kind == "continuous") != bool(moments)) else MORE)
        for kind in ACTIONS
        for moments in (None, MOMENTS)
        for shared in (False, True)
    ],
)
def test_ratio_is_1_on_the_first_minibatch(kind, moments, shared):
    ppo, policy, params, transitions = setup(kind, moments, epochs=1, minibatch_size=64, shared_torso=shared)
    *_, metrics = one_update(ppo, transitions, policy, params, moments)
    assert metrics["first_ratio_error"] <= (1e-6 if kind == "discrete" else 1e-5)
    assert metrics["clip_fraction"] == 0
    assert abs(metrics["kl_k3"]) < 1e-6
    # and it is not 1 by construction: with another normaliser than acting had, it moves
    moved = Moments(jnp.array(50.0), jnp.ones(3), 50.0 * jnp.ones(3))
    *_, metrics = one_update(ppo, transitions, policy, params, moved)
    assert metrics["first_ratio_error"] > 1e-3


@exact
@pytest.mark.slow
@pytest.mark.trap(3)
def test_rows_that_are_no_transition_change_nothing():
    ppo, policy, params, transitions = setup("continuous", minibatch_size=64)
    valid = transitions.valid.at[3].set(0.0).at[9, 1].set(0.0)
    masked = transitions._replace(valid=valid)
    junk = masked._replace(
        action=jnp.where(valid[..., None] > 0, masked.action, 9.0),
        log_prob=jnp.where(valid > 0, masked.log_prob, -50.0),
        obs=jnp.where(valid[..., None] > 0, masked.obs, 100.0),
        reward=jnp.where(valid > 0, masked.reward, 70.0),
    )
    # The junk must not reach its neighbours through the advantages either: rows before it end their episode.
    ends = transitions.truncated.at[2].set(True).at[8, 1].set(True)
    a = one_update(ppo, masked._replace(truncated=ends), policy, params)
    b = one_update(ppo, junk._replace(truncated=ends), policy, params)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert a[2]["steps"] == 64 - 5


@pytest.mark.slow
@pytest.mark.trap(3)
def test_a_row_that_is_no_transition_may_even_overflow():
    ppo, policy, params, transitions = setup(minibatch_size=64)
    masked = transitions._replace(valid=transitions.valid.at[3, 2].set(0.0))
    odd = masked._replace(log_prob=masked.log_prob.at[3, 2].set(-200.0))
    a, b = (one_update(ppo, rows, policy, params) for rows in (masked, odd))
    assert b[2]["finite"] == 1
    jax.tree.map(np.testing.assert_array_equal, a[0], b[0])


def test_a_minibatch_without_a_valid_row_moves_nothing():
    ppo, policy, params, transitions = setup(minibatch_size=64, epochs=3)
    after, _, metrics = one_update(ppo, transitions._replace(valid=jnp.zeros((16, 4))), policy, params)
    assert metrics["gradient_steps"] == 0
    jax.tree.map(np.testing.assert_array_equal, after, params)


@exact
@pytest.mark.trap(11)
def test_value_targets_are_unnormalised_advantage_plus_the_rollouts_value():
    ppo, _, _, transitions = setup()
    batch = make_batch(ppo, transitions)
    np.testing.assert_allclose(batch.target, batch.advantage + batch.value, rtol=1e-6)
    np.testing.assert_array_equal(batch.value, transitions.value.reshape(-1))
    assert abs(float(jnp.std(batch.advantage)) - 1.0) > 0.05  # not standardised


def test_weights_are_standardised_over_the_environments_of_a_time_step():
    ppo, _, _, transitions = setup(standardise_across_envs=True, advantage="to-go", baseline=False)
    valid = jnp.ones((16, 4)).at[3, 1].set(0.0)
    weight = np.asarray(make_batch(ppo, transitions._replace(valid=valid)).advantage).reshape(16, 4)
    plain = np.asarray(make_batch(setup(advantage="to-go", baseline=False)[0], transitions).advantage).reshape(16, 4)
    for t in range(16):
        counted = np.asarray(valid[t]) > 0
        x = plain[t, counted].astype(np.float64)
        np.testing.assert_allclose(weight[t, counted], (x - x.mean()) / x.std(), rtol=1e-3, atol=1e-4)


@exact
@pytest.mark.slow
@pytest.mark.trap(14)
def test_with_no_advantage_an_entropy_bonus_raises_entropy():
    for kind in ACTIONS:
        ppo, policy, params, transitions = setup(
            kind, entropy_coef=0.1, value_coef=0.0, standardise_advantage=False, epochs=1, minibatch_size=64
        )
        still = transitions._replace(
            reward=transitions.value, terminated=jnp.ones((16, 4), bool), truncated=jnp.zeros((16, 4), bool)
        )
        rows = still.obs.reshape(-1, 3)
        entropy = lambda p, policy=policy, rows=rows: float(  # noqa: E731
            policy.apply(p, (), rows, jnp.zeros(64, bool))[0].entropy().mean()
        )
        after, _, metrics = one_update(ppo, still, policy, params)
        assert abs(metrics["policy_objective"]) < 1e-6
        assert entropy(after) > entropy(params) + 1e-6


@pytest.mark.trap(18)
def test_extreme_log_std_gives_a_finite_loss():
    ppo, policy, params, _ = setup("continuous")
    for log_std in (-40.0, 40.0):
        extreme = {**params, "log_std": np.full(2, log_std, np.float32)}
        *_, metrics = one_update(ppo, rollout(policy, extreme), policy, extreme)
        assert metrics["finite"] == 1
        assert np.isfinite(metrics["policy_objective"])


@exact
@pytest.mark.slow
@pytest.mark.trap(21)
def test_kl_stop_leaves_out_the_violating_step_and_ends_the_whole_update():
    ppo, policy, params, transitions = setup(
        epochs=6, minibatch_size=64, learning_rate=0.03, value_coef=0.0, max_grad_norm=None
    )
    # Whole-batch minibatches: the KL seen before step k is that of the policy after k - 1 steps.
    kls, learned = [0.0], []
    for taken in range(1, 4):
        after, *_ = one_update(PPOConfig(**{**vars(ppo), "epochs": taken}), transitions, policy, params)
        dist, _, _ = policy.apply(after, (), transitions.obs.reshape(-1, 3), jnp.zeros(64, bool))
        log_ratio = dist.log_prob(transitions.action.reshape(-1)) - transitions.log_prob.reshape(-1)
        kls.append(float(jnp.mean(jnp.expm1(log_ratio) - log_ratio)))
        learned.append(after)
    assert kls[1] < kls[2] < kls[3]
    target = (kls[1] + kls[2]) / 2 / 1.5  # 1.5 target lies between the KL before the second and the third step
    stopped = PPOConfig(**{**vars(ppo), "target_kl": target})
    after, _, metrics = one_update(stopped, transitions, policy, params)
    assert metrics["gradient_steps"] == 2
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7), after, learned[1])


@exact
@pytest.mark.trap(21)
def test_nothing_is_taken_after_the_violation_though_later_minibatches_are_below_it():
    ppo, policy, params, transitions = setup(target_kl=0.01)
    start, unravel = ravel_pytree(params)
    state = state_of(ppo, params)
    objective = ALGORITHMS["clip"].objective
    context = UpdateContext(objective, policy, ppo, None, transitions, scheduled_values(ppo, state, 10), unravel)
    step = jax.jit(lambda progress, minibatch: gradient_step(joint_loss, context, progress, minibatch))
    batch = make_batch(ppo, transitions)
    good = jax.tree.map(lambda x: x[:16], batch._replace(position=batch.position.reshape(-1)))
    bad = good._replace(log_prob=good.log_prob - 1.0)  # ratios of e: a KL of 0.7
    progress = OptimizerProgress(start, state.opt_state, jnp.zeros((), bool))
    taken = []
    for minibatch in (good, bad, good):
        progress, stats = step(progress, minibatch)
        taken.append(float(stats["taken"]))
        after = progress.params if len(taken) == 1 else after
    assert taken == [1, 0, 0]
    assert jnp.abs(after - start).max() > 1e-5
    np.testing.assert_array_equal(progress.params, after)


@pytest.mark.trap(24)
@pytest.mark.parametrize("poison", ["reward", "obs"])
def test_a_loss_that_is_not_finite_stops_before_the_step(poison):
    ppo, policy, params, transitions = setup()
    bad = getattr(transitions, poison).at[5, 2].set(jnp.nan)
    transitions = add_values(policy, params, None, transitions._replace(**{poison: bad}))
    ppo = PPOConfig(**{**vars(ppo), "minibatch_size": 64})
    after, opt_state, metrics = one_update(ppo, transitions, policy, params)
    assert metrics["finite"] == 0
    assert metrics["gradient_steps"] == 0
    jax.tree.map(np.testing.assert_array_equal, after, params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(opt_state))


@pytest.mark.trap(25)
def test_four_updates_anneal_with_1_075_05_025():
    ppo = PPOConfig(learning_rate=0.4, epsilon=0.2, anneal="both")
    at = lambda ppo, i: scheduled_values(ppo, state_of(ppo, np.zeros(1), number=i), 4)  # noqa: E731
    rates = [at(ppo, i) for i in range(4)]
    np.testing.assert_allclose([float(r.learning_rate) for r in rates], [0.4, 0.3, 0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose([float(r.epsilon) for r in rates], [0.2, 0.15, 0.1, 0.05], rtol=1e-6)
    assert {float(r.beta) for r in rates} == {1.0}
    only = {name: at(PPOConfig(anneal=name), 2) for name in ("none", "learning_rate", "epsilon")}
    assert [float(r.learning_rate / 3e-4) for r in only.values()] == pytest.approx([1, 0.5, 1])
    assert [float(r.epsilon / 0.2) for r in only.values()] == pytest.approx([1, 1, 0.5])


def test_what_anneals_late_is_whole_until_then_and_falls_as_far():
    late = PPOConfig(learning_rate=0.4, epsilon=0.2, anneal="both", anneal_start=0.5)
    rates = [scheduled_values(late, state_of(late, np.zeros(1), number=i), 8) for i in range(8)]
    factors = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    np.testing.assert_allclose([float(r.learning_rate / 0.4) for r in rates], factors, rtol=1e-6)
    np.testing.assert_allclose([float(r.epsilon / 0.2) for r in rates], factors, rtol=1e-6)


def test_what_reaches_its_end_is_there_in_the_last_update():
    ppo = PPOConfig(learning_rate=0.4, anneal="learning_rate", anneal_reaches_end=True)
    rates = [scheduled_values(ppo, state_of(ppo, np.zeros(1), number=i), 4).learning_rate for i in range(4)]
    np.testing.assert_allclose(rates, [0.3, 0.2, 0.1, 0.0], rtol=1e-6)


def test_the_entropy_bonus_anneals_to_an_end_that_is_not_zero():
    # Factors 1, 0.8, 0.6, 0.4; one update later it would be 0.2.
    ppo = PPOConfig(entropy_coef=0.1, anneal="entropy_coef", anneal_end=0.2)
    rates = [scheduled_values(ppo, state_of(ppo, np.zeros(1), number=i), 4) for i in range(4)]
    np.testing.assert_allclose([float(r.entropy_coef) for r in rates], [0.1, 0.08, 0.06, 0.04], rtol=1e-6)
    assert {float(r.learning_rate) for r in rates} == {np.float32(3e-4)}
    assert {float(r.epsilon) for r in rates} == {np.float32(0.2)}


@pytest.mark.slow
def test_recomputing_advantages_uses_the_current_critic():
    ppo, policy, params, transitions = setup(epochs=1, minibatch_size=16, learning_rate=0.01)
    again = PPOConfig(**{**vars(ppo), "recompute_advantage": True})
    once, _, _ = one_update(ppo, transitions, policy, params)
    same, _, _ = one_update(again, transitions, policy, params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), once, same)  # first epoch: equal
    a, _, _ = one_update(PPOConfig(**{**vars(ppo), "epochs": 3}), transitions, policy, params)
    b, _, _ = one_update(PPOConfig(**{**vars(again), "epochs": 3}), transitions, policy, params)
    assert max(float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))) > 1e-4


def test_global_norm_clipping_bounds_the_joint_gradient():
    ppo, policy, params, transitions = setup(
        epochs=1, minibatch_size=64, max_grad_norm=1e-3, adam_epsilon=1.0, learning_rate=1.0
    )
    after, _, metrics = one_update(ppo, transitions, policy, params)
    assert metrics["global_grad_norm"] > 0.1  # logged before clipping
    step = np.concatenate([np.ravel(x - y) for x, y in zip(jax.tree.leaves(after), jax.tree.leaves(params))])
    # Adam's first step with ε = 1 is lr g / (|g| + 1), about lr g for |g| = 1e-3 at most in all.
    assert np.linalg.norm(step) == pytest.approx(1e-3, rel=0.01)


@pytest.mark.slow
def test_every_switch_changes_the_update():
    base, policy, params, transitions = setup("continuous", epochs=2, minibatch_size=16)
    reference, *_ = one_update(base, transitions, policy, params)
    changes = {
        "epochs": 3,
        "minibatch_size": 32,
        "learning_rate": 1e-3,
        "gamma": 0.9,
        "lam": 0.5,
        "epsilon": 1e-4,
        "value_epsilon": 0.01,
        "value_coef": 2.0,
        "entropy_coef": 0.5,
        "max_grad_norm": None,
        "target_kl": 1e-9,
        "standardise_advantage": False,
        "bessel_correction": True,
        "recompute_advantage": True,
        "advantage": "to-go",
        "adam_epsilon": 1e-2,
    }
    for name, value in changes.items():
        after, *_ = one_update(PPOConfig(**{**vars(base), name: value}), transitions, policy, params)
        moved = max(float(np.abs(x - y).max()) for x, y in zip(jax.tree.leaves(after), jax.tree.leaves(reference)))
        assert moved > 1e-7, name


def test_kl_and_ratio_histogram_are_of_the_parameters_after_the_update_over_valid_rows():
    ppo, policy, params, transitions = setup("continuous", minibatch_size=32, learning_rate=0.006)
    transitions = transitions._replace(valid=transitions.valid.at[5].set(0.0))
    after, _, metrics = one_update(ppo, transitions, policy, params)
    rows = transitions.obs.reshape(-1, 3)
    old, new = (policy.apply(p, (), rows, jnp.zeros(64, bool))[0] for p in (params, after))
    keep = np.asarray(transitions.valid).ravel() > 0
    assert float(metrics["kl"]) == pytest.approx(float(np.mean(old.kl(new)[keep])), rel=1e-4)
    assert abs(np.mean(old.kl(new)[keep]) - np.mean(new.kl(old)[keep])) > 0.01  # the other direction is another number
    ratio = np.exp(new.log_prob(transitions.action.reshape(64, 2)) - transitions.log_prob.ravel())[keep]
    np.testing.assert_allclose(RATIO_EDGES, np.arange(0.5, 1.5001, 0.05), rtol=1e-6)
    expected, _ = np.histogram(ratio, [-np.inf, *RATIO_EDGES, np.inf])
    np.testing.assert_array_equal(metrics["ratio_histogram"], expected)
    assert metrics["ratio_histogram"].sum() == metrics["steps"] == 60
    assert (metrics["ratio_histogram"] > 0).sum() >= 8  # spread out, below and above 1
    assert min(expected[0], expected[-1]) > 0


@pytest.mark.slow
@exact
@pytest.mark.trap(3)
def test_entropy_and_kl_are_of_the_valid_rows():
    ppo, policy, params, transitions = setup(epochs=1, minibatch_size=64)
    transitions = transitions._replace(valid=transitions.valid.at[4:].set(0.0))
    *_, metrics = one_update(ppo, transitions, policy, params)
    entropy = np.asarray(policy.apply(params, (), transitions.obs.reshape(-1, 3), None)[0].entropy())
    assert float(metrics["entropy"]) == pytest.approx(entropy[:16].mean(), rel=1e-5)
    assert abs(entropy[:16].mean() - entropy.mean()) > 1e-3
    # Rows that do not count have a ratio of e: of all 64, k3 would be 0.54.
    other = transitions._replace(log_prob=jnp.where(transitions.valid > 0, transitions.log_prob, -1.0))
    *_, metrics = one_update(ppo, other, policy, params)
    assert abs(metrics["kl_k3"]) < 1e-6


@pytest.mark.trap(21)
def test_the_stop_outlasts_the_epoch():
    """A single row with a ratio of e^3: each epoch could take its minibatches up to the one that has it."""
    ppo, policy, params, transitions = setup(target_kl=0.1, learning_rate=1e-7, epochs=8)
    odd = transitions._replace(log_prob=transitions.log_prob.at[0, 0].add(-3.0))
    stops = [int(one_update(ppo, odd, policy, params, seed=seed)[2]["gradient_steps"]) for seed in range(8)]
    assert max(stops) <= 3
    assert len(set(stops)) > 1
    *_, metrics = one_update(ppo, transitions, policy, params)
    assert metrics["gradient_steps"] == 32


@pytest.mark.slow
@pytest.mark.trap(23)
def test_the_value_is_clipped_around_the_rollouts_own():
    ppo, policy, params, transitions = setup(epochs=1, minibatch_size=64, value_epsilon=0.3)
    value = np.asarray(transitions.value).ravel()
    shift = np.random.default_rng(0).normal(0, 0.5, (16, 4))
    acted = transitions._replace(value=jnp.asarray(transitions.value + shift, jnp.float32))
    target, old = np.asarray(make_batch(ppo, acted).target), np.asarray(acted.value).ravel()
    clipped = old + np.clip(value - old, -0.3, 0.3)
    assert np.mean(clipped != value) > 0.2
    *_, metrics = one_update(ppo, acted, policy, params)
    hand = np.maximum((value - target) ** 2, (clipped - target) ** 2).mean() / 2
    assert float(metrics["value_loss"]) == pytest.approx(hand, rel=1e-4)
    assert abs(hand - np.mean((value - target) ** 2) / 2) > 0.01 * hand  # and not the plain one


def context_of(ppo, policy, params, transitions):
    """(what stays the same during an update, flat parameters, state of their optimiser)."""
    flat, unravel = ravel_pytree(params)
    state = state_of(ppo, params)
    rates = scheduled_values(ppo, state, 10)
    return (
        UpdateContext(ALGORITHMS["clip"].objective, policy, ppo, None, transitions, rates, unravel),
        flat,
        state.opt_state,
    )


@pytest.mark.slow
@pytest.mark.trap(24)
def test_a_gradient_that_is_not_finite_stops_though_the_loss_is():
    ppo, policy, params, transitions = setup()
    context, flat, opt_state = context_of(ppo, policy, params, transitions)

    def loss(params, context, minibatch):
        return jnp.sqrt(0.0 * jnp.sum(params)), {}  # 0, with a gradient of 0 times infinity

    assert loss(flat, None, None)[0] == 0
    begin = OptimizerProgress(flat, opt_state, jnp.zeros((), bool))
    after, stats = gradient_step(loss, context, begin, make_batch(ppo, transitions))
    np.testing.assert_array_equal(after.params, flat)
    assert after.stopped
    assert not stats["taken"]
    assert not stats["finite"]


@exact
@pytest.mark.trap(25)
def test_the_annealed_rate_is_the_steps():
    ppo, policy, params, transitions = setup(epochs=1, minibatch_size=64, anneal="learning_rate")
    before = ravel_pytree(params)[0]
    steps = []
    for number in (0, 5):  # of 10 updates
        state = state_of(ppo, params, number=number)
        after, *_ = one_update(ppo, transitions, policy, params, state=state)
        steps.append(ravel_pytree(after)[0] - before)
    assert np.abs(steps[0]).max() > 1e-4
    np.testing.assert_allclose(steps[1], steps[0] / 2, atol=1e-6)


@pytest.mark.trap(26)
def test_epochs_differ_in_their_order_and_use_every_row(monkeypatch):
    ppo, policy, params, transitions = setup(epochs=4, minibatch_size=16)
    context, flat, opt_state = context_of(ppo, policy, params, transitions)
    monkeypatch.setattr("proximax.ppo.update.summarise", lambda stats: stats)

    def loss(params, context, minibatch):
        return jnp.sum(params), {"rows": minibatch.position.reshape(-1)}

    orders = []
    for seed in (0, 1):
        *_, stats = run_epochs(loss, context, flat, opt_state, make_batch(ppo, transitions), jax.random.key(seed))
        assert stats["rows"].shape == (4, 4, 16)
        np.testing.assert_array_equal(np.sort(stats["rows"].reshape(4, 64)), np.tile(np.arange(64), (4, 1)))
        orders += [tuple(row.ravel().tolist()) for row in stats["rows"]]
    assert len(set(orders)) == 8


@pytest.mark.slow
@pytest.mark.parametrize("case", sb3_update.SPACES)
def test_an_update_like_stable_baselines3_is_that_of_its_own_train(case):
    """Recorded from ``PPO.train()`` in float64: parameters after 8 gradient steps, which move them by up to 1e-2."""
    with jax.enable_x64(True):
        record = sb3_update.read(case)
        theirs = sb3_update.parameters(record, "after")
        advantage, ours = sb3_update.update_here(case, sb3_update.like_sb3())
        assert record["truncated"].any()
        np.testing.assert_allclose(advantage, record["advantage"], rtol=0, atol=1e-12)
        assert sb3_update.distance(ours, theirs) < 1e-8
        assert sb3_update.distance(sb3_update.parameters(record, "before"), theirs) > 1e-3
        if case == "continuous":  # where each switch counts
            for name, value in sb3_update.DIFFERENT.items():
                _, other = sb3_update.update_here(case, replace(sb3_update.like_sb3(), **{name: value}))
                assert sb3_update.distance(other, theirs) > 1e-6, name


def in_other_units(transitions, moments, factor):
    """The same rollout and scale of values with rewards in other units."""
    count, mean, m2 = moments
    scaled = {name: factor * getattr(transitions, name) for name in ("reward", "value", "next_value")}
    return transitions._replace(**scaled), Moments(count, factor * mean, factor**2 * m2)


@pytest.mark.slow
@pytest.mark.trap(11)
@pytest.mark.trap(23)
def test_normalised_values_learn_their_targets_in_whatever_units_rewards_are():
    settings = {"epochs": 1, "minibatch_size": 64, "normalise_values": True, "value_epsilon": 0.2, "gamma": 0.9}
    ppo, policy, params, transitions = setup(**settings)
    after, _, metrics = one_update(ppo, transitions, policy, params)
    # By NumPy in float64: the targets join those seen before, and the rollout's V are as the network says them now.
    target = np.asarray(make_batch(ppo, transitions).target, np.float64)
    count, mean, m2 = (float(x) for x in params["value_moments"])
    old = (np.asarray(transitions.value, np.float64).ravel() - mean) / np.sqrt(m2 / count)
    total = count + target.size
    delta = target.mean() - mean
    m2 += np.square(target - target.mean()).sum() + delta**2 * count * target.size / total
    mean += delta * target.size / total
    np.testing.assert_allclose(after["value_moments"], (total, mean, m2), rtol=1e-5)
    errors = old - (target - mean) / np.sqrt(m2 / total)
    np.testing.assert_allclose(metrics["value_loss"], 0.5 * np.square(errors).mean(), rtol=1e-5)  # clips nothing yet
    variance = 1 - np.var(target - np.asarray(transitions.value).ravel()) / np.var(target)
    np.testing.assert_allclose(metrics["explained_variance"], variance, rtol=1e-4)
    assert np.abs(after["network"]["value_head"]["b"] - params["network"]["value_head"]["b"]).max() > 1e-5

    other, moments = in_other_units(transitions, params["value_moments"], 1024.0)
    again, _, metrics_again = one_update(ppo, other, policy, params | {"value_moments": moments})
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), after["network"], again["network"])
    np.testing.assert_allclose(metrics_again["value_loss"], metrics["value_loss"], rtol=1e-5)
    np.testing.assert_allclose(again["value_moments"].mean, 1024.0 * after["value_moments"].mean, rtol=1e-5)
