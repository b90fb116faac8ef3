"""How a game is shown: every fault at once and in words, JSON there and back, the published defaults."""

import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from proximax.config.atari_config import AtariConfig, atari_from_json
from proximax.config.run_config import RunConfig, from_json
from proximax.errors import UsageError


def fault(**settings):
    """What a run says about these settings."""
    with pytest.raises(UsageError) as caught:
        RunConfig("gymnasium:ALE/Pong-v5", atari=AtariConfig(**settings)).check()
    return str(caught.value)


def test_the_defaults_are_those_of_published_ppo_results():
    """Huang et al. 2022, "The 37 implementation details of PPO", Atari details 1 to 9; Machado et al. 2018, the cap."""
    c = AtariConfig()
    assert c.problems() == []
    assert (c.noop_max, c.frame_skip, c.max_of_two) == (30, 4, True)
    assert (c.episodic_life, c.fire_on_reset, c.clip_reward) == (True, True, True)
    assert (c.height, c.width, c.grayscale, c.stack) == (84, 84, True, 4)
    assert (c.sticky_actions, c.full_action_space, c.actions) == (0, False, None)
    assert c.frame_cap == 30 * 60 * 60  # half an hour of 60 frames a second


WRONG = [
    ("frame_skip", 0, "must be an integer >= 1 and <= 1e+09"),
    ("frame_skip", 2.5, "must be an integer >= 1 and <= 1e+09"),
    ("frame_skip", (2, 5), "must be an integer >= 1 and <= 1e+09"),  # drawn at random, as Gym's v0 games
    ("height", 7, "must be an integer >= 8 and <= 210"),
    ("height", 211, "must be an integer >= 8 and <= 210"),
    ("width", 161, "must be an integer >= 8 and <= 160"),
    ("stack", 0, "must be an integer >= 1 and <= 1e+09"),
    ("noop_max", -1, "must be an integer >= 0 and <= 1e+09"),
    ("sticky_actions", 1.5, "must be a number >= 0 and <= 1"),
    ("sticky_actions", float("nan"), "must be a number >= 0 and <= 1"),
    ("frame_cap", 0, "must be an integer >= 1 and <= 1e+09"),
    ("frame_cap", None, "must be an integer >= 1 and <= 1e+09"),
    # What no emulator's 32 bits hold.
    *((name, 2**31, "and <= 1e+09") for name in ("frame_skip", "stack", "noop_max", "frame_cap")),
    ("grayscale", 1, "must be True or False"),
    ("episodic_life", "no", "must be True or False"),
    ("clip_reward", None, "must be True or False"),
    ("max_of_two", 0, "must be True or False"),
    ("actions", (), "give two or more different action numbers, or None"),
    ("actions", (2,), "give two or more different action numbers, or None"),
    ("actions", (2, 2), "give two or more different action numbers, or None"),
    ("actions", (-1, 2), "give two or more different action numbers, or None"),
    ("actions", (0, 1.0), "give two or more different action numbers, or None"),
    ("actions", (True, False), "give two or more different action numbers, or None"),
    ("actions", 3, "give two or more different action numbers, or None"),
    ("actions", "23", "give two or more different action numbers, or None"),
]


@pytest.mark.fault(31)
@pytest.mark.parametrize(("name", "value", "remedy"), WRONG)
def test_a_setting_out_of_range_is_named_with_its_range(name, value, remedy):
    text = fault(**{name: value})
    assert text.startswith(f"atari.{name} = {value if name == 'actions' or remedy[8] != 'T' else repr(value)}: ")
    assert text.endswith(remedy)


@pytest.mark.fault(34)
@pytest.mark.parametrize("name", [f.name for f in fields(AtariConfig)])
def test_a_wrong_type_is_refused_in_every_field(name):
    assert f"atari.{name} = " in fault(**{name: object()})


def test_every_wrong_setting_is_named_at_once():
    text = fault(stack=0, height=500, sticky_actions=2, grayscale=None, actions=(1,))
    for part in ("stack = 0", "height = 500", "sticky_actions = 2", "grayscale = None", "actions = (1,)"):
        assert f"atari.{part}" in text


def test_the_ends_of_each_range_are_allowed():
    least = AtariConfig(frame_skip=1, max_of_two=False, height=8, width=8, stack=1, noop_max=0, frame_cap=1)
    most = AtariConfig(height=210, width=160, sticky_actions=1, actions=(17, 0), full_action_space=True)
    for allowed in (least, most, AtariConfig(sticky_actions=0)):
        assert allowed.problems() == []


def test_a_maximum_of_one_frame_is_refused():
    assert "atari.max_of_two = True: with frame_skip = 1 there is one frame a step; set it False" in fault(frame_skip=1)
    assert AtariConfig(frame_skip=2).problems() == []


def test_a_config_survives_json_with_its_types():
    shown = AtariConfig(frame_skip=2, actions=(4, 5), sticky_actions=0.25, episodic_life=False, height=42)
    for atari in (None, AtariConfig(), shown):
        once = RunConfig("gymnasium:ALE/Pong-v5", atari=atari, eval_stochastic=True, network="nature")
        again = from_json(json.loads(json.dumps(once.to_json(), allow_nan=False)))
        assert again == once
    assert isinstance(again.atari.actions, tuple)
    assert from_json({"env": "x"}).atari is None  # of runs from before there were games
    assert from_json({"env": "x", "atari": {"stack": 2}}).atari == replace(AtariConfig(), stack=2)


def test_json_of_another_shape_is_a_fault_and_no_crash():
    with pytest.raises(UsageError, match="atari in a config must be an object of settings"):
        atari_from_json([1])
    with pytest.raises(UsageError, match="unknown setting 'stak'; did you mean 'stack'"):
        atari_from_json({"stak": 2})
    with pytest.raises(UsageError, match=r"atari.actions = up: give two or more"):
        from_json({"env": "x", "atari": {"actions": "up"}}).check()
    with pytest.raises(UsageError, match="atari = 'Pong': must be an AtariConfig or None"):
        RunConfig("x", atari="Pong").check()


def test_a_config_is_frozen():
    with pytest.raises(FrozenInstanceError):
        AtariConfig().stack = 2
