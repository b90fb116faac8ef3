"""Networks as pairs of pure functions ``(init, apply)``.

Read ``base`` (the pair, initialisation), ``dense`` (MLP), ``convnets`` and ``convolution`` (for images), ``adapters``
(Flax and Equinox modules).
"""

from proximax.networks import convnets
from proximax.networks.adapters import from_equinox, from_linen, from_nnx
from proximax.networks.base import Network, network_problem
from proximax.networks.convnets import images, impala, nature, patch_cnn, pong_small
from proximax.networks.convolution import Padding, Pair, convolve, pair
from proximax.networks.dense import mlp

__all__ = [
    "Network",
    "Padding",
    "Pair",
    "convnets",
    "convolve",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "images",
    "impala",
    "mlp",
    "nature",
    "network_problem",
    "pair",
    "patch_cnn",
    "pong_small",
]
