"""Every algorithm, action space, mask, normalisation, memory and kind of environment with every other, two updates.

The full product has 768 cases; every pair of values meets in 64 of them. In the slow lane every pair but two kinds of
them: the algorithms meet each part of a nested action space in it, and discrete and Gaussian actions in
ppo/test_algorithms.py, not these by themselves; and algorithms that take the same step meet each action
space once between them: a2c, surrogate, clip and spo on minibatches, with an objective of log π, ratio and advantage,
and npg and trpo, whose natural step trpo may shorten.
"""

from functools import cache

import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import proximax
from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.policy.policy import make_policy
from proximax.ppo.learner import make_learner
from proximax.runtime.prng import seed_key
from tests.support.toy_envs import host_learner, lawful_jax, vector
from tests.support.toy_gym import ACTIONS, BOUNDED, UNBOUNDED, Lawful

BOXES = {
    "gaussian": (UNBOUNDED, {}),
    "squashed_gaussian": (BOUNDED, {"box_distribution": "squashed_gaussian"}),
    "beta": (BOUNDED, {"box_distribution": "beta"}),
    "state_dependent_std": (BOUNDED, {"state_dependent_std": True}),
}
FACTORS = {
    "algo": list(proximax.ALGORITHMS),
    "action": [*ACTIONS, *BOXES],
    "masked": [False, True],
    "normal": [False, True],
    "where": ["host", "jax"],
    "network": ["mlp", "gru"],
}
PARTS = {"discrete", "multi_discrete", "multi_binary", "gaussian"}  # of the nested space
ALIKE = {
    "a2c": "minibatches",
    "surrogate": "minibatches",
    "clip": "minibatches",
    "spo": "minibatches",
    "npg": "natural",
    "trpo": "natural",
}
NORMAL = ("normalise_obs", "normalise_values", "scale_reward", "standardise_advantage")


def step_of(algo):
    """The step that an algorithm shares with others, or its own."""
    return ALIKE.get(algo, algo)


def pairs(case):
    names = list(FACTORS)
    return {(a, case[a], b, case[b]) for i, a in enumerate(names) for b in names[:i]}


def possible(case):
    return case["action"] in ACTIONS or not case["masked"]


def product(**fixed):
    cases = [{}]
    for name, values in FACTORS.items():
        cases = [{**case, name: value} for case in cases for value in ([fixed[name]] if name in fixed else values)]
    return [case for case in cases if possible(case)]


@cache
def covering():
    """Every algorithm with every action space, and of the rest what has met least so far."""
    met, found = {}, []
    for i, action in enumerate(FACTORS["action"]):
        for j, algo in enumerate(FACTORS["algo"]):
            rest = product(algo=algo, action=action)
            best = min(rest[(i + j) % len(rest) :] + rest, key=lambda case: sorted(met.get(p, 0) for p in pairs(case)))
            for pair in pairs(best):
                met[pair] = met.get(pair, 0) + 1
            found.append(best)
    return found


def needed(case):
    """The pairs of a case that the slow lane must have."""
    step = case | {"algo": step_of(case["algo"])}
    others = {pair for pair in pairs(case) if {pair[0], pair[2]} != {"algo", "action"}}
    return others | {pair for pair in pairs(step) - others if PARTS.isdisjoint(pair) and {"algo", "action"} <= {*pair}}


@cache
def lane():
    """Those of the slow lane: few in which all pairs that it must have meet, the one with most new ones first."""
    kept, met, cases = [], set(), covering()
    while new := max((needed(case) - met for case in cases), key=len):
        kept.append(next(case for case in cases if new <= needed(case)))
        met |= new
    return kept


def test_every_pair_of_values_meets_and_every_algorithm_is_there():
    assert len(product()) == 768
    everything = set.union(*map(pairs, product()))
    assert set.union(*map(pairs, covering())) == everything
    left_out = everything - set.union(*map(pairs, lane()))
    assert {frozenset((pair[0], pair[2])) for pair in left_out} == {frozenset(("algo", "action"))}
    for action in {*ACTIONS, *BOXES} - PARTS:
        missed = {value for pair in left_out if action in pair for value in (pair[1], pair[3])} - {action}
        assert missed < set(ALIKE)
        assert {step_of(algo) for algo in FACTORS["algo"] if algo not in missed} == set(map(step_of, FACTORS["algo"]))
    assert len(lane()) <= 32
    assert set(FACTORS["algo"]) == {"reinforce", "npg", "trpo", "a2c", "surrogate", "penalty", "clip", "spo"}


def learner_of(algo, action, masked, normal, where, network):
    """(step, state) of a small run."""
    space, settings = (ACTIONS[action], {}) if action in ACTIONS else BOXES[action]
    sizes = {"hidden": (4,), "recurrent_units": 3, "num_steps": 8, "minibatch_size": 8}
    ppo = PPOConfig(epochs=1, **sizes, **settings, **dict.fromkeys(NORMAL, normal))
    nested = action == "nested"
    if where == "host":
        masks = "" if not masked else "info" if normal else "key"
        made = vector(lambda: Lawful(space, masks, nested=nested), 2, AutoresetMode.NEXT_STEP)
        learner, state, _ = host_learner(made, ppo, steps=32, algo=algo, network=network)
        return learner.step, state
    env = lawful_jax(space, masked, nested)
    policy = make_policy(env.observation_space, env.action_space, ppo, network)
    learner = make_learner(env, policy, RunConfig("test", algo=algo, steps=32, num_envs=2, ppo=ppo))
    return jax.jit(learner.step), learner.init(seed_key(0))


def check(case):
    step, state = learner_of(**case)
    for _ in range(2):  # the second with a normaliser that has seen something
        before, (state, metrics) = state, step(state)
        one = jax.tree.map(lambda x: np.asarray(x).item() if np.size(x) == 1 else None, metrics)
        assert one["finite"] == 1
        exact = case["action"] in ACTIONS and case["action"] != "nested" and case["network"] == "mlp"
        assert one["first_ratio_error"] <= (1e-6 if exact else 1e-5)
        assert one["return_sum"] == one["length_sum"] > 0  # one for each step that kept the law
        assert one.get("fully_masked_index", -1) == -1
        assert one.get("line_search_fraction", 1) > 0
        old, new = (jax.tree_util.tree_flatten_with_path(x.params)[0] for x in (before, state))
        for (path, x), (_, y) in zip(old, new):
            assert np.abs(np.asarray(x) - y).max() > 0, jax.tree_util.keystr(path)
            assert np.isfinite(y).all()


def name(case):
    return "-".join(case[f] if isinstance(case[f], str) else f * case[f] for f in FACTORS if case[f])


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case in lane() else pytest.mark.exhaustive) for case in covering()],
    ids=name,
)
def test_two_updates_are_finite_on_policy_lawful_and_move_every_parameter(case):
    check(case)
