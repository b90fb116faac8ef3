"""Files of policies of every kind: each is compared with its agent before it is written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from proximax.errors import CheckpointError, NumericalError, UsageError
from proximax.exporting import exporter
from proximax.exporting.exporter import export_agent
from proximax.exporting.reading import read_exported
from proximax.networks import Network
from tests.support.exported_agents import BOX, IMAGE, MASKED, NESTED_ACTIONS, NESTED_OBS, agent

onnx = pytest.importorskip("onnx")
COUNT = 40  # observations of a check


@pytest.mark.parametrize(
    "made",
    [
        pytest.param({"obs": MASKED, "actions": spaces.MultiDiscrete([2, 3])}, id="masks"),
        pytest.param({"obs": NESTED_OBS, "actions": NESTED_ACTIONS, "network": "mingru"}, id="nested"),
        pytest.param({"obs": IMAGE, "normalise_pixels": True}, id="patch-cnn", marks=pytest.mark.slow),
        pytest.param({"actions": spaces.Box(-1, 2, (2,)), "box_distribution": "beta", "activation": "elu"}, id="beta"),
        pytest.param({"actions": spaces.Box(-1, 2, (2,)), "box_distribution": "ordinal", "bins": 3}, id="ordinal"),
        *(
            pytest.param({"obs": obs, "actions": actions, **settings}, id=str(i), marks=pytest.mark.slow)
            for i, (obs, actions, settings) in enumerate(
                [
                    (
                        BOX,
                        spaces.Discrete(2, start=3),
                        {"normalise_obs": False, "activation": "relu", "layer_norm": True},
                    ),
                    (MASKED, spaces.Discrete(5), {"network": "lstm"}),
                    (spaces.Dict(a=BOX, b=BOX, action_mask=spaces.MultiBinary(6)), spaces.MultiBinary(3), {}),
                    (spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2,)), {"activation": "silu"}),
                    (
                        BOX,
                        spaces.Box(-1, 1, (2,)),
                        {"box_distribution": "squashed_gaussian", "network": "gru", "layer_norm": True},
                    ),
                    (BOX, spaces.Box(np.array([-1.0, 0.0]), np.array([np.inf, 2.0])), {"state_dependent_std": True}),
                    (NESTED_OBS, spaces.MultiBinary([2, 2]), {"branch_torsos": True, "shared_torso": True}),
                    (IMAGE, spaces.Discrete(3), {"network": "pong-small"}),
                    (spaces.Box(0, 255, (40, 40, 3), np.uint8), spaces.Discrete(3), {"network": "nature"}),
                    (spaces.Box(0, 255, (20, 20), np.uint8), spaces.Discrete(3), {"network": "impala"}),
                    (IMAGE, spaces.Discrete(3), {"network": "gru", "normalise_pixels": True}),
                    (spaces.Box(0, 255, (9,), np.uint8), spaces.Discrete(3), {"normalise_pixels": True}),
                ]
            )
        ),
    ],
)
def test_an_onnx_file_acts_as_the_agent_and_passes_the_checker_of_onnx(made, tmp_path):
    path = export_agent(agent(**made), tmp_path / "policy.onnx", output="parameters", check=COUNT)
    onnx.checker.check_model(str(path), full_check=True)
    assert read_exported(path).observation_space == made.get("obs", BOX)


def test_parameters_have_the_names_of_what_they_are(tmp_path):
    sessions = pytest.importorskip("onnxruntime")
    gaussian = agent(actions=spaces.Box(-1, 1, (2,)), state_dependent_std=True)
    path = export_agent(gaussian, tmp_path / "policy.onnx", output="parameters", check=COUNT)
    obs = np.random.default_rng(1).uniform(-1, 1, (5, 3)).astype(np.float32)
    mean, log_std = sessions.InferenceSession(str(path)).run(["mean", "log_std"], {"obs": obs})
    expected = gaussian.distribution(obs)
    np.testing.assert_allclose(mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(log_std, expected.log_std, atol=1e-5)
    assert np.abs(mean - log_std).max() > 0.1


def test_a_custom_network_is_exported_like_the_built_in_ones(tmp_path):
    def apply(params, obs):
        centred = obs - obs.mean(axis=1, keepdims=True)
        features = jax.nn.gelu((centred / jnp.sqrt(obs.var(axis=1, keepdims=True) + 1e-5)) @ params["w"])
        return features[:, :3], features[:, 3]

    network = Network(lambda key, obs: {"w": np.ones((3, 4), np.float32)}, apply)
    custom = agent(network=network)
    path = export_agent(custom, tmp_path / "policy.onnx", output="parameters", check=COUNT)
    onnx.checker.check_model(str(path), full_check=True)
    obs = np.random.default_rng(1).uniform(-1, 1, (5, 3)).astype(np.float32)
    sessions = pytest.importorskip("onnxruntime")
    (logits,) = sessions.InferenceSession(str(path)).run(["logits"], {"obs": obs})
    np.testing.assert_allclose(logits, custom.distribution(obs).logits, atol=1e-5)


def test_a_custom_network_with_an_unknown_operation_is_refused(tmp_path):
    network = Network(lambda key, obs: {}, lambda params, obs: (jnp.sort(obs, axis=1), obs[:, 0]))
    with pytest.raises(UsageError, match="'sort' of JAX"):
        export_agent(agent(network=network), tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_acts_otherwise_is_not_written_and_the_old_one_stays(tmp_path, monkeypatch):
    path = tmp_path / "policy.onnx"
    export_agent(agent(), path, check=1)
    before = path.read_bytes()
    other = export_agent(agent(hidden=(4,)), tmp_path / "other.onnx", check=1).read_bytes()
    monkeypatch.setattr(exporter, "model_bytes", lambda model, about: other)
    with pytest.raises(NumericalError, match="No file was written"):
        export_agent(agent(), path, check=COUNT)
    assert path.read_bytes() == before
    assert sorted(x.name for x in tmp_path.iterdir()) == ["other.onnx", "policy.onnx"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("policy.pt", {}, "ends in .onnx or .npz"),
        ("policy.onnx", {"format": "npz"}, "ends in .onnx"),
        ("policy.npz", {"output": "parameters"}, "only for ONNX"),
        ("policy.onnx", {"output": "mode"}, "output = 'mode'"),
        ("policy.onnx", {"check": 0}, "check"),
    ],
)
def test_wrong_arguments_are_refused(name, options, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        export_agent(agent(), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_an_exported_policy_is_not_exported_again(tmp_path):
    path = export_agent(agent(), tmp_path / "policy.npz", check=1)
    with pytest.raises(UsageError, match="copy that file"):
        export_agent(read_exported(path), tmp_path / "again.npz")


@pytest.mark.parametrize("ending", ["onnx", "npz"])
def test_a_file_of_something_else_is_refused(ending, tmp_path):
    path = tmp_path / f"policy.{ending}"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_exported(path)
