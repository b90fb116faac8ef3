"""The objectives and losses of the algorithm family from REINFORCE to PPO, one equation each.

An *objective* is maximised, a *loss* is minimised. All are elementwise: ``ppo.losses`` takes the weighted mean, once.
``log_ratio`` is log r = log π(a|s) - log π_old(a|s), ``advantage`` is A; all arrays have the same shape.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def reinforce_objective(log_prob: Float[Array, "*B"], advantage: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """log π(a|s) A: its gradient is the policy gradient. ``advantage`` may be any return or advantage estimate.

    Source: Williams 1992, "Simple statistical gradient-following algorithms", REINFORCE.
    """
    return log_prob * advantage


def surrogate_objective(log_ratio: Float[Array, "*B"], advantage: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """r A: importance sampling of the action, without a trust region. At r = 1 its gradient is the policy gradient.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 6 (L^CPI).
    """
    return jnp.exp(log_ratio) * advantage


def clip_objective(
    log_ratio: Float[Array, "*B"], advantage: Float[Array, "*B"], epsilon: float | Float[Array, ""]
) -> Float[Array, "*B"]:
    """min(r A, clip(r, 1 - ε, 1 + ε) A): going outside the band earns nothing, coming back always does.

    For A > 0 the gradient is 0 above 1 + ε; for A < 0 it is 0 below 1 - ε. A bad action that became more probable
    (A < 0, r large) keeps its gradient.
    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 7 (L^CLIP).
    """
    # A good action's ratio is held at the band's edge before it is exponentiated: exp overflows at log r = 89, and the
    # gradient there would be 0 times infinity. ``where`` and not min and max, which halve the gradient of a tie.
    good, most = advantage >= 0, jnp.log1p(epsilon)
    ratio = jnp.exp(jnp.where(good & (log_ratio > most), most, log_ratio))
    return jnp.where(~good & (ratio < 1.0 - epsilon), 1.0 - epsilon, ratio) * advantage


def penalty_objective(
    log_ratio: Float[Array, "*B"],
    advantage: Float[Array, "*B"],
    kl: Float[Array, "*B"],
    beta: float | Float[Array, ""],
) -> Float[Array, "*B"]:
    """r A - β KL(π_old, π). ``kl`` is the exact divergence of the distributions at each state.

    Source: Schulman et al. 2017 (arXiv 1707.06347), equation 8 (L^KLPEN).
    """
    return jnp.exp(log_ratio) * advantage - beta * kl


def value_loss(value: Float[Array, "*B"], target: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """½ (V - target)². Source: Schulman et al. 2017 (arXiv 1707.06347), L^VF of equation 9, with the factor ½."""
    return 0.5 * jnp.square(value - target)


def clipped_value_loss(
    value: Float[Array, "*B"],  # V, which learns
    old_value: Float[Array, "*B"],
    target: Float[Array, "*B"],  # what it learns: A + V_old
    epsilon: float | Float[Array, ""],  # ε, the half width of the band
    alone: bool = False,
) -> Float[Array, "*B"]:
    """½ max((V - target)², (V_clip - target)²), V_clip = V_old + clip(V - V_old, -ε, ε).

    ``alone``: ½ (V_clip - target)², without gradient outside the band, as Stable-Baselines3's ``clip_range_vf``.
    ``old_value`` is the rollout's own V. Four other meanings of the name exist; see docs/algorithms/ppo-clip.md.
    Source: Huang et al. 2022, "The 37 implementation details of PPO", core detail 9, with the factor ½.
    """
    clipped = old_value + jnp.clip(value - old_value, -epsilon, epsilon)
    loss = 0.5 * jnp.square(clipped - target)
    return loss if alone else jnp.maximum(value_loss(value, target), loss)
