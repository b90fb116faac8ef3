"""An exported policy as an agent."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.errors import CheckpointError, UsageError
from proximax.exporting.exporter import export_agent
from proximax.exporting.reading import is_exported, read_exported
from proximax.runs import load
from tests.support.exported_agents import BOX, MASKED, agent

pytest.importorskip("onnx")
ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


@pytest.mark.parametrize("ending", ["onnx", "npz"])
def test_it_acts_with_masks_as_the_agent_does_and_refuses_the_rest(ending, tmp_path):
    made = agent(MASKED, spaces.Discrete(5))
    exported = load(export_agent(made, tmp_path / f"policy.{ending}", check=5))
    mask = np.array([1, 0, 0, 1, 1])
    assert exported.act(ROWS[0], action_mask=mask) == made.act(ROWS[0], action_mask=mask)
    assert isinstance(exported.act(ROWS[0], action_mask=mask), int)
    with pytest.raises(UsageError, match="allows no action"):
        exported.act(ROWS[0], action_mask=np.zeros(5))
    with pytest.raises(UsageError, match="most likely"):
        exported.act(ROWS[0], action_mask=mask, sample=True)
    with pytest.raises(UsageError, match="acts, and no more"):
        exported.value(ROWS[0], action_mask=mask)
    with pytest.raises(UsageError, match="not known"):
        exported.save(tmp_path / "again")
    assert repr(exported).startswith("ExportedAgent(observations Dict")


@pytest.mark.parametrize("ending", ["onnx", "npz"])
def test_it_remembers_and_forgets_as_the_agent_does(ending, tmp_path):
    made = agent(BOX, spaces.Box(-1, 1, (2,)), "lstm")
    exported = load(export_agent(made, tmp_path / f"policy.{ending}", check=5))
    for obs in ROWS:
        np.testing.assert_allclose(exported.act(obs), made.act(obs), atol=1e-6)
    for part in (made, exported):
        part.reset()
    np.testing.assert_allclose(exported.act(ROWS[3]), made.act(ROWS[3]), atol=1e-6)


def test_a_file_is_recognised_by_its_ending(tmp_path):
    assert is_exported(tmp_path / "a.ONNX")
    assert not is_exported(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_exported(tmp_path / "missing.onnx")
