"""Networks as pairs of pure functions ``(init, apply)``.

Read ``base`` (the pair, initialisation), ``dense`` (MLP), ``convnets`` and ``convolution`` (for images), ``recurrent``
(with memory) and ``recurrence`` (its loop over time), ``adapters`` (Flax and Equinox modules).
"""

from proximax.networks import convnets
from proximax.networks.adapters import (
    cell_from_equinox,
    cell_from_linen,
    cell_from_nnx,
    from_equinox,
    from_linen,
    from_nnx,
)
from proximax.networks.base import AnyNetwork, Network, RecurrentNetwork, Torso, as_recurrent, network_problem
from proximax.networks.convnets import images, impala, nature, patch_cnn, patch_torso, pong_small
from proximax.networks.convolution import Padding, Pair, convolve, pair
from proximax.networks.dense import mlp, mlp_torso
from proximax.networks.recurrent import CELLS, Cell, recurrent

__all__ = [
    "CELLS",
    "AnyNetwork",
    "Cell",
    "Network",
    "Padding",
    "Pair",
    "RecurrentNetwork",
    "Torso",
    "as_recurrent",
    "cell_from_equinox",
    "cell_from_linen",
    "cell_from_nnx",
    "convnets",
    "convolve",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "images",
    "impala",
    "mlp",
    "mlp_torso",
    "nature",
    "network_problem",
    "pair",
    "patch_cnn",
    "patch_torso",
    "pong_small",
    "recurrent",
]
