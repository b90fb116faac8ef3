"""A convolution that is fast on every platform: matrix products on CPU, XLA's own elsewhere."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from proximax.errors import UsageError

Padding = Literal["SAME", "VALID"]
Pair = tuple[int, int]  # along the height and the width
Three = tuple[jax.Array, jax.Array, jax.Array]
# Floats that a convolution on CPU processes at a time, so that they stay in the caches. The weights' gradient of the
# Nature network's first layer, 256 frames: 50 ms at once, 10 ms in chunks of 8 or 16 frames.
CHUNK_FLOATS = 2**20


def convolve(x: jax.Array, w: jax.Array, b: jax.Array, stride: int | Pair = 1, padding: Padding = "VALID") -> jax.Array:
    """Cross-correlation of images ``[B, H, W, C]`` with a kernel ``[h, w, C, D]``, plus a bias ``[D]``.

    ``y[n, i, j, d] = b[d] + Σ_{u, v, c} x[n, s i + u, s j + v, c] w[u, v, c, d]``. With ``padding="SAME"`` there are
    zeros around the images, for an output of ``⌈H / s⌉`` rows; with ``"VALID"`` none, for ``⌊(H - h) / s⌋ + 1``.

    On CPU by matrix products, a few images at a time; elsewhere by XLA's own convolution. Both agree up to rounding,
    forwards and backwards.
    """
    if min(output_size(x.shape[1:3], w.shape[:2], pair(stride), padding)) < 1:
        raise UsageError(f"a kernel of {w.shape[:2]} pixels does not fit in images of {x.shape[1:3]}")
    return _convolve(pair(stride), padding, x, w, b)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolve(stride: Pair, padding: Padding, x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    cpu, default = partial(_in_chunks, stride, padding), partial(_xla, stride, padding)
    return jax.lax.platform_dependent(x, w, b, cpu=cpu, default=default)


def _convolve_forward(
    stride: Pair, padding: Padding, x: jax.Array, w: jax.Array, b: jax.Array
) -> tuple[jax.Array, Three]:
    return _convolve(stride, padding, x, w, b), (x, w, b)


def _convolve_backward(stride: Pair, padding: Padding, saved: Three, g: jax.Array) -> Three:
    cpu, default = partial(_in_chunks_backward, stride, padding), partial(_xla_backward, stride, padding)
    return jax.lax.platform_dependent(*saved, g, cpu=cpu, default=default)


_convolve.defvjp(_convolve_forward, _convolve_backward)


def _xla(stride: Pair, padding: Padding, x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    y = jax.lax.conv_general_dilated(x, w, stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + b[None, None, None]


def _xla_backward(stride: Pair, padding: Padding, x: jax.Array, w: jax.Array, b: jax.Array, g: jax.Array) -> Three:
    return tuple(jax.vjp(partial(_xla, stride, padding), x, w, b)[1](g))


def pair(x: int | Pair) -> Pair:
    """``x`` for both axes, if it is one number."""
    return (x, x) if isinstance(x, int) else x


def output_size(image: Sequence[int], kernel: Sequence[int], stride: Pair, padding: Padding) -> Pair:
    """Height and width of the output."""
    if padding == "SAME":
        return -(-image[0] // stride[0]), -(-image[1] // stride[1])
    return (image[0] - kernel[0]) // stride[0] + 1, (image[1] - kernel[1]) // stride[1] + 1


def _in_chunks(stride: Pair, padding: Padding, x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    """The convolution, a few images at a time."""
    squares, kernel = partial(_image_squares, stride, padding, w.shape[:2]), _kernel_squares(stride, w)
    whole, rest = _split(x, _chunk(stride, padding, x, w))
    y = jax.lax.map(lambda part: _product(squares(part), kernel), whole)
    y = y.reshape(-1, *y.shape[2:])
    if len(rest):
        y = jnp.concatenate([y, _product(squares(rest), kernel)])
    return y + b[None, None, None]


def _in_chunks_backward(
    stride: Pair, padding: Padding, x: jax.Array, w: jax.Array, b: jax.Array, g: jax.Array
) -> Three:
    """Gradients of x, w and b. The rearranged images are recomputed: keeping them would cost more."""
    squares = partial(_image_squares, stride, padding, w.shape[:2])
    kernel, kernel_vjp = jax.vjp(partial(_kernel_squares, stride), w)

    def add(g_kernel: jax.Array, chunk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        small, image_vjp = jax.vjp(squares, chunk[0])
        g_small, g_kernel_chunk = _product_backward(small, kernel, chunk[1])
        return g_kernel + g_kernel_chunk, image_vjp(g_small)[0]

    size = _chunk(stride, padding, x, w)
    (whole, rest), (g_whole, g_rest) = _split(x, size), _split(g, size)
    g_kernel, g_x = jax.lax.scan(add, jnp.zeros_like(kernel), (whole, g_whole))
    g_x = g_x.reshape(-1, *x.shape[1:])
    if len(rest):
        g_kernel, g_x_rest = add(g_kernel, (rest, g_rest))
        g_x = jnp.concatenate([g_x, g_x_rest])
    return g_x, kernel_vjp(g_kernel)[0], jnp.sum(g, axis=(0, 1, 2))


def _chunk(stride: Pair, padding: Padding, x: jax.Array, w: jax.Array) -> int:
    """The number of images processed at a time: a power of two, as batch sizes usually are."""
    _, height, width, channels = x.shape
    taps = math.prod(-(-k // s) for k, s in zip(w.shape[:2], stride))
    input_size = height * width * channels
    result_size = math.prod(output_size((height, width), w.shape[:2], stride, padding)) * w.shape[3]
    floats = input_size + result_size + taps * min(input_size, result_size)
    return 2 ** int(math.log2(max(1, CHUNK_FLOATS / floats)))


def _split(x: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """``[chunks, size, ...]``, and the remaining images."""
    chunks = len(x) // size
    return x[: chunks * size].reshape(chunks, size, *x.shape[1:]), x[chunks * size :]


def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution at stride one, without padding or bias, as one matrix product.

    Either the pixels under all taps of the kernel are concatenated and multiplied by the whole kernel ("im2col"); or
    each pixel is multiplied by the kernel's weights at every tap, and the products are shifted and summed. The choice
    is the smaller matrix.
    """
    down, across, _, out_channels = kernel.shape
    height, width = x.shape[1] - down + 1, x.shape[2] - across + 1
    if _use_im2col(x, kernel):
        y = _pixels(_neighbours(x, down, across)) @ kernel.reshape(-1, out_channels)
        return y.reshape(-1, height, width, out_channels)
    products = (_pixels(x) @ _at_every_tap(kernel)).reshape(*x.shape[:3], down, across, out_channels)
    shifted = [products[:, i : i + height, j : j + width, i, j] for i, j in np.ndindex(down, across)]
    return sum(shifted[1:], shifted[0])


