"""Numbers about the health of a run, from its rollouts and updates: they are logged. The KL is what adapts to too."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from proximax.maths import Distribution, Gaussian, Joint, SquashedGaussian
from proximax.policy import Policy
from proximax.ppo.losses import forward, minibatch_mean
from proximax.ppo.records import Batch, UpdateContext
from proximax.ppo.shards import least_over_shards, sum_over_shards
from proximax.runtime import SHARDS
from proximax.spaces import take_observations
from proximax.types import Metrics, Params, PyTree, Transition

RATIO_EDGES = np.linspace(0.5, 1.5, 21)  # of the logged histogram, which has one more bin at either end
MEMORY_SAMPLES = 256  # at most, of a rollout, whose memory is exchanged: one forward pass of a minibatch
Mean = Callable[[jax.Array], jax.Array]  # of each column of ``[samples, ...]``


def diagnose(policy: Policy, rollout: Transition, shards: int = 1) -> Metrics:
    """Truncations, the scale of observations, and the spread and saturation of actions, of a rollout with values."""
    valid = rollout.valid
    mean = partial(sample_mean, valid=valid.reshape(-1), shards=shards)
    truncated = rollout.truncated & ~rollout.terminated
    truncations = jnp.sum(jnp.where(valid > 0, truncated, False).astype(jnp.float32))
    metrics = {"truncations": sum_over_shards(truncations, shards)}
    if (scale := observation_scale(rollout.obs, mean)) is not None:
        metrics["obs_abs_max_mean"] = scale
    if (std := action_std(rollout.dist, mean)) is not None:
        metrics["action_std"] = std
    if (fraction_at_bounds := policy.diagnostics.fraction_at_bounds) is not None:
        metrics["actions_at_bounds"] = mean(fraction_at_bounds(flatten(rollout.action)))
    if policy.diagnostics.all_masked is not None:
        all_masked = policy.diagnostics.all_masked(flatten(rollout.obs)).reshape(valid.shape) & (valid > 0)
        metrics["fully_masked_index"] = first_index(all_masked, shards)
    return metrics


def diagnose_memory(policy: Policy, params: Params, moments: PyTree, rollout: Transition, shards: int = 1) -> Metrics:
    """The largest number in the memories of a rollout with values, and how much the policy depends on them.

    ``memory_kl``: the mean of KL(π(. | s_i, m_i), π(. | s_i, m_j)), where m_j is the memory of another sample; the
    importance of an input by permutation (Breiman 2001, "Random Forests", section 10). Other memories of the same
    rollout, not the initial one: that one the policy has hardly met in the middle of an episode. Samples that open an
    episode have no memory and do not count. The same samples in every rollout, drawn once when the program is traced.
    """
    if policy.unroll is None:
        return {}
    carry = flatten(rollout.carry)
    largest = [jnp.max(jnp.abs(x)) for x in jax.tree.leaves(carry) if jnp.issubdtype(x.dtype, jnp.floating)]
    size = rollout.first.size
    some = np.random.default_rng(0).permutation(size)[:MEMORY_SAMPLES]
    others = jax.tree.map(lambda x: x[np.roll(some, 1)], carry)
    obs = policy.encode(moments, take_observations(rollout.obs, jnp.asarray(some)))
    swapped, _, _ = policy.apply(params, others, obs, jnp.zeros(len(some), bool))
    dist = jax.tree.map(lambda x: x[some], flatten(rollout.dist))
    counts = (rollout.valid * ~rollout.first).reshape(-1)[some]
    metrics = {"memory_kl": sample_mean(dist.kl(swapped), counts, shards)}
    if largest:
        metrics["memory_abs_max"] = -least_over_shards(-jnp.max(jnp.stack(largest)), shards)
    return metrics


def observation_scale(obs: PyTree, mean: Mean) -> jax.Array | None:
    """The largest mean |x| of an entry x of the observations that are floats; None where none are.

    Not the root of the mean square, which overflows for observations that the run may survive.
    """
    floats = [x for x in jax.tree.leaves(obs) if jnp.issubdtype(x.dtype, jnp.floating)]
    sizes = [jnp.max(mean(jnp.abs(flatten(x)))) for x in floats]
    return jnp.max(jnp.stack(sizes)) if sizes else None


def action_std(dist: Distribution, mean: Mean) -> jax.Array | None:
    """The mean σ of the Gaussian parts, as sampled before any squashing; None without such a part."""
    parts = dist.parts if isinstance(dist, Joint) else (dist,)
    stds = [flatten(jnp.exp(part.log_std)) for part in parts if isinstance(part, (Gaussian, SquashedGaussian))]
    return jnp.mean(mean(jnp.concatenate(stds, axis=-1))) if stds else None


def flatten(tree: PyTree) -> PyTree:
    """``[T, N, ...]`` as ``[T * N, ...]``."""
    return jax.tree.map(lambda x: jnp.asarray(x).reshape((-1, *x.shape[2:])), tree)


def sample_mean(x: jax.Array, valid: jax.Array, shards: int) -> jax.Array:
    """The mean over all shards' valid samples, of each column of ``x`` ``[samples, ...]``."""
    weight = valid.reshape((-1,) + (1,) * (x.ndim - 1))
    total, count = sum_over_shards((jnp.sum(jnp.where(weight > 0, x, 0.0), axis=0), jnp.sum(valid)), shards)
    return total / jnp.maximum(count, 1.0)


def first_index(flags: jax.Array, shards: int) -> jax.Array:
    """t N + n of the first of all shards' ``flags`` ``[T, N / V]`` that is true; -1 if none is."""
    steps, envs = flags.shape
    t, n = jnp.divmod(jnp.argmax(flags), envs)
    offset = envs * jax.lax.axis_index(SHARDS) if shards > 1 else 0
    index = jnp.where(jnp.any(flags), t * envs * shards + offset + n, steps * envs * shards)
    index = least_over_shards(index, shards)
    return jnp.where(index < steps * envs * shards, index, -1)


def update_metrics(context: UpdateContext, params: jax.Array, batch: Batch) -> Metrics:
    """What the whole update did, over all valid samples; and how good the values were at its start."""
    dist, _ = forward(params, context, batch)
    log_ratio = jnp.where(batch.valid > 0, dist.log_prob(batch.action) - batch.log_prob, 0.0)
    below_edge = jnp.exp(log_ratio)[:, None] < jnp.asarray(RATIO_EDGES, log_ratio.dtype)[None]
    num_valid = jnp.sum(batch.valid)
    cumulative = jnp.concatenate([jnp.zeros(1), batch.valid @ below_edge.astype(batch.valid.dtype), num_valid[None]])
    cumulative, num_valid = sum_over_shards((cumulative, num_valid), context.shards)
    residual = batch.target - batch.value

    def mean(x: jax.Array) -> jax.Array:
        return sum_over_shards(minibatch_mean(x, batch), context.shards)

    def variance(x: jax.Array) -> jax.Array:
        return mean(jnp.square(x - mean(x)))

    return {
        "kl": mean(batch.dist.kl(dist)),
        "ratio_histogram": jnp.diff(cumulative),
        "explained_variance": 1.0 - variance(residual) / jnp.maximum(variance(batch.target), 1e-8),
        "advantage_std": jnp.sqrt(variance(batch.advantage)),
        "steps": num_valid,
    }
