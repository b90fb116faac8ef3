"""NumPy files: whose policies fit, and what is in them."""

import io
import json

import numpy as np
import pytest
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.exporting.exporter import export_agent
from proximax.exporting.numpy_file import npz_bytes, numpy_arrays
from proximax.exporting.reading import read_exported
from proximax.networks import mlp
from tests.support.exported_agents import BOX, IMAGE, MASKED, NESTED_ACTIONS, agent


@pytest.mark.parametrize(
    "made",
    [
        {"actions": spaces.Discrete(2, start=3), "activation": "elu"},
        {"obs": MASKED, "actions": spaces.MultiDiscrete([2, 3]), "network": "gru", "activation": "silu"},
        *(
            pytest.param(made, marks=pytest.mark.slow)
            for made in [
                {"actions": spaces.Box(-1, 2, (2, 2)), "box_distribution": "beta", "normalise_obs": False},
                {"actions": spaces.Box(-1, 2, (2,)), "box_distribution": "squashed_gaussian", "network": "mingru"},
                {"actions": spaces.Box(-1, np.inf, (2,)), "state_dependent_std": True, "shared_torso": True},
                {"obs": spaces.Discrete(4, start=2), "actions": spaces.MultiBinary(3), "network": "lstm"},
                {"obs": spaces.MultiDiscrete([2, 3]), "activation": "relu"},
                {"obs": spaces.Box(0, 255, (5,), np.uint8), "normalise_pixels": True},
            ]
        ),
    ],
)
def test_a_file_acts_as_the_agent(made, tmp_path):
    path = export_agent(agent(**made), tmp_path / "policy.npz", check=40)  # raises where one action differs
    assert read_exported(path).action_space == agent(**made).action_space


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"obs": IMAGE, "network": "mlp"}, "images"),
        pytest.param({"obs": IMAGE, "network": "gru"}, "images", marks=pytest.mark.slow),
        ({"actions": NESTED_ACTIONS}, "nested space"),
        ({"obs": spaces.Dict(a=BOX, b=BOX)}, "nested space"),
        ({"network": mlp(3)}, "custom network"),
        ({"layer_norm": True}, "layer norm"),
        ({"actions": spaces.Box(-1, 1, (2,)), "box_distribution": "binned"}, "actions in bins"),
        ({"obs": spaces.Dict(obs=BOX, action_mask=spaces.MultiBinary(4)), "actions": spaces.MultiBinary(2)}, "masks"),
    ],
)
def test_other_policies_are_refused_and_onnx_is_named(made, message):
    with pytest.raises(UsageError, match=f"{message}.*ONNX"):
        numpy_arrays(agent(**made), {})


def test_a_file_is_plain_arrays_and_json():
    arrays = np.load(io.BytesIO(npz_bytes(numpy_arrays(agent(hidden=(4, 4)), {"env": "X-v0"}))))
    assert {"w0", "b0", "w1", "b1", "head_w", "head_b", "mean", "std", "clip", "start", "about"} == set(arrays)
    assert json.loads(str(arrays["about"]))["env"] == "X-v0"
