"""Running moments, observation normalisation and return-based reward scaling."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from proximax.types import Moments

EPSILON = 1e-8  # under the square root of a variance


def init_moments(shape: tuple[int, ...]) -> Moments:
    """Moments of nothing: count 0. ``normalise`` is then the identity."""
    return Moments(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))


def variance(m: Moments) -> Float[Array, "*shape"]:
    """Population variance M2 / count; 1 before anything was seen."""
    return jnp.where(m.count > 0, m.m2 / jnp.maximum(m.count, 1), 1.0)


def batch_moments(
    batch: Float[Array, "..."], shape: tuple[int, ...], weight: Float[Array, "..."] | None = None
) -> Moments:
    """Moments of the rows of ``batch`` ``[*rows, *shape]``; ``weight`` ``[*rows]`` counts each row (0 leaves it out).

    Two passes (mean first, then deviations), both relative to the first row counted: a large offset costs no precision
    and a constant comes out exact.
    """
    leading = batch.shape[: max(batch.ndim - len(shape), 0)]
    if leading + shape != batch.shape or (weight is not None and weight.shape != leading):
        of = "" if weight is None else f" and a weight of shape {weight.shape}"
        raise ValueError(f"moments of shape {shape} need rows of that shape; got a batch of shape {batch.shape}{of}")
    rows = batch.reshape((-1, *shape))
    w = jnp.ones(rows.shape[0]) if weight is None else weight.reshape(-1).astype(rows.dtype)
    w = w.reshape((-1,) + (1,) * len(shape))
    count = jnp.sum(w)
    offset = rows[jnp.argmax(w.reshape(-1) > 0)]
    offset = jnp.where(jnp.isfinite(offset), offset, 0.0)
    # A weight of 0 must also silence a row that is not finite.
    relative = jnp.where(w > 0, rows - offset[None], 0.0)
    mean = jnp.sum(w * relative, axis=0) / jnp.maximum(count, 1)
    m2 = jnp.sum(w * jnp.square(relative - mean[None]), axis=0)
    return Moments(count, jnp.where(count > 0, offset + mean, 0.0), m2)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Moments of both samples together.

        n = n_a + n_b,  d = mean_b - mean_a
        mean = mean_a + d n_b / n
        M2   = M2_a + M2_b + d² n_a n_b / n

    Source: Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance", equation 2.1.
    """
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1)
    delta = b.mean - a.mean
    return Moments(count, a.mean + delta * share, a.m2 + b.m2 + jnp.square(delta) * a.count * share)


def update_moments(m: Moments, batch: Float[Array, "..."], weight: Float[Array, "..."] | None = None) -> Moments:
    """Merge the rows of ``batch`` ``[*rows, *m.mean.shape]`` into ``m``; ``weight`` ``[*rows]`` counts each row."""
    return merge_moments(m, batch_moments(batch, m.mean.shape, weight))


def normalise(m: Moments, x: Float[Array, "..."], least: float = EPSILON) -> Float[Array, "..."]:
    """(x - mean) / sqrt(variance + least), for ``x`` ``[..., *m.mean.shape]``."""
    lead = (1,) * (x.ndim - m.mean.ndim)
    mean, std = m.mean, jnp.sqrt(variance(m) + least)
    return (x - mean.reshape(lead + mean.shape)) / std.reshape(lead + std.shape)


def scale_reward(
    discounted_return: Float[Array, " N"],  # R after the last rollout
    moments: Moments,  # of R so far
    reward: Float[Array, "T N"],  # r_t
    last: Bool[Array, "T N"],  # the episode ended with this step
    valid: Float[Array, "T N"],  # 1; 0 for a step that only resets an environment
    gamma: float | Float[Array, ""],  # γ, the discount
    of_all: Callable[[Moments], Moments] = lambda moments: moments,
) -> tuple[Float[Array, "T N"], Float[Array, " N"], Moments]:
    """Divide rewards by the standard deviation of the discounted return; the mean is left alone.

        R_t = r_t + γ R_{t-1} (1 - last_{t-1}),   r'_t = r_t / sqrt(Var(R) + 1e-8)

    Var(R) includes the rollout it is applied to, so the first rollout is scaled like the later ones. Returns the scaled
    rewards, R carried to the next rollout (0 where an episode has ended), and the merged moments.
    ``of_all``: the moments of all environments from those of these N, where these are a part of them.
    Source: Engstrom et al. 2020 (arXiv 2005.12729), section 3, "reward scaling"; with R cut at the episode's end.
    """

    def accumulate(
        carried: Float[Array, " N"], row: tuple[Float[Array, " N"], Bool[Array, " N"]]
    ) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
        reward_t, last_t = row
        total = reward_t + gamma * carried
        return jnp.where(last_t, 0.0, total), total

    carried, totals = jax.lax.scan(accumulate, discounted_return, (reward, last))
    moments = merge_moments(moments, of_all(batch_moments(totals, moments.mean.shape, valid)))
    return reward / jnp.sqrt(variance(moments) + EPSILON), carried, moments
