"""What a rollout shows of the health of a run: numbers that are logged and change nothing of what is learned."""

import jax
import jax.numpy as jnp

from proximax.maths import Distribution, Gaussian, Joint, SquashedGaussian
from proximax.policy import Policy
from proximax.types import Array, Metrics, PyTree, Transition


def diagnose(policy: Policy, rollout: Transition) -> Metrics:
    """Ends by the clock, the scale of observations, how wide and how far out the actions are, of a valued rollout."""
    valid = rollout.valid
    cut = rollout.truncated & ~rollout.terminated
    metrics = {"truncations": jnp.sum(jnp.where(valid > 0, cut, False).astype(jnp.float32))}
    if (scale := observation_scale(rollout.obs, valid)) is not None:
        metrics["obs_abs_max_mean"] = scale
    if (width := action_std(rollout.dist, valid)) is not None:
        metrics["action_std"] = width
    if policy.fraction_at_bounds is not None:
        metrics["actions_at_bounds"] = row_mean(policy.fraction_at_bounds(rows(rollout.action)), valid.reshape(-1))
    if policy.all_masked is not None:
        stuck = policy.all_masked(rows(rollout.obs)) & (valid.reshape(-1) > 0)
        metrics["fully_masked_index"] = jnp.where(jnp.any(stuck), jnp.argmax(stuck), -1)
    return metrics


def observation_scale(obs: PyTree, valid: Array) -> jax.Array | None:
    """The largest mean size of an entry of the observations that are floats; None where none are.

    Mean |x| instead of the root of the mean square, which overflows for observations that the run may survive.
    """
    floats = [x for x in jax.tree.leaves(obs) if jnp.issubdtype(x.dtype, jnp.floating)]
    sizes = [jnp.max(row_mean(jnp.abs(rows(x)), valid.reshape(-1))) for x in floats]
    return jnp.max(jnp.stack(sizes)) if sizes else None


def action_std(dist: Distribution, valid: Array) -> jax.Array | None:
    """The mean σ of the Gaussian parts, as sampled before any squashing; None without such a part."""
    parts = dist.parts if isinstance(dist, Joint) else (dist,)
    stds = [rows(jnp.exp(part.log_std)) for part in parts if isinstance(part, (Gaussian, SquashedGaussian))]
    return jnp.mean(row_mean(jnp.concatenate(stds, axis=-1), valid.reshape(-1))) if stds else None


def rows(tree: PyTree) -> PyTree:
    """``[T, N, ...]`` as ``[T * N, ...]``."""
    return jax.tree.map(lambda x: jnp.asarray(x).reshape((-1, *x.shape[2:])), tree)


def row_mean(x: jax.Array, valid: jax.Array) -> jax.Array:
    """The mean over the rows that count, of each column of ``x`` ``[rows, ...]``."""
    counts = valid.reshape((-1,) + (1,) * (x.ndim - 1))
    return jnp.sum(jnp.where(counts > 0, x, 0.0), axis=0) / jnp.maximum(jnp.sum(valid), 1.0)
