"""From elementwise objectives to the losses that are minimised: the one place where the weighted mean is taken.

Of several shards each has its part of a loss and its statistics: the sum of the parts is the mean over all samples.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from proximax import maths
from proximax.config import PPOConfig
from proximax.errors import UsageError
from proximax.maths import Distribution
from proximax.policy import policy_parameters
from proximax.ppo.records import Batch, ObjectiveInputs, StepStats, UpdateContext
from proximax.ppo.values import evaluate_policy, unroll_sequences
from proximax.runtime import call_user_function, kind_of
from proximax.spaces import take_observations
from proximax.types import Moments


def joint_loss(params: jax.Array, context: UpdateContext, minibatch: Batch) -> tuple[jax.Array, StepStats]:
    """-(E[objective] + c_H E[entropy] - c_V E[value loss]), to be minimised.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 9.
    """
    dist, value = forward(params, context, minibatch)
    total, stats = policy_objective_loss(dist, context, minibatch)
    value_loss = minibatch_mean(value_losses(context.config, value, minibatch, context.value_unit), minibatch)
    return total + context.config.value_coef * value_loss, stats | {"value_loss": value_loss}


def policy_loss(params: jax.Array, context: UpdateContext, batch: Batch) -> tuple[jax.Array, StepStats]:
    """-(E[objective] + c_H E[entropy]), to be minimised."""
    dist, _ = forward(params, context, batch)
    return policy_objective_loss(dist, context, batch)


def critic_loss(params: jax.Array, context: UpdateContext, minibatch: Batch) -> tuple[jax.Array, StepStats]:
    """E[value loss], without gradient to parameters that the policy depends on."""
    _, value = forward(stop_policy_gradient(params, context, minibatch), context, minibatch)
    value_loss = minibatch_mean(value_losses(context.config, value, minibatch, context.value_unit), minibatch)
    return value_loss, {"value_loss": value_loss}


def forward(params: jax.Array, context: UpdateContext, batch: Batch) -> tuple[Distribution, jax.Array]:
    """(π(. | s), V(s)) of the batch's samples, by flat parameters."""
    inputs = context.policy, context.unravel(params), context.moments, context.rollout
    if context.policy.unroll is None:
        return evaluate_policy(*inputs, batch.position.reshape(-1))
    return unroll_sequences(*inputs, batch.position, context.config.burn_in)[:2]


def policy_objective_loss(dist: Distribution, context: UpdateContext, minibatch: Batch) -> tuple[jax.Array, StepStats]:
    """-(E[objective] + c_H E[entropy]) of a policy, and statistics of the minibatch."""
    weight, scheduled = minibatch.valid, context.scheduled
    log_prob = dist.log_prob(minibatch.action)
    # A sample that does not count must not overflow either: 0 times infinity is not 0.
    log_ratio = jnp.where(weight > 0, log_prob - minibatch.log_prob, 0.0)
    advantage = minibatch.advantage
    if context.config.standardise_advantage:
        advantage = standardise(context.config, advantage, weight, minibatch.of_all)
    inputs = ObjectiveInputs(jnp.where(weight > 0, log_prob, 0.0), log_ratio, advantage, minibatch.dist.kl(dist))
    objectives = call_user_function("the objective", context.objective, inputs, scheduled)
    if (kind := kind_of(objectives)) != f"shape {weight.shape}":  # [B, 1] would silently become [B, B]
        raise UsageError(f"the objective returns {kind}; it must be {weight.shape}, a number per sample")
    objective, entropy = minibatch_mean(objectives, minibatch), minibatch_mean(dist.entropy(), minibatch)
    ratio = jnp.exp(log_ratio)
    outside = maths.outside_band(ratio, scheduled.epsilon, scheduled.epsilon_high)
    return -(objective + scheduled.entropy_coef * entropy), {
        "policy_objective": objective,
        "entropy": entropy,
        "kl_k1": minibatch_mean(maths.kl_k1(log_ratio), minibatch),
        "kl_k3": minibatch_mean(maths.kl_k3(log_ratio), minibatch),
        "clip_fraction": minibatch_mean(outside.astype(ratio.dtype), minibatch),
        "ratio_error": jnp.max(jnp.abs(ratio - 1.0) * weight),
    }


def standardise(config: PPOConfig, x: jax.Array, weight: jax.Array, of_all: Moments | None) -> jax.Array:
    """Standardised by the moments of the samples that count; of several shards, by those of all their samples."""
    ddof = int(config.bessel_correction)
    return maths.standardise(x, weight, ddof) if of_all is None else maths.standardise_by(of_all, x, ddof)


def value_losses(config: PPOConfig, value: jax.Array, minibatch: Batch, unit: jax.Array | None = None) -> jax.Array:
    """The value loss of each sample, of values in ``unit``s."""
    old, target = minibatch.value, minibatch.target
    if unit is not None:
        value, old, target = value / unit, old / unit, target / unit
    if config.value_epsilon is None:
        return maths.value_loss(value, target)
    alone = config.value_clip == "alone"
    return maths.clipped_value_loss(value, old, target, config.value_epsilon, alone)


def stop_policy_gradient(params: jax.Array, context: UpdateContext, batch: Batch) -> jax.Array:
    """``params``, with no gradient to those that the policy depends on."""
    tree = context.unravel(params)
    obs, first = take_observations(context.rollout.obs, batch.position.reshape(-1)), batch.valid > 0
    in_policy = policy_parameters(context.policy, tree, context.moments, obs, first)
    leaves = [jax.lax.stop_gradient(x) if stop else x for x, stop in zip(jax.tree.leaves(tree), in_policy)]
    return ravel_pytree(jax.tree.unflatten(jax.tree.structure(tree), leaves))[0]


def minibatch_mean(x: jax.Array, minibatch: Batch) -> jax.Array:
    """The mean of ``x`` ``[B]`` over the minibatch's valid samples; of several shards, this shard's part of it."""
    return weighted_mean(x, minibatch.valid, None if minibatch.of_all is None else minibatch.of_all.count)


def weighted_mean(x: jax.Array, weight: jax.Array, total: jax.Array | None = None) -> jax.Array:
    """Σ w x / Σ w; 0 where no weight is positive. ``total``: Σ w of all samples, where these are a part of them."""
    total = jnp.sum(weight) if total is None else total
    return jnp.sum(jnp.where(weight > 0, x * weight, 0.0)) / jnp.maximum(total, 1.0)
