"""One step of the policy on the whole rollout: by the gradient, the natural gradient, or with a line search (TRPO)."""

from functools import partial

import jax
import jax.numpy as jnp

from proximax import maths
from proximax.ppo.losses import forward, minibatch_mean, policy_loss
from proximax.ppo.records import Batch, OptimizerProgress, StepStats, UpdateContext
from proximax.ppo.shards import sum_over_shards
from proximax.ppo.update import gradient_step
from proximax.types import Metrics, PyTree


def gradient_policy_step(
    context: UpdateContext, params: jax.Array, opt_state: PyTree, batch: Batch
) -> tuple[jax.Array, PyTree, Metrics]:
    """One step of Adam on the whole rollout."""
    begin = OptimizerProgress(params, opt_state, jnp.zeros((), bool))
    progress, stats = gradient_step(policy_loss, context, begin, batch)
    return progress.params, progress.opt_state, step_metrics(stats)


def natural_gradient_policy_step(
    context: UpdateContext, params: jax.Array, opt_state: PyTree, batch: Batch
) -> tuple[jax.Array, PyTree, Metrics]:
    """The natural gradient step, whose KL is about δ.

    Source: Kakade 2001, "A natural policy gradient".
    """
    step, metrics = natural_step(context, params, batch)
    return params + step, opt_state, metrics


def trpo_policy_step(
    context: UpdateContext, params: jax.Array, opt_state: PyTree, batch: Batch
) -> tuple[jax.Array, PyTree, Metrics]:
    """The natural gradient step, halved until the objective rises and the mean KL is at most δ; else no step.

    Source: Schulman et al. 2015 (arXiv 1502.05477), appendix C.
    """

    def evaluate(p: jax.Array) -> tuple[jax.Array, jax.Array]:
        parts = -policy_loss(p, context, batch)[0], mean_kl(p, context, batch)
        return sum_over_shards(parts, context.shards)

    step, metrics = natural_step(context, params, batch)
    config = context.config
    params, fraction, _ = maths.line_search(evaluate, params, step, config.max_kl, config.line_search_steps)
    metrics |= {"line_search_fraction": fraction, "gradient_steps": (fraction > 0).astype(fraction.dtype)}
    return params, opt_state, metrics


def natural_step(context: UpdateContext, params: jax.Array, batch: Batch) -> tuple[jax.Array, Metrics]:
    """sqrt(2 δ / gᵀ F⁻¹ g) F⁻¹ g for the flat parameters, by conjugate gradient; 0 where it is not finite."""
    parts = jax.value_and_grad(policy_loss, has_aux=True)(params, context, batch)
    (loss, stats), loss_gradient = sum_over_shards(parts, context.shards)
    config, of_all = context.config, partial(sum_over_shards, shards=context.shards)
    product = maths.fisher_vector_product(lambda p: mean_kl(p, context, batch), params, config.damping, of_all)
    step = maths.natural_gradient_step(-loss_gradient, product, config.max_kl, config.conjugate_gradient_steps)
    finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(step))
    norm = jnp.sqrt(jnp.sum(jnp.square(loss_gradient)))
    stats |= {"global_grad_norm": norm, "taken": finite, "finite": finite}
    return jnp.where(finite, step, 0.0), step_metrics(stats)


def mean_kl(params: jax.Array, context: UpdateContext, batch: Batch) -> jax.Array:
    """E[KL(π_old, π)] over the rollout, for flat parameters of π; of several shards, this shard's part of it."""
    dist, _ = forward(params, context, batch)
    return minibatch_mean(batch.dist.kl(dist), batch)


def step_metrics(stats: StepStats) -> Metrics:
    """The metrics of a single step of the policy; before it, every estimate of the KL is 0."""
    kept = {name: stats[name] for name in ("policy_objective", "entropy", "global_grad_norm")}
    taken, finite = (stats[name].astype(jnp.float32) for name in ("taken", "finite"))
    return kept | {"first_ratio_error": stats["ratio_error"], "gradient_steps": taken, "finite": finite}
