"""Learning from one rollout: advantages -> epochs -> minibatches -> parameters. Never sees an environment.

The one place where elementwise objectives and losses become weighted means: a row counts by its ``valid``.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from proximax import maths
from proximax.config import PPOConfig
from proximax.policy import Policy
from proximax.rollout import with_values
from proximax.types import Key, Metrics, Moments, Params, PyTree, Transition


class Batch(NamedTuple):
    """Rows of a rollout, ``[B, ...]``."""

    obs: PyTree
    first: jax.Array
    action: PyTree
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    target: jax.Array
    valid: jax.Array


class Stats(NamedTuple):
    """What one gradient step saw, before it was taken; means over the minibatch's valid rows."""

    policy_objective: jax.Array
    value_loss: jax.Array
    entropy: jax.Array
    kl_k1: jax.Array
    kl_k3: jax.Array
    clip_fraction: jax.Array
    ratio_error: jax.Array  # max |r - 1|
    global_grad_norm: jax.Array
    taken: jax.Array  # 1 where the step was taken
    finite: jax.Array  # 1 where loss and gradient were finite


class Progress(NamedTuple):
    """What gradient steps change. Parameters are one flat vector: one Adam instead of one per array compiles faster."""

    params: jax.Array
    opt_state: PyTree
    stopped: jax.Array


class Rates(NamedTuple):
    """The annealed settings of one update."""

    learning_rate: jax.Array
    epsilon: jax.Array


def optimiser(config: PPOConfig) -> optax.GradientTransformation:
    """Global-norm clipping, then Adam's direction, for the flat gradient; ``gradient_step`` scales it by the rate."""
    adam = optax.scale_by_adam(eps=config.adam_epsilon)
    return adam if config.max_grad_norm is None else optax.chain(optax.clip_by_global_norm(config.max_grad_norm), adam)


def init_optimiser(config: PPOConfig, params: Params) -> PyTree:
    """Adam's state before the first step."""
    return optimiser(config).init(np.zeros(sum(np.size(x) for x in jax.tree.leaves(params)), np.float32))


def annealed(config: PPOConfig, update: jax.Array, updates: int) -> Rates:
    """Step size and clip width of update number ``update`` (from 0) of ``updates``: factor 1 - update / updates."""
    factor = 1.0 - update / updates
    return Rates(
        config.learning_rate * (factor if config.anneal in ("learning_rate", "both") else jnp.ones(())),
        config.epsilon * (factor if config.anneal in ("epsilon", "both") else jnp.ones(())),
    )


def update(
    policy: Policy,
    config: PPOConfig,
    params: Params,
    opt_state: PyTree,
    moments: Moments | None,
    rollout: Transition,
    rates: Rates,
    key: Key,
) -> tuple[Params, PyTree, Metrics]:
    """K epochs of minibatch steps on one rollout with values and scaled rewards (``[T, N]``).

    Source: Schulman et al. 2017 (arXiv 1707.06347), algorithm 1.
    """
    batch = make_batch(config, rollout)
    flat, unravel = ravel_pytree(params)

    def epoch(progress: Progress, key: Key) -> tuple[Progress, Stats]:
        rows = batch
        if config.recompute_advantage:
            rows = make_batch(config, with_values(policy, unravel(progress.params), moments, rollout))
        return jax.lax.scan(step, progress, shuffle(rows, config.minibatch_size, key))

    def step(progress: Progress, minibatch: Batch) -> tuple[Progress, Stats]:
        return gradient_step(policy, config, unravel, progress, moments, minibatch, rates)

    progress = Progress(flat, opt_state, jnp.zeros((), bool))
    progress, stats = jax.lax.scan(epoch, progress, jax.random.split(key, config.epochs))
    return unravel(progress.params), progress.opt_state, summarise(batch, stats, rates)


def make_batch(config: PPOConfig, rollout: Transition) -> Batch:
    """Advantages and value targets A + V (un-normalised A, the V it was made from), flattened to ``[T * N]`` rows."""
    assert rollout.value is not None
    assert rollout.next_value is not None
    advantage = maths.gae(
        rollout.reward,
        rollout.value,
        rollout.next_value,
        rollout.terminated,
        rollout.truncated,
        config.gamma,
        config.lam,
    )
    batch = Batch(
        obs=rollout.obs,
        first=rollout.first,
        action=rollout.action,
        log_prob=rollout.log_prob,
        value=rollout.value,
        advantage=advantage,
        target=advantage + rollout.value,
        valid=rollout.valid,
    )
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), batch)


def shuffle(batch: Batch, minibatch_size: int, key: Key) -> Batch:
    """Every row once, in random order, as minibatches ``[B / minibatch_size, minibatch_size, ...]``."""
    order = jax.random.permutation(key, batch.valid.shape[0])
    return jax.tree.map(lambda x: x[order].reshape((-1, minibatch_size, *x.shape[1:])), batch)


