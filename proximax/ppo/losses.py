"""From elementwise objectives to the losses that are minimised: the one place where the weighted mean is taken."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from proximax import maths
from proximax.config import PPOConfig
from proximax.errors import UsageError
from proximax.maths import Distribution
from proximax.policy import policy_parameters
from proximax.ppo.records import Batch, Signals, Stats, Task
from proximax.ppo.values import on_rows
from proximax.spaces import rows_of


def joint_loss(params: jax.Array, task: Task, minibatch: Batch) -> tuple[jax.Array, Stats]:
    """-(E[objective] + c_H E[entropy] - c_V E[value loss]), to be minimised.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 9.
    """
    dist, value = forward(params, task, minibatch)
    total, stats = minus_objective(dist, task, minibatch)
    value_loss = mean(value_losses(task.config, value, minibatch), minibatch.valid)
    return total + task.config.value_coef * value_loss, stats | {"value_loss": value_loss}


def policy_loss(params: jax.Array, task: Task, batch: Batch) -> tuple[jax.Array, Stats]:
    """-(E[objective] + c_H E[entropy]), to be minimised."""
    dist, _ = forward(params, task, batch)
    return minus_objective(dist, task, batch)


def critic_loss(params: jax.Array, task: Task, minibatch: Batch) -> tuple[jax.Array, Stats]:
    """E[value loss]; its gradient is kept from parameters that the policy depends on."""
    _, value = forward(keep_policy(params, task, minibatch), task, minibatch)
    value_loss = mean(value_losses(task.config, value, minibatch), minibatch.valid)
    return value_loss, {"value_loss": value_loss}


def forward(params: jax.Array, task: Task, batch: Batch) -> tuple[Distribution, jax.Array]:
    """(π(. | s), V(s)) of the rows, by flat parameters."""
    return on_rows(task.policy, task.unravel(params), task.moments, task.rollout, batch.row)


def minus_objective(dist: Distribution, task: Task, minibatch: Batch) -> tuple[jax.Array, Stats]:
    """-(E[objective] + c_H E[entropy]) of a policy, and what it saw."""
    weight, epsilon = minibatch.valid, task.rates.epsilon
    log_prob = dist.log_prob(minibatch.action)
    # A row that does not count must not overflow either: 0 times infinity is not 0.
    log_ratio = jnp.where(weight > 0, log_prob - minibatch.log_prob, 0.0)
    advantage = minibatch.advantage
    if task.config.standardise_advantage:
        advantage = maths.standardise(advantage, weight)
    signals = Signals(jnp.where(weight > 0, log_prob, 0.0), log_ratio, advantage, minibatch.dist.kl(dist))
    each = task.objective(signals, task.rates)
    if jnp.shape(each) != weight.shape:  # [B, 1] would become [B, B] without a word
        raise UsageError(f"the objective gives shape {jnp.shape(each)}; it must be {weight.shape}, a number per row")
    objective, entropy = mean(each, weight), mean(dist.entropy(), weight)
    ratio = jnp.exp(log_ratio)
    return -(objective + task.config.entropy_coef * entropy), {
        "policy_objective": objective,
        "entropy": entropy,
        "kl_k1": mean(maths.kl_k1(log_ratio), weight),
        "kl_k3": mean(maths.kl_k3(log_ratio), weight),
        "clip_fraction": mean((jnp.abs(ratio - 1.0) > epsilon).astype(ratio.dtype), weight),
        "ratio_error": jnp.max(jnp.abs(ratio - 1.0) * weight),
    }


def value_losses(config: PPOConfig, value: jax.Array, minibatch: Batch) -> jax.Array:
    """The value loss of each row."""
    if config.value_epsilon is None:
        return maths.value_loss(value, minibatch.target)
    return maths.clipped_value_loss(value, minibatch.value, minibatch.target, config.value_epsilon)


def keep_policy(params: jax.Array, task: Task, batch: Batch) -> jax.Array:
    """``params``, with no gradient to those that the policy depends on."""
    tree = task.unravel(params)
    obs, first = rows_of(task.rollout.obs, batch.row), batch.valid > 0
    used = policy_parameters(task.policy, tree, task.moments, obs, first)
    leaves = [jax.lax.stop_gradient(leaf) if use else leaf for leaf, use in zip(jax.tree.leaves(tree), used)]
    return ravel_pytree(jax.tree.unflatten(jax.tree.structure(tree), leaves))[0]


def mean(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Σ w x / Σ w; 0 where nothing counts."""
    return jnp.sum(jnp.where(weight > 0, x * weight, 0.0)) / jnp.maximum(jnp.sum(weight), 1.0)
