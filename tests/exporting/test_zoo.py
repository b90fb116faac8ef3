"""Policies that come with proximax."""

import json

import numpy as np
import pytest

from proximax.config import PRESETS, from_json
from proximax.errors import UsageError
from proximax.exporting.zoo import FOLDER, is_in_zoo, zoo_card, zoo_file, zoo_names, zoo_starts
from proximax.runs import load
from proximax.runtime import sha256

MAX_BYTES = 100_000  # of one file: they come with every installation
MAX_START_BYTES = 1_500_000  # of one to train on from, which has convolutions


@pytest.mark.parametrize("name", zoo_names())
def test_each_has_a_card_that_belongs_to_it(name):
    pytest.importorskip("onnx")
    card, agent = zoo_card(name), load(f"zoo:{name}")
    config = from_json(card["settings"])
    text = json.dumps(card["settings"], sort_keys=True, separators=(",", ":"))
    assert agent.about["config_sha256"] == card["config_sha256"] == sha256(text.encode())
    assert (config.env, config.preset) == (f"gymnasium:{name}", card["preset"])
    assert PRESETS[config.preset].env == config.env
    assert card["bytes"] == zoo_file(f"zoo:{name}").stat().st_size < MAX_BYTES
    low, high = card["ci95"]
    assert low <= card["mean"] <= high
    assert agent.action_space.contains(agent.act(np.zeros(agent.observation_space.shape, np.float32)))


def test_a_policy_to_train_on_from_has_a_card():
    (name,) = zoo_starts()
    card, agent = zoo_card(name), load(f"zoo:{name}")
    assert card["bytes"] == zoo_file(f"zoo:{name}").stat().st_size < MAX_START_BYTES
    low, high = card["ci95"]
    assert name == "Pong-beginner"
    assert -21 <= low <= card["mean"] <= high <= 0  # a beginner
    assert agent.observation_space.shape == (2, 80, 80)
    assert agent.params["network"]["dense"]["w"].shape == (1296, 256)


def test_nothing_else_lies_beside_them():
    files = {f"{n}.onnx" for n in zoo_names()} | {f"{n}.safetensors" for n in zoo_starts()}
    files |= {f"{n}.json" for n in zoo_names() + zoo_starts()}
    assert {path.name for path in FOLDER.iterdir()} == files


def test_a_name_that_is_not_there_is_refused_with_the_nearest():
    assert is_in_zoo("zoo:x")
    assert not is_in_zoo("runs/zoo:x")
    with pytest.raises(UsageError, match="did you mean zoo:CartPole-v1"):
        zoo_file("zoo:CartPole-v0")
    with pytest.raises(UsageError, match=r"There are: .*CartPole-v1"):
        zoo_file("zoo:../secret")
