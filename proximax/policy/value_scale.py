"""Normalised values: the network predicts v(s) in units of the returns, and whatever asks for a value gets V(s).

    V(s) = μ + σ v(s),   μ, σ: mean and standard deviation of all value targets so far

μ and σ lie among the policy's parameters, as ``Moments`` under the name ``VALUE_MOMENTS``: so they are saved, resumed,
copied and divided as parameters are. They have no gradient; ``learn_value_scale`` moves them, before the first epoch on
a rollout, whose targets are then within the scale. The last layer is not corrected for that (PopArt, van Hasselt et al.
2016, arXiv 1602.07714): the V(s) of the rollout were made in the scale that v had learned, moments of all targets
move by 1 / updates, and any network will do, whatever its last layer.
Source: Andrychowicz et al. 2021 (arXiv 2006.05990), section 3.3; Yu et al. 2022 (arXiv 2103.01955), section 5.1.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.maths import batch_moments, init_moments, merge_moments, variance
from proximax.types import Moments, Params

VALUE_MOMENTS = "value_moments"


def initial_value_moments() -> Moments:
    """Moments of no targets: V(s) = v(s)."""
    return jax.tree.map(np.asarray, init_moments(()))


def scale_of(moments: Moments) -> tuple[jax.Array, jax.Array]:
    """(μ, σ): mean and sqrt(variance + 1e-8); (0, 1) before anything was seen."""
    return jnp.asarray(moments.mean), jnp.where(moments.count > 0, jnp.sqrt(variance(moments) + 1e-8), 1.0)


def value_of(params: Params, output: jax.Array) -> jax.Array:
    """V(s) of the network's ``output``: μ + σ v, or the output itself where values are not normalised."""
    if VALUE_MOMENTS not in params:
        return output
    mean, std = jax.lax.stop_gradient(scale_of(params[VALUE_MOMENTS]))
    return mean + std * output


def learn_value_scale(
    params: Any,
    value: jax.Array,
    target: jax.Array,
    weight: jax.Array,
    of_all: Callable[[Moments], Moments] = lambda moments: moments,
) -> tuple[Any, jax.Array, jax.Array]:
    """(parameters whose moments have these targets ``[B]`` too, V of the rollout by them ``[B]``, their σ).

    ``value``: V of the rollout by ``params``. The new V of the same outputs, around which a value clip is.
    ``weight``: 0 for a sample that does not count. ``of_all``: the moments of all shards' targets from those of these.
    """
    before = params[VALUE_MOMENTS]
    after = merge_moments(before, of_all(batch_moments(target, (), weight)))
    (old_mean, old_std), (mean, std) = scale_of(before), scale_of(after)
    return {**params, VALUE_MOMENTS: after}, mean + std * ((value - old_mean) / old_std), std
