"""A policy as values that a page in the browser can play: its weights, or an ONNX file, as text."""

import base64
import json
from typing import Any

import numpy as np

from proximax.errors import DependencyError, UsageError
from proximax.exporting.graph import require_onnx
from proximax.exporting.numpy_file import action_arrays, action_facts, numpy_arrays
from proximax.exporting.onnx_file import model_bytes, onnx_model
from proximax.exporting.reading import read_exported
from proximax.exporting.zoo import PREFIX, zoo_file
from proximax.policy import Agent


def weights_json(agent: Agent) -> dict[str, Any] | None:
    """The arrays of ``--format npz`` as float32 in base64, which ``web/page/play/weights.js`` reads.

    ``{"about": {...}, "arrays": {name: text}}``; None for a policy that has no such arrays.
    """
    try:
        return packed(numpy_arrays(agent, {}))
    except UsageError:
        return None


def packed(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The arrays of ``numpy_arrays`` as plain JSON values."""
    about = json.loads(str(arrays["about"]))
    texts = {name: base64_text(x.astype("<f4").tobytes()) for name, x in arrays.items() if name != "about"}
    return {"about": about, "arrays": texts}


def onnx_text(agent: Agent) -> str | None:
    """The ONNX file of a policy, in base64; None where the package ``onnx`` is missing."""
    try:
        model, contents = onnx_model(agent, "action", {})
        return base64_text(model_bytes(model, contents.about))
    except DependencyError:
        return None


def base64_text(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(data).decode("ascii")


def zoo_weights(name: str) -> dict[str, Any]:
    """``weights_json`` of a policy that comes with proximax: an MLP, which is read back from its ONNX file."""
    path = zoo_file(f"{PREFIX}{name}")
    agent = read_exported(path)
    ppo = agent.about["config"]["ppo"]
    features, layers = onnx_layers(path.read_bytes())
    *torso, (head_w, head_b) = layers
    arrays = features | action_arrays(agent.action_space) | {"head_w": head_w, "head_b": head_b}
    for i, (w, b) in enumerate(torso):
        arrays |= {f"w{i}": w, f"b{i}": b}
    facts = action_facts(agent.action_space, ppo["box_distribution"])
    about = {"layers": len(torso), "activation": ppo["activation"], "cell": None, "units": [], **facts}
    return packed({key: np.asarray(x) for key, x in arrays.items()} | {"about": np.array(json.dumps(about))})


def onnx_layers(data: bytes) -> tuple[dict[str, Any], list[tuple[np.ndarray, np.ndarray]]]:
    """(mean, std and clip of the features, the layers' weights and biases) of an exported MLP's ONNX file."""
    onnx = require_onnx()
    graph = onnx.load_model_from_string(data).graph
    constants = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    features: dict[str, Any] = {"mean": np.float32(0), "std": np.float32(1), "clip": np.float32(np.inf)}
    names = {"Sub": "mean", "Div": "std", "Min": "clip"}
    layers: list[tuple[np.ndarray, np.ndarray]] = []
    weights: np.ndarray | None = None
    for node in graph.node:
        constant = next((constants[name] for name in node.input if name in constants), None)
        if node.op_type == "MatMul":
            weights = constant
        elif node.op_type == "Add" and weights is not None and constant is not None:
            layers.append((weights, constant.reshape(-1)))
            weights = None
        elif node.op_type in names and not layers and constant is not None:
            features[names[node.op_type]] = constant.reshape(-1)
    return features, layers