def _product_backward(x: jax.Array, kernel: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients of x and the kernel, in the same two ways; ``base.affine`` explains the barriers."""
    down, across, in_channels, out_channels = kernel.shape
    if _use_im2col(x, kernel):
        columns = jax.lax.optimization_barrier(_pixels(_neighbours(x, down, across)).T)
        g_kernel = (columns @ _pixels(g)).reshape(kernel.shape)
        g_columns = (_pixels(g) @ kernel.reshape(-1, out_channels).T).reshape(*g.shape[:3], down, across, in_channels)
        shifted = [
            jnp.pad(g_columns[:, :, :, i, j], ((0, 0), (i, down - 1 - i), (j, across - 1 - j), (0, 0)))
            for i, j in np.ndindex(down, across)
        ]
        return sum(shifted[1:], shifted[0]), g_kernel
    # Pixel p meets tap t in output p - t: the outputs that it contributes to are its neighbours, in reverse.
    g = jnp.pad(g, ((0, 0), (down - 1, down - 1), (across - 1, across - 1), (0, 0)))
    outputs = _pixels(_neighbours(g, down, across))
    g_taps = (jax.lax.optimization_barrier(_pixels(x).T) @ outputs).reshape(in_channels, down, across, out_channels)
    g_x = outputs @ _at_every_tap(kernel[::-1, ::-1]).T
    return g_x.reshape(x.shape), jnp.moveaxis(g_taps, 0, 2)[::-1, ::-1]


def _use_im2col(x: jax.Array, kernel: jax.Array) -> bool:
    down, across, in_channels, out_channels = kernel.shape
    pixels = (x.shape[1] - down + 1) * (x.shape[2] - across + 1)
    return pixels * in_channels <= x.shape[1] * x.shape[2] * out_channels


def _pixels(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])


def _at_every_tap(kernel: jax.Array) -> jax.Array:
    """``[down, across, C, D]`` -> ``[C, down * across * D]``."""
    return jnp.moveaxis(kernel, 2, 0).reshape(kernel.shape[2], -1)


def _neighbours(x: jax.Array, down: int, across: int) -> jax.Array:
    """Each pixel with those below and right of it: ``[B, H - down + 1, W - across + 1, down * across * C]``."""
    height, width = x.shape[1] - down + 1, x.shape[2] - across + 1
    x = jnp.concatenate([x[:, :, j : j + width] for j in range(across)], axis=-1)
    return jnp.concatenate([x[:, i : i + height] for i in range(down)], axis=-1)


def _image_squares(stride: Pair, padding: Padding, kernel: Sequence[int], x: jax.Array) -> jax.Array:
    """``[B, H, W, C]`` -> ``[B, H', W', stride * stride * C]``: rectangles of stride pixels become channels.

    Only the pixels that the kernel meets. On the smaller image it has stride one and ⌈k / stride⌉ taps along each axis.
    """
    batch, *image, channels = x.shape
    edges = []
    for n, k, s, size in zip(image, kernel, stride, output_size(image, kernel, stride, padding)):
        before = max(0, (size - 1) * s + k - n) // 2 if padding == "SAME" else 0
        edges.append((before, (size + -(-k // s) - 1) * s - n - before, 0))  # negative at the end: unused pixels
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    down, across = x.shape[1] // stride[0], x.shape[2] // stride[1]
    x = x.reshape(batch, down, stride[0], across, stride[1], channels).swapaxes(2, 3)
    return x.reshape(batch, down, across, -1)


def _kernel_squares(stride: Pair, w: jax.Array) -> jax.Array:
    """``[h, w, C, D]`` -> ``[taps, taps, stride * stride * C, D]``, zero-padded to a multiple of the stride."""
    height, width, in_channels, out_channels = w.shape
    down, across = -(-height // stride[0]), -(-width // stride[1])
    w = jnp.pad(w, ((0, down * stride[0] - height), (0, across * stride[1] - width), (0, 0), (0, 0)))
    w = w.reshape(down, stride[0], across, stride[1], in_channels, out_channels).swapaxes(1, 2)
    return w.reshape(down, across, -1, out_channels)
