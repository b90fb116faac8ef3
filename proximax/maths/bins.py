"""Continuous actions in K bins: from their numbers to [-1, 1] and back, and logits that know the bins' order."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def bin_centre(index: Int[Array, "..."], bins: int) -> Float[Array, "..."]:
    """Where bin i of 0, ..., K - 1 lies: -1 + 2 i / (K - 1); the first and the last one at the bounds.

    Source: Tang & Agrawal 2020 (arXiv 1901.10500), section 4.
    """
    return index.astype(jnp.float32) * (2.0 / (bins - 1)) - 1.0


def nearest_bin(unit: Float[Array, "..."], bins: int) -> Int[Array, "..."]:
    """The bin whose centre is nearest to a number, which need not lie within [-1, 1]: the inverse of ``bin_centre``.

    Source: as of ``bin_centre``.
    """
    return jnp.round((jnp.clip(unit, -1.0, 1.0) + 1.0) * ((bins - 1) / 2.0)).astype(jnp.int32)


def ordinal_logits(output: Float[Array, "*B n"], bins: int) -> Float[Array, "*B n"]:
    """Logits of bins that know their order, of K outputs s for each dimension: Σ_{j <= i} s_j.

    Bin i asks for "beyond bin j" at every j <= i and denies it at every other,

        Σ_{j <= i} log σ(s_j) + Σ_{j > i} log(1 - σ(s_j)),

    so that near bins are alike. With log σ(s) - log(1 - σ(s)) = s this is the sum above and a number that is the same
    for all bins, which softmax ignores.
    Source: Tang & Agrawal 2020 (arXiv 1901.10500), section 4.2.
    """
    of_dimension = output.reshape((*output.shape[:-1], -1, bins))
    return jax.lax.cumsum(of_dimension, axis=of_dimension.ndim - 1).reshape(output.shape)
