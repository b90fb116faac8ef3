"""One step of the policy on a whole rollout, where it is known on paper. Traps 19, 24.

π = N(θ, 1) and θ = 0 before the step: KL(old, θ) = θ² / 2, the Fisher information is 1. With damping d the natural step
is sqrt(2 δ / (1 + d)), in the gradient's direction and however long that is.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from proximax import maths
from proximax.config.ppo_config import PPOConfig
from proximax.policy.policy import Policy
from proximax.ppo import policy_steps
from proximax.ppo.algorithms import ALGORITHMS
from proximax.ppo.records import Batch, ScheduledValues, UpdateContext
from proximax.ppo.update import init_optimiser
from proximax.types import Transition

ACTIONS = np.array([-1.0, 0.5, 2.0, 0.5], np.float32)
SETTINGS = {"standardise_advantage": False, "damping": 0.1, "max_kl": 0.55, "learning_rate": 0.01}  # a step of 1


def normal(params, carry, obs, first):
    mean = jnp.broadcast_to(params["mean"], (len(obs), 1))
    return maths.Gaussian(mean, jnp.zeros_like(mean)), jnp.zeros(len(obs)), carry


def step_of(step, advantage, objective=ALGORITHMS["surrogate"].objective, valid=(1, 1, 1, 1), **settings):
    """(θ after the step, its metrics) of a rollout with these advantages."""
    config = PPOConfig(**SETTINGS | settings)
    policy = Policy(None, None, normal, encode=lambda moments, obs: obs, env_action=None)
    old, _, _ = normal({"mean": jnp.zeros(())}, (), ACTIONS, None)
    rows = dict.fromkeys(Batch._fields) | {"dist": old, "advantage": jnp.array(advantage, jnp.float32)}
    rows |= {
        "position": jnp.arange(4)[None],
        "action": jnp.array(ACTIONS)[:, None],
        "log_prob": old.log_prob(jnp.array(ACTIONS)[:, None]),
    }
    transitions = Transition(
        **dict.fromkeys(Transition._fields) | {"obs": jnp.array(ACTIONS)[:, None], "final_obs": ACTIONS}
    )
    transitions = transitions._replace(first=jnp.zeros((4, 1), bool))
    scheduled = ScheduledValues(*(jnp.float32(x) for x in (config.learning_rate, 0.2, 0.0, 1.0)))
    context = UpdateContext(objective, policy, config, None, transitions, scheduled, lambda x: {"mean": x[0]})
    flat = jnp.zeros(1)
    adam = init_optimiser(ALGORITHMS["reinforce"], config, {"mean": flat[0]})[0]
    after, _, metrics = step(context, flat, adam, Batch(**rows | {"valid": jnp.array(valid, jnp.float32)}))
    return float(after[0]), metrics


UP = ACTIONS  # the gradient E[A a] is 5.5 / 4


@pytest.mark.trap(19)
@pytest.mark.parametrize("scale", [1.0, -1.0, 50.0])
def test_the_natural_step_is_as_long_as_the_trust_region_is_wide_whatever_the_gradients_length(scale):
    after, metrics = step_of(policy_steps.natural_gradient_policy_step, scale * UP)
    assert after == pytest.approx(np.sign(scale) * 1.0, rel=1e-5)
    assert metrics["global_grad_norm"] == pytest.approx(abs(scale) * 5.5 / 4, rel=1e-5)
    assert (metrics["gradient_steps"], metrics["finite"], metrics["first_ratio_error"]) == (1, 1, 0)


def test_adams_first_step_is_the_learning_rate_long():
    for scale in (1.0, -50.0):
        after, metrics = step_of(policy_steps.gradient_policy_step, scale * UP, max_grad_norm=None)
        assert after == pytest.approx(np.sign(scale) * 0.01, rel=1e-4)
        assert metrics["gradient_steps"] == 1


def test_samples_that_do_not_count_do_not_turn_the_step():
    junk = np.array([UP[0], -np.inf, UP[2], -1e9])
    after, metrics = step_of(policy_steps.natural_gradient_policy_step, junk, valid=(1, 0, 1, 0))
    assert after == pytest.approx(1.0, rel=1e-5)
    assert metrics["global_grad_norm"] == pytest.approx((1 + 4) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("wall", "fraction"),
    [(0.0, 1.0), (2.0, 1.0), (4.0, 0.5), (10.0, 0.125), (1e6, 0.0)],
)
def test_trpo_halves_the_step_until_the_objective_rises(wall, fraction):
    """E[A log r - c KL] = g θ - c θ² / 2 with g = 5.5 / 4: higher than at 0 up to θ = 2 g / c."""
    objective = lambda s, _: s.advantage * s.log_ratio - wall * s.kl  # noqa: E731
    centred = UP - np.mean(UP)  # then E[A log r] = θ E[A a]
    slope = np.mean(centred * ACTIONS)
    limit = 2 * slope / wall if wall else np.inf
    assert fraction == next((0.5**i for i in range(11) if 0.5**i < limit), 0.0)
    after, metrics = step_of(policy_steps.trpo_policy_step, centred, objective)
    assert after == pytest.approx(fraction, rel=1e-5)
    assert (metrics["line_search_fraction"], metrics["gradient_steps"]) == (fraction, fraction > 0)


@pytest.mark.trap(24)
@pytest.mark.parametrize("step", [policy_steps.natural_gradient_policy_step, policy_steps.trpo_policy_step])
def test_a_step_that_is_not_finite_is_not_taken(step):
    after, metrics = step_of(step, [1.0, np.nan, 0.0, 0.0])
    assert (after, metrics["finite"], metrics["gradient_steps"]) == (0, 0, 0)
