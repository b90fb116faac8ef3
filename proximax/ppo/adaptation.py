"""What adapts from update to update by the KL that the last one reached: the penalty's β, or the learning rate."""

import jax

from proximax import maths
from proximax.config import PPOConfig
from proximax.types import Metrics


def adapt_after_update(
    config: PPOConfig, beta: jax.Array, learning_rate: jax.Array, metrics: Metrics
) -> tuple[jax.Array, ...]:
    """(β, learning rate) of the next update, from the KL(π_old, π) that this one reached."""
    if config.target_kl is not None and config.kl_control == "beta":
        beta = maths.adapt_beta(beta, metrics["kl"], config.target_kl)
    if config.target_kl is not None and config.kl_control == "learning_rate":
        learning_rate = maths.adapt_learning_rate(learning_rate, metrics["kl"], config.target_kl)
    return beta, learning_rate
