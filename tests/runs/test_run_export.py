"""A run's policy to a file."""

import json

import numpy as np
import pytest

from proximax.runs import load
from proximax.runs.run_export import export
from proximax.runtime import sha256
from tests.support.saved_runs import CONFIG, arrays, newest, save_run

pytest.importorskip("onnx")


@pytest.fixture
def run(tmp_path):
    """A finished run's directory, without training."""
    return save_run(tmp_path, *arrays()[1:])


def test_a_file_knows_the_run_it_comes_from(run, tmp_path):
    path = export(run, tmp_path / "policy.npz", seed=CONFIG.seed, check=5)
    about = load(path).about
    text = json.dumps(CONFIG.to_json(), sort_keys=True, separators=(",", ":"))
    assert about["config_sha256"] == sha256(text.encode())
    assert (about["env"], about["seed"], about["checkpoint"]) == (CONFIG.env, CONFIG.seed, newest(run).name)


def test_a_run_its_checkpoint_an_agent_and_its_file_give_the_same_policy(run, tmp_path):
    made = load(run)
    made.save(tmp_path / "agent.safetensors")
    sources = [run, newest(run), made, tmp_path / "agent.safetensors"]
    loaded = [load(export(source, tmp_path / f"{i}.npz", check=5)) for i, source in enumerate(sources)]
    loaded.append(load(newest(run)))
    obs = np.random.default_rng(0).normal(size=(7, *made.observation_space.shape)).astype(np.float32)
    for other in loaded:
        np.testing.assert_allclose(other.act(obs), made.act(obs), atol=1e-5)
