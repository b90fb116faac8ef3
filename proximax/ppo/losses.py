"""From elementwise objectives to the losses that are minimised: the one place where the weighted mean is taken."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from proximax import maths
from proximax.config import PPOConfig
from proximax.errors import UsageError
from proximax.maths import Distribution
from proximax.policy import policy_parameters
from proximax.ppo.records import Batch, ObjectiveInputs, StepStats, UpdateContext
from proximax.ppo.values import evaluate_policy
from proximax.spaces import take_observations


def joint_loss(params: jax.Array, task: UpdateContext, minibatch: Batch) -> tuple[jax.Array, StepStats]:
    """-(E[objective] + c_H E[entropy] - c_V E[value loss]), to be minimised.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 9.
    """
    dist, value = forward(params, task, minibatch)
    total, stats = policy_objective_loss(dist, task, minibatch)
    value_loss = weighted_mean(value_losses(task.config, value, minibatch), minibatch.valid)
    return total + task.config.value_coef * value_loss, stats | {"value_loss": value_loss}


def policy_loss(params: jax.Array, task: UpdateContext, batch: Batch) -> tuple[jax.Array, StepStats]:
    """-(E[objective] + c_H E[entropy]), to be minimised."""
    dist, _ = forward(params, task, batch)
    return policy_objective_loss(dist, task, batch)


def critic_loss(params: jax.Array, task: UpdateContext, minibatch: Batch) -> tuple[jax.Array, StepStats]:
    """E[value loss]; its gradient is kept from parameters that the policy depends on."""
    _, value = forward(stop_policy_gradient(params, task, minibatch), task, minibatch)
    value_loss = weighted_mean(value_losses(task.config, value, minibatch), minibatch.valid)
    return value_loss, {"value_loss": value_loss}


def forward(params: jax.Array, task: UpdateContext, batch: Batch) -> tuple[Distribution, jax.Array]:
    """(π(. | s), V(s)) of the rows, by flat parameters."""
    return evaluate_policy(task.policy, task.unravel(params), task.moments, task.rollout, batch.row)


def policy_objective_loss(dist: Distribution, task: UpdateContext, minibatch: Batch) -> tuple[jax.Array, StepStats]:
    """-(E[objective] + c_H E[entropy]) of a policy, and what it saw."""
    weight, epsilon = minibatch.valid, task.rates.epsilon
    log_prob = dist.log_prob(minibatch.action)
    # A row that does not count must not overflow either: 0 times infinity is not 0.
    log_ratio = jnp.where(weight > 0, log_prob - minibatch.log_prob, 0.0)
    advantage = minibatch.advantage
    if task.config.standardise_advantage:
        advantage = maths.standardise(advantage, weight)
    signals = ObjectiveInputs(jnp.where(weight > 0, log_prob, 0.0), log_ratio, advantage, minibatch.dist.kl(dist))
    each = task.objective(signals, task.rates)
    if jnp.shape(each) != weight.shape:  # [B, 1] would become [B, B] without a word
        raise UsageError(f"the objective gives shape {jnp.shape(each)}; it must be {weight.shape}, a number per row")
    objective, entropy = weighted_mean(each, weight), weighted_mean(dist.entropy(), weight)
    ratio = jnp.exp(log_ratio)
    return -(objective + task.config.entropy_coef * entropy), {
        "policy_objective": objective,
        "entropy": entropy,
        "kl_k1": weighted_mean(maths.kl_k1(log_ratio), weight),
        "kl_k3": weighted_mean(maths.kl_k3(log_ratio), weight),
        "clip_fraction": weighted_mean((jnp.abs(ratio - 1.0) > epsilon).astype(ratio.dtype), weight),
        "ratio_error": jnp.max(jnp.abs(ratio - 1.0) * weight),
    }


def value_losses(config: PPOConfig, value: jax.Array, minibatch: Batch) -> jax.Array:
    """The value loss of each row."""
    if config.value_epsilon is None:
        return maths.value_loss(value, minibatch.target)
    return maths.clipped_value_loss(value, minibatch.value, minibatch.target, config.value_epsilon)


def stop_policy_gradient(params: jax.Array, task: UpdateContext, batch: Batch) -> jax.Array:
    """``params``, with no gradient to those that the policy depends on."""
    tree = task.unravel(params)
    obs, first = take_observations(task.rollout.obs, batch.row), batch.valid > 0
    used = policy_parameters(task.policy, tree, task.moments, obs, first)
    leaves = [jax.lax.stop_gradient(leaf) if use else leaf for leaf, use in zip(jax.tree.leaves(tree), used)]
    return ravel_pytree(jax.tree.unflatten(jax.tree.structure(tree), leaves))[0]


def weighted_mean(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Σ w x / Σ w; 0 where nothing counts."""
    return jnp.sum(jnp.where(weight > 0, x * weight, 0.0)) / jnp.maximum(jnp.sum(weight), 1.0)