def gradient_step(
    policy: Policy,
    config: PPOConfig,
    unravel: Callable[[jax.Array], Params],
    progress: Progress,
    moments: Moments | None,
    minibatch: Batch,
    rates: Rates,
) -> tuple[Progress, Stats]:
    """One step on one minibatch, unless it must not be taken.

    A KL above 1.5 target, or a loss or gradient that is not finite, is found before the step; it is not taken, and
    neither is any later one of this update.
    """
    (total, stats), gradient_tree = jax.value_and_grad(loss, has_aux=True)(
        unravel(progress.params), policy, config, moments, minibatch, rates.epsilon
    )
    gradient, _ = ravel_pytree(gradient_tree)
    norm = jnp.sqrt(jnp.sum(jnp.square(gradient)))
    finite = jnp.isfinite(total) & jnp.isfinite(norm)
    stopped = progress.stopped | ~finite
    if config.target_kl is not None:
        stopped = stopped | (stats.kl_k3 > 1.5 * config.target_kl)
    # A minibatch without a valid row has gradient 0, but Adam's momentum would still move.
    take = ~stopped & (jnp.sum(minibatch.valid) > 0)
    direction, opt_state = optimiser(config).update(gradient, progress.opt_state)
    params, opt_state = jax.tree.map(
        lambda new, old: jnp.where(take, new, old),
        (progress.params - rates.learning_rate * direction, opt_state),
        (progress.params, progress.opt_state),
    )
    stats = stats._replace(
        global_grad_norm=norm, taken=take.astype(norm.dtype), finite=(finite | progress.stopped).astype(norm.dtype)
    )
    return Progress(params, opt_state, stopped), stats


def loss(
    params: Params,
    policy: Policy,
    config: PPOConfig,
    moments: Moments | None,
    minibatch: Batch,
    epsilon: jax.Array,
) -> tuple[jax.Array, Stats]:
    """-(E[clip objective] + c_H E[entropy] - c_V E[value loss]), to be minimised.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 9.
    """
    weight = minibatch.valid
    dist, value, _ = policy.apply(params, (), policy.encode(moments, minibatch.obs), minibatch.first)
    # A row that does not count must not overflow either: 0 times infinity is not 0.
    log_ratio = jnp.where(weight > 0, dist.log_prob(minibatch.action) - minibatch.log_prob, 0.0)
    advantage = minibatch.advantage
    if config.standardise_advantage:
        advantage = maths.standardise(advantage, weight)
    if config.value_epsilon is None:
        value_losses = maths.value_loss(value, minibatch.target)
    else:
        value_losses = maths.clipped_value_loss(value, minibatch.value, minibatch.target, config.value_epsilon)
    objective = mean(maths.clip_objective(log_ratio, advantage, epsilon), weight)
    value_loss = mean(value_losses, weight)
    entropy = mean(dist.entropy(), weight)
    total = -(objective + config.entropy_coef * entropy - config.value_coef * value_loss)
    ratio = jnp.exp(log_ratio)
    one = jnp.ones(())  # placeholders: the step fills in the last three
    return total, Stats(
        policy_objective=objective,
        value_loss=value_loss,
        entropy=entropy,
        kl_k1=mean(maths.kl_k1(log_ratio), weight),
        kl_k3=mean(maths.kl_k3(log_ratio), weight),
        clip_fraction=mean((jnp.abs(ratio - 1.0) > epsilon).astype(ratio.dtype), weight),
        ratio_error=jnp.max(jnp.abs(ratio - 1.0) * weight),
        global_grad_norm=one,
        taken=one,
        finite=one,
    )


def mean(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Σ w x / Σ w; 0 where nothing counts."""
    return jnp.sum(jnp.where(weight > 0, x * weight, 0.0)) / jnp.maximum(jnp.sum(weight), 1.0)


def summarise(batch: Batch, stats: Stats, rates: Rates) -> Metrics:
    """One number each for the update: means over the steps taken; ``stats`` fields are ``[epochs, minibatches]``."""
    names = ("policy_objective", "value_loss", "entropy", "kl_k1", "kl_k3", "clip_fraction", "global_grad_norm")
    residual = batch.target - batch.value
    spread = mean(jnp.square(batch.target - mean(batch.target, batch.valid)), batch.valid)
    unexplained = mean(jnp.square(residual - mean(residual, batch.valid)), batch.valid)
    return {name: mean(getattr(stats, name), stats.taken) for name in names} | {
        "first_ratio_error": stats.ratio_error[0, 0],
        "explained_variance": 1.0 - unexplained / jnp.maximum(spread, 1e-8),
        "gradient_steps": jnp.sum(stats.taken),
        "finite": jnp.min(stats.finite),
        "learning_rate": rates.learning_rate,
        "epsilon": rates.epsilon,
        "steps": jnp.sum(batch.valid),
    }
