"""What runs a file."""

import json

import numpy as np
import pytest

from proximax.errors import CheckpointError
from proximax.exporting.onnx_file import onnx_model
from proximax.exporting.sessions import reference, session
from tests.support.exported_agents import agent

pytest.importorskip("onnx")


def test_the_reference_of_onnx_gives_what_onnxruntime_does():
    pytest.importorskip("onnxruntime")
    model, _ = onnx_model(agent(network="gru"), "parameters", {})
    data, rng = model.SerializeToString(), np.random.default_rng(0)
    inputs = {
        "obs": rng.normal(size=(3, 3)),
        "carry_in.0": rng.normal(size=(3, 6)),
        "first": np.array([True, False, False]),
    }
    inputs = {name: x if x.dtype == bool else x.astype(np.float32) for name, x in inputs.items()}
    by_name = session(data, "a file")(inputs), reference(data, "a file")(inputs)
    assert by_name[0].keys() == by_name[1].keys()
    for name, x in by_name[0].items():
        np.testing.assert_allclose(x, by_name[1][name], atol=1e-6)


@pytest.mark.parametrize("run", [session, reference])
def test_what_is_no_model_is_refused(run):
    with pytest.raises(CheckpointError, match="a file cannot be run"):
        run(json.dumps({}).encode(), "a file")
