"""The readers that users copy: the module, and the lines for an MLP in the guide."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from proximax.exporting import numpy_policy
from proximax.exporting.exporter import export_agent
from tests.support import ROOT
from tests.support.exported_agents import agent

GUIDE = ROOT / "docs" / "guides" / "deploy.md"


def test_it_imports_numpy_and_the_standard_library_alone():
    tree = ast.parse(Path(numpy_policy.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules - set(sys.stdlib_module_names) == {"numpy"}


def test_one_observation_gives_one_action_and_a_batch_many(tmp_path):
    made = agent(network="gru")
    policy = numpy_policy.NumpyPolicy(export_agent(made, tmp_path / "policy.npz", check=3))
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert policy.act(rows[0]) == made.act(rows[0])
    assert policy.act(rows[1]) == made.act(rows[1])
    policy.reset()
    made.reset()
    assert policy.act(rows).tolist() == made.act(rows).tolist()


@pytest.mark.parametrize(
    "made",
    [
        {"activation": "elu"},
        {"actions": spaces.MultiDiscrete([2, 3], start=[0, 4]), "activation": "silu"},
        {"actions": spaces.Box(-2, 1, (2, 2))},
        {"actions": spaces.Box(-2, 1, (2,)), "box_distribution": "squashed_gaussian", "activation": "relu"},
    ],
)
def test_the_lines_in_the_guide_are_at_most_30_and_act_as_the_agent(made, tmp_path):
    (lines,) = (
        block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "class Policy" in block
    )
    assert sum(bool(line.strip()) for line in lines.splitlines()) <= 30
    names = {}
    exec(lines, names)
    expected = agent(**made)
    policy = names["Policy"](export_agent(expected, tmp_path / "policy.npz", check=1))
    for obs in np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32):
        np.testing.assert_allclose(policy.act(obs), expected.act(obs), atol=1e-5)
