"""Multilayer perceptrons (MLPs) with orthogonal weights."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from proximax.config import COUNT, Activation, bool_problem, choice_problem, range_problem, refuse, shown
from proximax.networks.base import (
    ACTIVATIONS,
    HIDDEN_GAIN,
    Network,
    Torso,
    affine,
    apply_heads,
    init_affine,
    init_heads,
    normalise_layer,
)
from proximax.types import Key, Params, PyTree


def mlp(
    outputs: int,
    hidden: Sequence[int] = (64, 64),
    activation: Activation = "tanh",
    shared_torso: bool = False,
    branch_torsos: bool = False,
    layer_norm: bool = False,
) -> Network:
    """An MLP on flattened observations: separate actor and critic, or one torso with two heads.

    A nested observation is flattened to one vector; with ``branch_torsos`` every leaf has its own torso, and their
    features are concatenated. With ``layer_norm`` there is one before each activation.
    """
    flags = {"shared_torso": shared_torso, "branch_torsos": branch_torsos, "layer_norm": layer_norm}
    check_mlp(outputs, hidden, activation, flags)

    def init(key: Key, obs: PyTree) -> Params:
        # NumPy: QR under vmap can deadlock XLA's CPU thread pool, and eager QR compiles for each shape.
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        widths = [x.shape[-1] for x in _branches(obs, branch_torsos)]
        actor = [_dense_layers(rng, [width, *hidden], layer_norm) for width in widths]
        critic = [] if shared_torso else [_dense_layers(rng, [width, *hidden], layer_norm) for width in widths]
        features = hidden[-1] * len(widths)
        return {"actor": actor, "critic": critic, **init_heads(rng, features, outputs)}

    def apply(params: Params, obs: PyTree) -> tuple[jax.Array, jax.Array]:
        branches = _branches(obs, branch_torsos)
        features = _features(params["actor"], branches, activation)
        critic_features = features if shared_torso else _features(params["critic"], branches, activation)
        return apply_heads(params, features, critic_features)

    return Network(init, apply)


def mlp_torso(hidden: Sequence[int], activation: Activation, layer_norm: bool = False) -> Torso:
    """The hidden layers of an MLP on flattened observations; ``layer_norm`` as of ``mlp``."""

    def init(rng: np.random.Generator, obs: PyTree) -> tuple[Params, int]:
        (x,) = _branches(obs, separate=False)
        return _dense_layers(rng, [x.shape[-1], *hidden], layer_norm), hidden[-1]

    def apply(params: Params, obs: PyTree) -> jax.Array:
        return _torso(params, _branches(obs, separate=False)[0], activation)

    return Torso(init, apply)


def check_mlp(outputs: Any, hidden: Any, activation: Any, flags: dict[str, Any]) -> None:
    """Refuse arguments that are none of ``mlp``."""
    sizes = isinstance(hidden, Sequence) and not isinstance(hidden, str) and all(map(COUNT.allows, hidden))
    refuse(
        [
            range_problem("outputs", outputs, COUNT),
            "" if sizes and len(hidden) else f"hidden = {shown(hidden)}: give one or more layer sizes of at least 1",
            choice_problem("activation", activation, Activation),
            *(bool_problem(name, flag) for name, flag in flags.items()),
        ]
    )


def _branches(obs: PyTree, separate: bool) -> list[jax.Array]:
    """The leaves as vectors ``[B, width]``, separate or concatenated."""
    flat = [x.reshape(x.shape[0], -1) for x in jax.tree.leaves(obs)]
    return flat if separate or len(flat) == 1 else [jax.numpy.concatenate(flat, axis=-1)]


def _features(torsos: PyTree, branches: list[jax.Array], activation: Activation) -> jax.Array:
    features = [_torso(layers, x, activation) for layers, x in zip(torsos, branches, strict=True)]
    return features[0] if len(features) == 1 else jax.numpy.concatenate(features, axis=-1)


def _dense_layers(rng: np.random.Generator, sizes: Sequence[int], layer_norm: bool) -> PyTree:
    layers = [init_affine(rng, rows, columns, HIDDEN_GAIN) for rows, columns in pairwise(sizes)]
    if layer_norm:
        for layer, width in zip(layers, sizes[1:]):
            layer |= {"scale": np.ones(width, np.float32), "offset": np.zeros(width, np.float32)}
    return layers


def _torso(layers: PyTree, x: jax.Array, activation: Activation) -> jax.Array:
    for layer in layers:
        x = affine(x, layer["w"], layer["b"])
        if "scale" in layer:
            x = normalise_layer(x, layer["scale"], layer["offset"])
        x = ACTIVATIONS[activation](x)
    return x
