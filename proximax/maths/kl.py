"""How far the policy has moved, KL(π_old, π): three estimates from samples, and two rules that adapt to it.

``log_ratio`` is log r = log π(a|s) - log π_old(a|s), of actions drawn by π_old.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def kl_k1(log_ratio: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """k1 = -log r: unbiased for KL(π_old, π) under samples of π_old, high variance, may be negative.

    Source: Schulman 2020, "Approximating KL divergence".
    """
    return -log_ratio


def kl_k2(log_ratio: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """k2 = (log r)² / 2: biased, low variance, never negative. Source: Schulman 2020, "Approximating KL divergence"."""
    return 0.5 * jnp.square(log_ratio)


def kl_k3(log_ratio: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """k3 = r - 1 - log r: unbiased for KL(π_old, π), low variance, never negative.

    Computed as expm1(log r) - log r, exact near r = 1. Source: Schulman 2020, "Approximating KL divergence".
    """
    return jnp.expm1(log_ratio) - log_ratio


def adapt_beta(
    beta: Float[Array, ""],
    kl: Float[Array, ""],
    target: float | Float[Array, ""],
    least: float = 1e-8,
    most: float = 1e8,
) -> Float[Array, ""]:
    """The penalty's next coefficient: 2 β where KL >= 1.5 target, β / 2 where KL <= target / 1.5, else β.

    Held within [``least``, ``most``], so that it never dies at 0 nor reaches infinity.
    Source: Schulman et al. 2017 (arXiv 1707.06347), section 4.
    """
    factor = jnp.where(kl >= 1.5 * target, 2.0, jnp.where(kl <= target / 1.5, 0.5, 1.0))
    return jnp.clip(beta * factor, least, most)


def adapt_learning_rate(
    learning_rate: Float[Array, ""],
    kl: Float[Array, ""],
    target: float | Float[Array, ""],
    least: float | Float[Array, ""] = 1e-6,
    most: float | Float[Array, ""] = 1e-2,
    band: float | Float[Array, ""] = 2.0,
) -> Float[Array, ""]:
    """The next learning rate α: α / 1.5 where KL >= 2 target, 1.5 α where KL <= target / 2, else α; 2: ``band``.

    The reverse of β: too large a KL asks for smaller steps. Not lowered below ``least`` nor raised above
    ``most``.
    Source: Rudin et al. 2022 (arXiv 2109.11978), appendix, "adaptive learning rate based on the KL-divergence".
    """
    factor = jnp.where(kl >= band * target, 1.0 / 1.5, jnp.where(kl <= target / band, 1.5, 1.0))
    floor, ceiling = jnp.minimum(least, learning_rate), jnp.maximum(most, learning_rate)
    return jnp.clip(learning_rate * factor, floor, ceiling)


def adapt_to_kl(
    control: str,
    target: float | Float[Array, ""] | None,
    beta: Float[Array, ""],
    learning_rate: Float[Array, ""],
    kl: Float[Array, ""],
    band: float | Float[Array, ""] | None = None,
    least: float | Float[Array, ""] | None = None,
    most: float | Float[Array, ""] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(β, learning rate) of the next update, from the KL(π_old, π) that this one reached.

    Which of them adapts says ``control``, by its name; with another, or without a target, neither does. Where a number
    of ``adapt_learning_rate`` is None, it has its own.
    Source: as of ``adapt_beta`` and ``adapt_learning_rate``.
    """
    if target is not None and control == "beta":
        beta = adapt_beta(beta, kl, target)
    if target is not None and control == "learning_rate":
        given = {name: x for name, x in (("band", band), ("least", least), ("most", most)) if x is not None}
        learning_rate = adapt_learning_rate(learning_rate, kl, target, **given)
    return beta, learning_rate
