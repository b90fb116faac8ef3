"""The mathematics of PPO as pure functions: jit, vmap and grad work on all of them."""

from proximax.maths.advantages import gae, returns_to_go, standardise, standardise_by, total_returns
from proximax.maths.bins import bin_centre, nearest_bin, ordinal_logits
from proximax.maths.clip_variants import outside_band, simple_clip_objective, spo_objective, wide_clip_objective
from proximax.maths.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Gaussian,
    Joint,
    MultiCategorical,
    SquashedGaussian,
)
from proximax.maths.kl import adapt_beta, adapt_learning_rate, adapt_to_kl, kl_k1, kl_k2, kl_k3
from proximax.maths.objectives import (
    clip_objective,
    clipped_value_loss,
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
from proximax.maths.shuffling import minibatches, permutation
from proximax.maths.trust_region import (
    conjugate_gradient,
    fisher_vector_product,
    line_search,
    natural_gradient_step,
)
from proximax.types import Moments

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Distribution",
    "Gaussian",
    "Joint",
    "Moments",
    "MultiCategorical",
    "SquashedGaussian",
    "adapt_beta",
    "adapt_learning_rate",
    "adapt_to_kl",
    "batch_moments",
    "bin_centre",
    "clip_objective",
    "clipped_value_loss",
    "conjugate_gradient",
    "fisher_vector_product",
    "gae",
    "init_moments",
    "kl_k1",
    "kl_k2",
    "kl_k3",
    "line_search",
    "merge_moments",
    "minibatches",
    "natural_gradient_step",
    "nearest_bin",
    "normalise",
    "ordinal_logits",
    "outside_band",
    "penalty_objective",
    "permutation",
    "reinforce_objective",
    "returns_to_go",
    "scale_reward",
    "simple_clip_objective",
    "spo_objective",
    "standardise",
    "standardise_by",
    "surrogate_objective",
    "total_returns",
    "update_moments",
    "value_loss",
    "variance",
    "wide_clip_objective",
]
