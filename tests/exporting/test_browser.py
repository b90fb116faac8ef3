import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from proximax.exporting import browser
from proximax.exporting.numpy_file import numpy_arrays
from proximax.exporting.reading import load_onnx
from tests.support.exported_agents import NESTED_ACTIONS, agent


def test_the_weights_are_those_of_the_file_as_float32():
    made = agent(network="gru")
    arrays, given = numpy_arrays(made, {}), json.loads(json.dumps(browser.weights_json(made)))
    assert given["about"] == json.loads(str(arrays.pop("about")))
    assert given["arrays"].keys() == arrays.keys()
    for name, text in given["arrays"].items():
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(text), "<f4"), arrays[name].ravel())


def test_a_policy_without_such_arrays_has_no_weights():
    assert browser.weights_json(agent(actions=NESTED_ACTIONS)) is None


def test_the_onnx_file_is_text():
    made, obs = agent(), np.array([[0.1, -0.2, 0.3]], np.float32)
    text = browser.onnx_text(made)
    loaded = load_onnx(base64.b64decode(text), Path("x.onnx"))
    outputs, _ = loaded.play(made.observation_space, [], obs, np.array([True]))
    assert outputs["action"] == made.act(obs)


def test_without_onnx_there_is_no_onnx_file(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert browser.onnx_text(agent()) is None


@pytest.mark.parametrize("data", [b"", b"\x00\xff" * 7])
def test_bytes_are_text_and_back(data):
    assert base64.b64decode(browser.base64_text(data)) == data


@pytest.mark.parametrize("settings", [{}, {"normalise_obs": True}, {"actions": spaces.Box(-2, 1, (2,))}])
def test_the_layers_of_an_onnx_file_are_those_of_the_policy(settings):
    made = agent(**settings)
    arrays = numpy_arrays(made, {})
    features, layers = browser.onnx_layers(base64.b64decode(browser.onnx_text(made)))
    assert len(layers) == 2
    for name, x in [*features.items(), ("w0", layers[0][0]), ("head_b", layers[1][1])]:
        np.testing.assert_allclose(np.ravel(x), np.ravel(arrays[name]), rtol=1e-6, err_msg=name)


def test_the_weights_of_a_policy_that_comes_with_proximax():
    given = browser.zoo_weights("MountainCarContinuous-v0")
    sizes = {name: len(base64.b64decode(text)) // 4 for name, text in given["arrays"].items()}
    assert (sizes["mean"], sizes["std"], sizes["head_b"], sizes["floor"]) == (2, 2, 1, 1)
    assert given["about"]["kind"] == "gaussian"
