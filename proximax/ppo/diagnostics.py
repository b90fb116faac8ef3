"""Numbers about the health of a run, from its rollouts: they are logged and change nothing of what is learned."""

import jax
import jax.numpy as jnp

from proximax.maths import Distribution, Gaussian, Joint, SquashedGaussian
from proximax.policy import Policy
from proximax.types import Metrics, PyTree, Transition


def diagnose(policy: Policy, rollout: Transition) -> Metrics:
    """Truncations, the scale of observations, and the spread and saturation of actions, of a rollout with values."""
    valid, weight = rollout.valid, rollout.valid.reshape(-1)
    truncated = rollout.truncated & ~rollout.terminated
    metrics = {"truncations": jnp.sum(jnp.where(valid > 0, truncated, False).astype(jnp.float32))}
    if (scale := observation_scale(rollout.obs, valid)) is not None:
        metrics["obs_abs_max_mean"] = scale
    if (std := action_std(rollout.dist, valid)) is not None:
        metrics["action_std"] = std
    if (fraction_at_bounds := policy.diagnostics.fraction_at_bounds) is not None:
        metrics["actions_at_bounds"] = sample_mean(fraction_at_bounds(flatten(rollout.action)), weight)
    if policy.diagnostics.all_masked is not None:
        all_masked = policy.diagnostics.all_masked(flatten(rollout.obs)) & (weight > 0)
        metrics["fully_masked_index"] = jnp.where(jnp.any(all_masked), jnp.argmax(all_masked), -1)
    return metrics


def observation_scale(obs: PyTree, valid: jax.Array) -> jax.Array | None:
    """The largest mean |x| of an entry x of the observations that are floats; None where none are.

    Not the root of the mean square, which overflows for observations that the run may survive.
    """
    floats = [x for x in jax.tree.leaves(obs) if jnp.issubdtype(x.dtype, jnp.floating)]
    sizes = [jnp.max(sample_mean(jnp.abs(flatten(x)), valid.reshape(-1))) for x in floats]
    return jnp.max(jnp.stack(sizes)) if sizes else None


def action_std(dist: Distribution, valid: jax.Array) -> jax.Array | None:
    """The mean σ of the Gaussian parts, as sampled before any squashing; None without such a part."""
    parts = dist.parts if isinstance(dist, Joint) else (dist,)
    stds = [flatten(jnp.exp(part.log_std)) for part in parts if isinstance(part, (Gaussian, SquashedGaussian))]
    return jnp.mean(sample_mean(jnp.concatenate(stds, axis=-1), valid.reshape(-1))) if stds else None


def flatten(tree: PyTree) -> PyTree:
    """``[T, N, ...]`` as ``[T * N, ...]``."""
    return jax.tree.map(lambda x: jnp.asarray(x).reshape((-1, *x.shape[2:])), tree)


def sample_mean(x: jax.Array, valid: jax.Array) -> jax.Array:
    """The mean over the valid samples, of each column of ``x`` ``[samples, ...]``."""
    weight = valid.reshape((-1,) + (1,) * (x.ndim - 1))
    return jnp.sum(jnp.where(weight > 0, x, 0.0), axis=0) / jnp.maximum(jnp.sum(valid), 1.0)
