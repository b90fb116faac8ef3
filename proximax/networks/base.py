"""Parts of every network: the pair of functions, activations, initialisation, an affine layer."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import jax
import numpy as np

from proximax.config import Activation, NetworkName, choice_problem, shown
from proximax.types import Array, Key, Params, PyTree

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

    ``init(key, obs)`` creates parameters from a key and an example batch ``[1, *obs_shape]`` of encoded observations.
    ``apply(params, obs)`` maps ``[B, *obs_shape]`` to the policy's outputs ``[B, outputs]`` (logits for Discrete
    actions, means for Box actions; see ``policy.actions``) and the values ``[B]``. For a nested observation
    space ``obs`` is a tree of such arrays.
    """

    init: Callable[[Key, PyTree], Params]  # (key, observations ``[1, ...]``) -> parameters
    # (parameters, observations ``[B, ...]``) -> (policy outputs ``[B, outputs]``, values ``[B]``)
    apply: Callable[[Params, PyTree], tuple[jax.Array, jax.Array]]


class RecurrentNetwork(NamedTuple):
    """Actor and critic with memory.

    ``init(key, obs)`` as of a ``Network``. ``apply(params, carry, obs, first)`` is one step of a batch ``[B, ...]`` of
    encoded observations: (policy outputs ``[B, outputs]``, values ``[B]``, the next carry). ``unroll`` is the same for
    ``[T, B, ...]``: (outputs ``[T, B, outputs]``, values ``[T, B]``, carries after each step ``[T, B, ...]``).
    """

    init: Callable[[Key, PyTree], Params]
    initial_carry: Callable[[int], PyTree]
    apply: Callable[[Params, PyTree, PyTree, Array], tuple[jax.Array, jax.Array, PyTree]]
    unroll: Callable[[Params, PyTree, PyTree, Array], tuple[jax.Array, jax.Array, PyTree]] | None


AnyNetwork = Network | RecurrentNetwork


def as_recurrent(network: AnyNetwork) -> RecurrentNetwork:
    """A network without memory in the form of one with memory: its carry is (), and it has no ``unroll``."""
    if isinstance(network, RecurrentNetwork):
        return network

    def apply(params: Params, carry: PyTree, obs: PyTree, first: Array) -> tuple[jax.Array, jax.Array, PyTree]:
        return *network.apply(params, obs), carry

    return RecurrentNetwork(network.init, lambda batch: (), apply, None)


class Torso(NamedTuple):
    """From observations to features ``[B, width]``; ``init(rng, obs)`` gives (parameters, width)."""

    init: Callable[[np.random.Generator, PyTree], tuple[Params, int]]
    apply: Callable[[Params, PyTree], jax.Array]
    of_images: bool = False


# Modules of other libraries, by the module of a base class, and how they become a ``Network``.
ADAPTERS = {
    "flax.linen": "proximax.from_linen(module)",
    "flax.nnx": "proximax.from_nnx(make), where make(rngs) creates the module",
    "equinox": "proximax.from_equinox(make), where make(key) creates the module",
    "torch": "none for PyTorch: write it in JAX, as proximax.Network(init, apply)",
}


def network_problem(network: Any, names: bool = True) -> str:
    """What is wrong with the argument ``network``; "" if nothing is. ``names``: it may name a built-in one."""
    if isinstance(network, AnyNetwork):
        wrong = [field for field, part in network._asdict().items() if not callable(part)]
        return f"network: its {wrong[0]} is {shown(getattr(network, wrong[0]))}, not a function" if wrong else ""
    if network is None:
        return ""
    if isinstance(network, str) and names:
        return choice_problem("network", network, NetworkName)
    modules = [base.__module__ for base in (network if isinstance(network, type) else type(network)).__mro__]
    adapters = [call for name, call in ADAPTERS.items() if any(module.startswith(name) for module in modules)]
    remedy = f". The adapter is {adapters[0]}" if adapters else ""
    named = f", a name ({', '.join(get_args(NetworkName))})" if names else ""
    return f"network = {shown(network)}: must be a proximax.Network{named} or None{remedy}"


def orthogonal(rng: np.random.Generator, rows: int, columns: int, gain: float) -> np.ndarray:
    """A ``[rows, columns]`` matrix with orthonormal rows or columns (the fewer), times ``gain``.

    Source: Saxe, McClelland & Ganguli 2014 (arXiv 1312.6120), by QR of a Gaussian matrix.
    """
    tall, wide = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(rng.standard_normal((tall, wide)))
    q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
    return np.asarray(gain * (q if rows >= columns else q.T), np.float32)


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


def normalise_layer(x: jax.Array, scale: jax.Array, offset: jax.Array) -> jax.Array:
    """Each row of ``x`` ``[B, width]`` to mean 0 and variance 1, times ``scale``, plus ``offset``.

    Source: Ba, Kiros & Hinton 2016 (arXiv 1607.06450).
    """
    centred = x - jax.numpy.mean(x, axis=-1, keepdims=True)
    variance = jax.numpy.mean(jax.numpy.square(centred), axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * scale[None] + offset[None]


def init_affine(rng: np.random.Generator, rows: int, columns: int, gain: float) -> Params:
    """Parameters of ``affine``: an orthogonal matrix ``w``, and ``b`` 0."""
    return {"w": orthogonal(rng, rows, columns, gain), "b": np.zeros(columns, np.float32)}


def init_heads(rng: np.random.Generator, width: int, outputs: int) -> dict[str, Params]:
    """Parameters of the policy head and the value head, from features of this width."""
    return {
        "policy_head": init_affine(rng, width, outputs, POLICY_GAIN),
        "value_head": init_affine(rng, width, 1, VALUE_GAIN),
    }


def apply_heads(params: Params, actor: jax.Array, critic: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(policy outputs ``[B, outputs]``, values ``[B]``) from the features ``[B, width]`` of actor and critic."""
    return affine(actor, **params["policy_head"]), affine(critic, **params["value_head"])[:, 0]
