"""The mathematics of PPO as pure functions: jit, vmap and grad work on all of them."""

from proximax.maths.advantages import gae, returns_to_go, standardise
from proximax.maths.distributions import Categorical, Distribution, Gaussian
from proximax.maths.objectives import (
    adapt_beta,
    clip_objective,
    clipped_value_loss,
    kl_k1,
    kl_k2,
    kl_k3,
    penalty_objective,
    reinforce_objective,
    surrogate_objective,
    value_loss,
)
from proximax.maths.running import (
    batch_moments,
    init_moments,
    merge_moments,
    normalise,
    scale_reward,
    update_moments,
    variance,
)
from proximax.types import Moments

__all__ = [
    "Categorical",
    "Distribution",
    "Gaussian",
    "Moments",
    "adapt_beta",
    "batch_moments",
    "clip_objective",
    "clipped_value_loss",
    "gae",
    "init_moments",
    "kl_k1",
    "kl_k2",
    "kl_k3",
    "merge_moments",
    "normalise",
    "penalty_objective",
    "reinforce_objective",
    "returns_to_go",
    "scale_reward",
    "standardise",
    "surrogate_objective",
    "update_moments",
    "value_loss",
    "variance",
]
