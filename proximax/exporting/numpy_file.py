"""A policy as NumPy arrays in one file, for where neither JAX nor ONNX is; ``numpy_policy`` reads it.

MLPs, and gru, lstm and mingru on top of one, of one observation and one action (with masks or without). The arrays:

    mean, std, clip            features are clip((x - mean) / std, ±clip); x: the flattened observation, or one-hot
    w0, b0, w1, ...            layers of the torso
    input_w0, input_b0         gates of the first cell, from its input; memory_w0, memory_b0: from its memory
    head_w, head_b             outputs: logits, means, or α and β
    start                      the first choice of each component
    bounded, half, centre, floor, ceiling   of a Box: how units with bounds ±1 become actions
    about                      JSON: what the arrays are of
"""

import io
import json
from typing import Any

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.maths import normalise
from proximax.networks import CELLS
from proximax.policy import (
    BINNED,
    OBS_CLIP,
    PIXEL_VARIANCE,
    Agent,
    action_bounds,
    is_image,
    is_mlp,
    network_input_space,
)
from proximax.spaces import Space, branches, choices_per_component, has_mask
from proximax.types import Moments


def numpy_arrays(agent: Agent, about: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a file; ``about``: plain JSON values to keep in it. Raises ``UsageError`` for other policies."""
    settings = agent.policy.settings
    space = network_input_space(agent.observation_space)
    check_portable(agent, space)
    assert settings is not None
    config, params = settings.config, agent.params["network"]
    cell = settings.network if settings.network in CELLS else None
    trunk = params["both" if "both" in params else "actor"] if cell else {"torso": params["actor"][0], "cells": []}
    arrays = {**feature_arrays(agent, space), **action_arrays(agent.action_space)}
    for i, layer in enumerate(trunk["torso"]):
        arrays |= {f"w{i}": layer["w"], f"b{i}": layer["b"]}
    for i, weights in enumerate(trunk["cells"]):
        for name, part in ({"input": weights} if cell == "mingru" else weights).items():
            arrays |= {f"{name}_w{i}": part["w"], f"{name}_b{i}": part["b"]}
    head = params["policy_head"]
    is_mean = config.state_dependent_std and config.box_distribution != "beta"
    outputs = head["b"].size // (2 if is_mean and isinstance(agent.action_space, spaces.Box) else 1)
    arrays |= {"head_w": head["w"][:, :outputs], "head_b": head["b"][:outputs]}
    described = about | {
        "obs_axes": len(space.shape or ()),
        "one_hot": one_hot(space),
        "layers": len(trunk["torso"]),
        "activation": config.activation,
        "cell": cell,
        "units": [config.recurrent_units] * len(trunk["cells"]),
        **action_facts(agent.action_space, config.box_distribution),
    }
    text = json.dumps(described, allow_nan=False)
    return {name: np.asarray(x, order="C") for name, x in arrays.items()} | {"about": np.array(text)}


def check_portable(agent: Agent, space: Space) -> None:
    """Refuse what the reader has no lines for."""
    settings = agent.policy.settings
    problem = ""
    if settings is None or settings.network is None:
        problem = "a custom network"
    elif branches(space) is not None or branches(agent.action_space) is not None:
        problem = f"the nested space {space if branches(space) is not None else agent.action_space}"
    elif not (is_mlp(settings.network, space) or settings.network in CELLS) or _is_picture(space):
        problem = "images"
    elif settings.config.layer_norm:
        problem = "layer norm"
    elif isinstance(agent.action_space, spaces.Box) and settings.config.box_distribution in BINNED:
        problem = "actions in bins"
    elif isinstance(agent.action_space, spaces.MultiBinary) and has_mask(agent.observation_space):
        problem = "masks of a MultiBinary"
    if problem:
        raise UsageError(
            f"format = npz takes MLPs and recurrent networks of one observation and one action; this policy has "
            f"{problem}. Export it as ONNX"
        )


def _is_picture(space: Space) -> bool:
    return is_image(space) and len(space.shape or ()) >= 2


def one_hot(space: Space) -> list[list[int]]:
    """(first value, number of values) of each component that is encoded one-hot."""
    if isinstance(space, spaces.Discrete):
        return [[int(space.start), int(space.n)]]
    if isinstance(space, spaces.MultiDiscrete):
        return [[int(s), int(n)] for s, n in zip(space.start.ravel(), space.nvec.ravel())]
    return []


def feature_arrays(agent: Agent, space: Space) -> dict[str, Any]:
    """How observations become features."""
    moments: Any = agent.obs_moments
    if isinstance(moments, dict):
        (moments,) = (x for x in moments.values() if x is not None)
    unit = np.float32(255.0 if is_image(space) else 1.0)
    if moments is None:
        return {"mean": np.float32(0.0), "std": unit, "clip": np.float32(np.inf)}
    around_0 = Moments(moments.count, jnp.zeros_like(moments.mean), moments.m2)
    least = [PIXEL_VARIANCE] if is_image(space) else []
    std = 1.0 / np.asarray(normalise(around_0, jnp.ones_like(moments.mean), *least))
    mean = np.asarray(moments.mean, np.float32)
    return {"mean": mean.reshape(-1) * unit, "std": std.reshape(-1) * unit, "clip": np.float32(OBS_CLIP)}


def action_arrays(space: Space) -> dict[str, Any]:
    """How outputs become actions."""
    if isinstance(space, spaces.Box):
        return dict(
            zip(("bounded", "centre", "half", "floor", "ceiling"), (x.reshape(-1) for x in action_bounds(space)))
        )
    return {"start": np.reshape(getattr(space, "start", 0), -1).astype(np.int64)}


def action_facts(space: Space, box_distribution: str) -> dict[str, Any]:
    """What the reader must know of actions beside the arrays."""
    sizes = choices_per_component(space)
    kind = box_distribution if isinstance(space, spaces.Box) else "choices"
    kind = "bits" if isinstance(space, spaces.MultiBinary) else kind
    return {"kind": kind, "ends": [int(n) for n in np.cumsum(sizes)[:-1]], "action_shape": list(space.shape or ())}


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """The file's content."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
