"""The names of what goes in and comes out."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.exporting.contract import observation_arrays, observation_ports, observation_tree, signature
from tests.support.exported_agents import BOX, IMAGE, MASKED, NESTED_ACTIONS, NESTED_OBS, agent


def names(ports):
    return [port.name for port in ports]


def test_inputs_are_named_by_the_keys_of_the_space():
    assert names(observation_ports(BOX)) == ["obs"]
    assert names(observation_ports(MASKED)) == ["obs", "action_mask"]
    assert names(observation_ports(NESTED_OBS)) == ["obs.clock.0", "obs.clock.1", "obs.eye"]
    masked = spaces.Dict(board=BOX, action_mask=spaces.MultiBinary(5))
    assert names(observation_ports(masked)) == ["obs.board", "action_mask"]


def test_dtypes_are_few():
    assert [port.dtype for port in observation_ports(NESTED_OBS)] == ["int32", "int32", "float32"]
    assert [port.dtype for port in observation_ports(IMAGE)] == ["uint8"]
    assert observation_ports(MASKED)[1].dtype == "bool"


def test_outputs_are_actions_parameters_and_memory():
    signed = signature(agent(NESTED_OBS, NESTED_ACTIONS, "lstm", box_distribution="beta"))
    assert names(signed.actions) == ["action.move", "action.turn"]
    assert names(signed.parameters) == ["alpha.move", "beta.move", "logits.turn"]
    assert names(signed.carry) == [f"carry_in.{i}" for i in range(4)]


def test_an_observation_goes_in_by_its_names_and_is_put_together_again():
    obs = {"obs": np.ones((2, 3), np.float32), "action_mask": np.array([[1, 0, 1, 1, 0]] * 2, np.int8)}
    arrays = observation_arrays(MASKED, obs)
    assert arrays["action_mask"].dtype == bool
    again = observation_tree(MASKED, list(arrays.values()))
    assert (np.asarray(again["action_mask"]) == obs["action_mask"]).all()
    assert again["obs"] is arrays["obs"]


def test_two_parts_of_one_name_are_refused():
    with pytest.raises(UsageError, match="same name"):
        observation_ports(spaces.Dict({"a.b": BOX, "a": spaces.Dict(b=BOX)}))
