"""What others put in the place of the clipped objective. Elementwise and maximised, as all of ``objectives``."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from proximax.maths.objectives import clip_objective


def simple_clip_objective(
    log_ratio: Float[Array, "*B"], advantage: Float[Array, "*B"], epsilon: float | Float[Array, ""]
) -> Float[Array, "*B"]:
    """min(r A, g(ε, A)), g = (1 + ε) A for A >= 0 and (1 - ε) A for A < 0: equal to ``clip_objective``, easier to read.

    A good action's gain has a ceiling, a bad one's loss has none. For reading and checking: unlike
    ``clip_objective`` it may be NaN where r overflows.
    Source: Achiam 2018, "Spinning Up in Deep RL", PPO.
    """
    bound = jnp.where(advantage >= 0, 1.0 + epsilon, 1.0 - epsilon) * advantage
    return jnp.minimum(jnp.exp(log_ratio) * advantage, bound)


def wide_clip_objective(
    log_ratio: Float[Array, "*B"],
    advantage: Float[Array, "*B"],
    epsilon: float | Float[Array, ""],
    epsilon_high: float | Float[Array, ""] | None = None,
    dual_clip: float | Float[Array, ""] | None = None,
) -> Float[Array, "*B"]:
    """min(r A, clip(r, 1 - ε, 1 + ε_high) A), and for A < 0 at least c A.

    Without ``epsilon_high`` it is ε. With more than ε ("clip-higher") rare good actions may become more probable before
    they are held, and entropy lasts longer. With ``dual_clip``, c > 1, a bad action that became c times as probable has
    no gradient any more: with data from old policies r is without bound, and so would be the loss.
    Source: Yu et al. 2025 (arXiv 2503.14476, DAPO), section 3.1; Ye et al. 2020 (arXiv 1912.09729), dual-clip PPO.
    """
    if epsilon_high is None and dual_clip is None:
        return clip_objective(log_ratio, advantage, epsilon)
    # As there: held before exp, and by ``where``.
    good = advantage >= 0
    most = jnp.log1p(epsilon if epsilon_high is None else epsilon_high)
    most = jnp.where(good, most, jnp.inf if dual_clip is None else jnp.log(dual_clip))
    ratio = jnp.exp(jnp.where(log_ratio > most, most, log_ratio))
    return jnp.where(~good & (ratio < 1.0 - epsilon), 1.0 - epsilon, ratio) * advantage


def spo_objective(
    log_ratio: Float[Array, "*B"], advantage: Float[Array, "*B"], epsilon: float | Float[Array, ""]
) -> Float[Array, "*B"]:
    """r A - |A| / (2 ε) (r - 1)²: largest at r = 1 + ε for A > 0, at 1 - ε for A < 0, and drawn back from beyond.

    Where the clip has no gradient any more, a ratio outside the band has one that returns it.
    Source: Xie et al. 2024 (arXiv 2401.16025), simple policy optimisation (SPO).
    """
    ratio = jnp.exp(log_ratio)
    return ratio * advantage - jnp.abs(advantage) / (2.0 * epsilon) * jnp.square(ratio - 1.0)


def outside_band(
    ratio: Float[Array, "*B"],
    epsilon: float | Float[Array, ""],
    epsilon_high: float | Float[Array, ""] | None = None,
) -> Bool[Array, "*B"]:
    """Whether r is below 1 - ε or above 1 + ε_high, of which the clip fraction is the mean; None: as ε.

    Source: Huang et al. 2022, "The 37 implementation details of PPO", debug variables.
    """
    if epsilon_high is None:
        return jnp.abs(ratio - 1.0) > epsilon
    return (1.0 - ratio > epsilon) | (ratio - 1.0 > epsilon_high)
