"""The reader of ``--format npz``, to be copied to where neither JAX nor ONNX is: it needs NumPy alone."""

import json
from typing import Any

import numpy as np

ACTIVATIONS: dict[str, Any] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * sigmoid(x),
}


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


class NumpyPolicy:
    """``act(obs)`` is the environment's action for one observation, or ``[B, ...]`` for ``[B, ...]``: the mode."""

    def __init__(self, path: Any) -> None:
        self.arrays = dict(np.load(path))
        self.about = json.loads(str(self.arrays.pop("about")))
        self.reset()

    def reset(self) -> None:
        """Forget: the next observation opens an episode. Only for policies with memory."""
        self.memory = [[np.zeros(n, np.float32)] * 2 for n in self.about["units"]]

    def act(self, obs: Any, mask: Any = True) -> Any:
        """``mask``: which choices are allowed, of Discrete and MultiDiscrete actions."""
        a, about, x = self.arrays, self.about, np.asarray(obs, np.float32)
        single = x.ndim == about["obs_axes"]
        x = x.reshape(1 if single else len(x), -1)
        if about["one_hot"]:
            x = np.hstack([np.eye(n)[x[:, i].astype(int) - start] for i, (start, n) in enumerate(about["one_hot"])])
        x = np.clip((x - a["mean"]) / a["std"], -a["clip"], a["clip"]).astype(np.float32)
        for i in range(about["layers"]):
            x = ACTIVATIONS[about["activation"]](x @ a[f"w{i}"] + a[f"b{i}"])
        for i in range(len(about["units"])):
            x = self.remember(i, x @ a[f"input_w{i}"] + a[f"input_b{i}"])
        out = x @ a["head_w"] + a["head_b"]
        if about["kind"] == "choices":
            parts = np.split(np.where(mask, out, -np.inf), about["ends"], axis=1)
            action = np.stack([part.argmax(axis=1) for part in parts], axis=1) + a["start"]
        elif about["kind"] == "bits":
            action = (out > 0).astype(np.int8)
        else:
            unit = np.tanh(out) if about["kind"] == "squashed_gaussian" else np.clip(out, -1, 1)
            if about["kind"] == "beta":  # the mode of a Beta distribution, from (0, 1) to (-1, 1)
                alpha, beta = np.split(np.logaddexp(0, out), 2, axis=1)
                unit = out = (alpha - beta) / (alpha + beta)
            action = np.where(a["bounded"], unit * a["half"] + a["centre"], out)
            action = np.clip(action, a["floor"], a["ceiling"]).astype(np.float32)
        action = action.reshape(len(x), *about["action_shape"])
        return action[0] if single else action

    def remember(self, i: int, x: Any) -> Any:
        """One step of a recurrent cell."""
        (h, c), cell = self.memory[i], self.about["cell"]
        if cell == "mingru":
            z, new = np.split(x, 2, axis=1)
            h = (1 - sigmoid(z)) * h + sigmoid(z) * np.tanh(new)
            self.memory[i] = [h, c]
            return h
        u = h @ self.arrays[f"memory_w{i}"] + self.arrays[f"memory_b{i}"]
        if cell == "gru":
            (xr, xz, xn), (hr, hz, hn) = np.split(x, 3, axis=-1), np.split(u, 3, axis=-1)
            z = sigmoid(xz + hz)
            h = (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h
        else:
            i_, f, o, g = np.split(x + u, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i_) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        self.memory[i] = [h, c]
        return h
