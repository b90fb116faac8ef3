"""The reader that users copy."""

import ast
import sys
from pathlib import Path

import numpy as np

from proximax.exporting import numpy_policy
from proximax.exporting.exporter import export_agent
from tests.support.exported_agents import agent


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
