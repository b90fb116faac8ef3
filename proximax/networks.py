"""A network is a pair of pure functions. The built-in one is a multilayer perceptron with orthogonal weights."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import numpy as np

from proximax.config import Activation
from proximax.types import Key, Params, PyTree

ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "tanh": jax.numpy.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
}
# Gains of the orthogonal init: hidden layers, policy head, value head (Huang et al. 2022, core detail 2).
HIDDEN_GAIN, POLICY_GAIN, VALUE_GAIN = math.sqrt(2.0), 0.01, 1.0


class Network(NamedTuple):
    """Actor and critic as a pair of functions.

    ``init(key, obs)`` makes parameters from a key and an example batch ``[1, *obs_shape]`` of encoded observations.
    ``apply(params, obs)`` maps ``[B, *obs_shape]`` to the policy's outputs ``[B, outputs]`` (logits for Discrete
    actions, means for Box actions; ``proximax.actions`` has them all) and the values ``[B]``. For a nested observation
    space ``obs`` is a tree of such arrays.
    """

    init: Callable[[Key, PyTree], Params]
    apply: Callable[[Params, PyTree], tuple[jax.Array, jax.Array]]


def mlp(
    outputs: int,
    hidden: Sequence[int] = (64, 64),
    activation: Activation = "tanh",
    shared_torso: bool = False,
    branch_torsos: bool = False,
) -> Network:
    """Perceptron on flattened observations: separate actor and critic, or one torso with two heads.

    A nested observation is flattened to one vector, or with ``branch_torsos`` every leaf gets a torso of its own, whose
    features are put side by side.
    """

    def init(key: Key, obs: PyTree) -> Params:
        # NumPy: QR under vmap can deadlock XLA's CPU thread pool, and eager QR compiles for each shape.
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        widths = [x.shape[-1] for x in _branches(obs, branch_torsos)]
        actor = [_dense_layers(rng, [width, *hidden]) for width in widths]
        critic = [] if shared_torso else [_dense_layers(rng, [width, *hidden]) for width in widths]
        features = hidden[-1] * len(widths)
        return {
            "actor": actor,
            "critic": critic,
            "policy_head": _dense(rng, features, outputs, POLICY_GAIN),
            "value_head": _dense(rng, features, 1, VALUE_GAIN),
        }

    def apply(params: Params, obs: PyTree) -> tuple[jax.Array, jax.Array]:
        branches = _branches(obs, branch_torsos)
        features = _features(params["actor"], branches, activation)
        critic_features = features if shared_torso else _features(params["critic"], branches, activation)
        return _affine(params["policy_head"], features), _affine(params["value_head"], critic_features)[:, 0]

    return Network(init, apply)


def _branches(obs: PyTree, apart: bool) -> list[jax.Array]:
    """The leaves as vectors ``[B, width]``, each by itself or all in one."""
    flat = [x.reshape(x.shape[0], -1) for x in jax.tree.leaves(obs)]
    return flat if apart or len(flat) == 1 else [jax.numpy.concatenate(flat, axis=-1)]


def _features(torsos: PyTree, branches: list[jax.Array], activation: Activation) -> jax.Array:
    each = [_torso(layers, x, activation) for layers, x in zip(torsos, branches, strict=True)]
    return each[0] if len(each) == 1 else jax.numpy.concatenate(each, axis=-1)


def orthogonal(rng: np.random.Generator, rows: int, columns: int, gain: float) -> np.ndarray:
    """A ``[rows, columns]`` matrix with orthonormal rows or columns (the fewer), times ``gain``.

    Source: Saxe, McClelland & Ganguli 2014 (arXiv 1312.6120), by QR of a Gaussian matrix.
    """
    tall, wide = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(rng.standard_normal((tall, wide)))
    q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
    return np.asarray(gain * (q if rows >= columns else q.T), np.float32)


def _dense(rng: np.random.Generator, rows: int, columns: int, gain: float) -> PyTree:
    return {"w": orthogonal(rng, rows, columns, gain), "b": np.zeros(columns, np.float32)}


def _dense_layers(rng: np.random.Generator, sizes: Sequence[int]) -> PyTree:
    return [_dense(rng, rows, columns, HIDDEN_GAIN) for rows, columns in pairwise(sizes)]


def _affine(layer: PyTree, x: jax.Array) -> jax.Array:
    return affine(x, layer["w"], layer["b"])


@jax.custom_vjp
def affine(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    """``x @ w + b`` for ``x`` ``[B, rows]``, with a backward pass that is fast on CPU.

    The gradient xᵀ g contracts the first axis of both, for which XLA's CPU backend leaves its fast kernel: 14 us for
    ``[128, 64]`` twice, against 7 us with xᵀ written out first. The barrier keeps XLA from undoing that.
    """
    return x @ w + b[None]


def _affine_forward(x: jax.Array, w: jax.Array, b: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return affine(x, w, b), (x, w)


def _affine_backward(saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, w = saved
    weights = jax.lax.platform_dependent(
        x, g, cpu=lambda x, g: jax.lax.optimization_barrier(x.T) @ g, default=lambda x, g: x.T @ g
    )
    return g @ w.T, weights, jax.numpy.sum(g, axis=0)


affine.defvjp(_affine_forward, _affine_backward)


def _torso(layers: PyTree, x: jax.Array, activation: Activation) -> jax.Array:
    for layer in layers:
        x = ACTIVATIONS[activation](_affine(layer, x))
    return x
