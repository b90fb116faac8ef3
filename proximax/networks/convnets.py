"""Networks for images: convolutions, a dense layer, and a policy and a value head.

The networks take encoded observations (bytes arrive as numbers from 0 to 1) in any of these forms:

``[B, stack, H, W]``             stacked frames, as emulators give them: they become channels
``[B, H, W, channels]``          one image; assumed unless the first of the three axes is shorter than the last
``[B, stack, H, W, channels]``   frames times channels become channels
``[B, H, W]``                    one grey image
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import Activation
from proximax.errors import UsageError
from proximax.networks.base import (
    ACTIVATIONS,
    HIDDEN_GAIN,
    Network,
    Torso,
    affine,
    apply_heads,
    init_affine,
    init_heads,
    orthogonal,
)
from proximax.networks.convolution import Pair, convolve, output_size, pair
from proximax.types import Key, Params, PyTree


class Layer(NamedTuple):
    """A convolution without padding, followed by the activation."""

    channels: int
    kernel: int | Pair
    stride: int | Pair


def nature(outputs: int, hidden: int = 512) -> Network:
    """The network of Mnih et al. 2015 (Nature 518, Methods) with a policy and a value head, for 84 x 84 images."""
    return plain_cnn(outputs, [Layer(32, 8, 4), Layer(64, 4, 2), Layer(64, 3, 1)], hidden)


def patch_cnn(
    outputs: int,
    k: int | Pair = 3,
    channels: Pair = (16, 32),
    hidden: int = 256,
    activation: Activation = "relu",
) -> Network:
    """A small network for images of any size, fast on CPU: ``patch_torso`` with two heads."""
    return with_heads(outputs, patch_torso(k, channels, hidden, activation))


def patch_torso(
    k: int | Pair = 3, channels: Pair = (16, 32), hidden: int = 256, activation: Activation = "relu"
) -> Torso:
    """A kernel of 2 k pixels at stride k, 4 at stride 2, and a dense layer.

    Both strides are half the kernel, so each convolution is a product with four neighbours.
    """
    rows, columns = pair(k)
    first = Layer(channels[0], (2 * rows, 2 * columns), (rows, columns))
    return conv_torso([first, Layer(channels[1], 4, 2)], hidden, activation)


def pong_small(outputs: int) -> Network:
    """The small network that Pong is often taught with, for two 80 x 80 frames: 1296 features, 256 hidden units."""
    return plain_cnn(outputs, [Layer(4, 6, 2), Layer(16, 6, 4)], 256)


def plain_cnn(outputs: int, layers: Sequence[Layer], hidden: int, activation: Activation = "relu") -> Network:
    """Convolutions in sequence, a dense layer and two heads."""
    return with_heads(outputs, conv_torso(layers, hidden, activation))


def with_heads(outputs: int, torso: Torso) -> Network:
    """A torso that actor and critic share, with a policy and a value head."""

    def init(key: Key, obs: PyTree) -> Params:
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))  # NumPy: see ``dense.mlp``
        params, width = torso.init(rng, obs)
        return params | init_heads(rng, width, outputs)

    def apply(params: Params, obs: PyTree) -> tuple[jax.Array, jax.Array]:
        features = torso.apply(params, obs)
        return apply_heads(params, features, features)

    return Network(init, apply)


def conv_torso(layers: Sequence[Layer], hidden: int, activation: Activation = "relu") -> Torso:
    """Convolutions in sequence and a dense layer."""

    def init(rng: np.random.Generator, obs: PyTree) -> tuple[Params, int]:
        _, height, width, channels = images(obs).shape
        minimum = [_smallest_image([(pair(x.kernel)[i], pair(x.stride)[i]) for x in layers]) for i in (0, 1)]
        if height < minimum[0] or width < minimum[1]:
            raise UsageError(
                f"observations of shape {np.shape(obs)[1:]} are images of {height} x {width} pixels: too small for "
                f"the convolutions of this network, which need at least {minimum[0]} x {minimum[1]}; use "
                "larger images, a network with smaller kernels or strides, or proximax.mlp"
            )
        convolutions = []
        for layer in layers:
            convolutions.append(_kernel(rng, pair(layer.kernel), channels, layer.channels))
            height, width = output_size((height, width), pair(layer.kernel), pair(layer.stride), "VALID")
            channels = layer.channels
        dense = init_affine(rng, height * width * channels, hidden, HIDDEN_GAIN)
        return {"convolutions": convolutions, "dense": dense}, hidden

    def apply(params: Params, obs: PyTree) -> jax.Array:
        x = images(obs)
        for layer, weights in zip(layers, params["convolutions"], strict=True):
            x = ACTIVATIONS[activation](convolve(x, weights["w"], weights["b"], layer.stride))
        return ACTIVATIONS[activation](affine(x.reshape(len(x), -1), **params["dense"]))

    return Torso(init, apply, of_images=True)


def impala(outputs: int, channels: Sequence[int] = (16, 32, 32), hidden: int = 256) -> Network:
    """The residual network of Espeholt et al. 2018 (arXiv 1802.01561, figure 3, without the LSTM).

    For each number of channels: convolution, pooling to half the size, two residual blocks of two convolutions each.
    """

    def init(rng: np.random.Generator, obs: PyTree) -> tuple[Params, int]:
        _, height, width, in_channels = images(obs).shape
        stages = []
        for out_channels in channels:
            convolutions = [_kernel(rng, (3, 3), n, out_channels) for n in (in_channels, *(4 * [out_channels]))]
            stages.append({"first": convolutions[0], "residual": [convolutions[1:3], convolutions[3:]]})
            height, width, in_channels = -(-height // 2), -(-width // 2), out_channels
        return {"stages": stages, "dense": init_affine(rng, height * width * in_channels, hidden, HIDDEN_GAIN)}, hidden

    def apply(params: Params, obs: PyTree) -> jax.Array:
        x = images(obs)
        for stage in params["stages"]:
            x = _pool(convolve(x, **stage["first"], padding="SAME"))
            for conv1, conv2 in stage["residual"]:
                y = convolve(jax.nn.relu(x), **conv1, padding="SAME")
                x = x + convolve(jax.nn.relu(y), **conv2, padding="SAME")
        return jax.nn.relu(affine(jax.nn.relu(x).reshape(len(x), -1), **params["dense"]))

    return with_heads(outputs, Torso(init, apply, of_images=True))


def images(obs: PyTree) -> jax.Array:
    """Observations of any form listed at the top of this module, as ``[B, H, W, C]``."""
    if not hasattr(obs, "shape") or not 3 <= len(obs.shape) <= 5 or 0 in obs.shape[1:]:
        shapes = [x.shape[1:] for x in jax.tree.leaves(obs)]
        raise UsageError(
            f"a convolutional network takes one image of 2, 3 or 4 axes, not observations of shape {shapes}; "
            "use proximax.mlp, or a custom network for a nested space"
        )
    if obs.ndim == 3:
        return obs[..., None]
    if obs.ndim == 5:
        frames_last = jnp.moveaxis(obs, 1, 3)
        return frames_last.reshape(*frames_last.shape[:3], -1)
    return jnp.moveaxis(obs, 1, 3) if obs.shape[1] < obs.shape[3] else obs


def _smallest_image(layers: Sequence[Pair]) -> int:
    """The smallest image size of which these kernels and strides leave one pixel."""
    pixels = 1
    for kernel, stride in reversed(layers):
        pixels = (pixels - 1) * stride + kernel
    return pixels


def _kernel(rng: np.random.Generator, size: Pair, in_channels: int, out_channels: int) -> PyTree:
    w = orthogonal(rng, math.prod(size) * in_channels, out_channels, HIDDEN_GAIN)
    return {"w": w.reshape(*size, in_channels, out_channels), "b": np.zeros(out_channels, np.float32)}


def _pool(x: jax.Array) -> jax.Array:
    """Max pooling of 3 x 3 pixels at stride 2, padded with -∞: ``[B, ⌈H / 2⌉, ⌈W / 2⌉, C]``.

    Computed as maxima of shifted images: the gradient of XLA's own pooling is slow on CPU.
    """
    for axis in (1, 2):
        size = -(-x.shape[axis] // 2)
        added = 2 * size + 1 - x.shape[axis]
        padding = [(added // 2, added - added // 2) if i == axis else (0, 0) for i in range(4)]
        padded = jnp.pad(x, padding, constant_values=-jnp.inf)
        shifted = [jax.lax.slice_in_dim(padded, i, i + 2 * size - 1, 2, axis) for i in range(3)]
        x = jnp.maximum(jnp.maximum(shifted[0], shifted[1]), shifted[2])
    return x
