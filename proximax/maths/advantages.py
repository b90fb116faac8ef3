"""Returns, generalised advantage estimation, standardisation. Time is the leading axis."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from proximax.types import Moments


def returns_to_go(
    reward: Float[Array, "T *N"],  # r_t
    terminated: Bool[Array, "T *N"],  # the episode ended in a state without future
    truncated: Bool[Array, "T *N"],  # it was cut off, as by a time limit
    gamma: float | Float[Array, ""],  # γ, the discount
    next_value: Float[Array, "T *N"] | None = None,
) -> Float[Array, "T *N"]:
    """Discounted reward from each step to the end of its episode.

        G_t = r_t + γ G_{t+1}                 inside an episode
        G_t = r_t + γ (1 - terminated_t) V(final_obs_t)   where it ends, or the rollout does

    ``next_value`` is V(final_obs), shape ``[T, *N]``; without it the return after a truncation counts as 0.
    Source: Sutton & Barto, Reinforcement Learning (2nd ed.), equation 3.8; the bootstrap as in GAE with λ = 1.
    """
    beyond = jnp.zeros_like(reward) if next_value is None else next_value
    tail = reward + gamma * jnp.where(terminated, 0.0, beyond)
    last = (terminated | truncated).at[-1].set(True)

    def back(
        future: Float[Array, "*N"],
        row: tuple[Float[Array, "*N"], Float[Array, "*N"], Bool[Array, "*N"]],
    ) -> tuple[Float[Array, "*N"], Float[Array, "*N"]]:
        reward_t, tail_t, last_t = row
        g = jnp.where(last_t, tail_t, reward_t + gamma * future)
        return g, g

    _, returns = jax.lax.scan(back, jnp.zeros_like(reward[0]), (reward, tail, last), reverse=True)
    return returns


def total_returns(returns: Float[Array, "T *N"], first: Bool[Array, "T *N"]) -> Float[Array, "T *N"]:
    """The return of the whole trajectory, at each of its steps.

    ``returns``: G_t, to go. ``first``: a trajectory begins, which runs to the next such step or the rollout's end.
    Source: Williams 1992, "Simple statistical gradient-following algorithms", episodic REINFORCE.
    """

    def forward(
        total: Float[Array, "*N"], row: tuple[Float[Array, "*N"], Bool[Array, "*N"]]
    ) -> tuple[Float[Array, "*N"], Float[Array, "*N"]]:
        return_t, first_t = row
        total = jnp.where(first_t, return_t, total)
        return total, total

    _, totals = jax.lax.scan(forward, returns[0], (returns, first))
    return totals


def gae(
    reward: Float[Array, "T *N"],  # r_t
    value: Float[Array, "T *N"],
    next_value: Float[Array, "T *N"],  # V(final_obs_t), of the state that step t reached, before any reset
    terminated: Bool[Array, "T *N"],  # the episode ended in a state without future
    truncated: Bool[Array, "T *N"],  # it was cut off, as by a time limit
    gamma: float | Float[Array, ""],  # γ, the discount
    lam: float | Float[Array, ""],  # λ: 0 gives δ_t, 1 the return less the value
) -> Float[Array, "T *N"]:
    """Generalised advantage estimation.

        δ_t = r_t + γ (1 - terminated_t) V(final_obs_t) - V(s_t)
        A_t = δ_t + γ λ (1 - last_t) A_{t+1},   A_T = 0,   last = terminated | truncated

    ``value`` is V(s_t), ``next_value`` V(final_obs_t), the value of the state step t really reached before any reset:
    a truncated step keeps its future, a terminated one does not, and neither looks across the episode's end.
    All arrays ``[T, *N]``. A reset step (not a transition) gets a meaningless number, which no earlier step reads.
    Source: Schulman et al. 2016 (arXiv 1506.02438), equations 11 and 16.
    """
    last = terminated | truncated
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    decay = gamma * lam * (1.0 - last.astype(delta.dtype))

    def back(
        future: Float[Array, "*N"], row: tuple[Float[Array, "*N"], Float[Array, "*N"]]
    ) -> tuple[Float[Array, "*N"], Float[Array, "*N"]]:
        delta_t, decay_t = row
        advantage = delta_t + decay_t * future
        return advantage, advantage

    _, advantages = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, decay), reverse=True)
    return advantages


def standardise(x: Float[Array, "*B"], weight: Float[Array, "*B"] | None = None, ddof: int = 0) -> Float[Array, "*B"]:
    """(x - mean) / (std + 1e-8). One sample, or equal ones, give 0, never NaN.

    ``x``: samples. ``weight``: 1 where they count, else 0. ``ddof``: std² is Σ (x - mean)² / (n - ddof); PyTorch's: 1.
    Source: the return normalisation of Williams 1992 as practised; Huang et al. 2022, "The 37 implementation details of
    PPO", core detail 7.
    """
    w = jnp.ones_like(x) if weight is None else weight.astype(x.dtype)
    total = jnp.maximum(jnp.sum(w), 1.0)
    mean = jnp.sum(w * x) / total
    mean = mean + jnp.sum(w * (x - mean)) / total  # takes back the first sum's rounding
    deviation = x - mean
    # Equal samples can miss their rounded mean by an ulp; divided by a standard deviation of one ulp that would be ±1.
    noise = 4 * float(jnp.finfo(x.dtype).eps) * jnp.abs(mean)
    variance = jnp.sum(w * jnp.square(deviation)) / jnp.maximum(total - ddof, 1.0)
    equal = variance <= jnp.square(noise)  # false for NaN, which must not be hidden
    std = jnp.sqrt(jnp.where(equal, 1.0, variance))  # inside the root, so that its gradient is finite
    return jnp.where(equal, 0.0, deviation / (std + 1e-8))


def standardise_by(moments: Moments, x: Float[Array, "*B"], ddof: int = 0) -> Float[Array, "*B"]:
    """``standardise`` of samples ``x`` that are some of those whose ``moments`` (numbers) these are.

    Source: as of ``standardise``; moments of parts merge by Chan, Golub & LeVeque (1983), equation 2.1.
    """
    noise = 4 * float(jnp.finfo(x.dtype).eps) * jnp.abs(moments.mean)
    variance = moments.m2 / jnp.maximum(moments.count - ddof, 1.0)
    equal = variance <= jnp.square(noise)  # false for NaN, which must not be hidden
    return jnp.where(equal, 0.0, (x - moments.mean) / (jnp.sqrt(jnp.where(equal, 1.0, variance)) + 1e-8))
