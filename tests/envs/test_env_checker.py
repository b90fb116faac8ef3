"""What a first look at an environment finds, refuses and tells. Faults 3, 5, 9, 12, 16; trap 15."""

import sys
import threading
import time
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from proximax.envs import make_env
from proximax.envs.env_checker import check_env, check_observation, environment_error, failing_index, ignores_seed
from proximax.envs.env_groups import vectorise
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.errors import EnvError, UsageError
from tests.support.toy_envs import vector
from tests.support.toy_gym import ACTIONS, NESTED_OBS, Lawful, Script, as_array, as_list, as_tree, as_tuple, view


class Slow(Script):
    def step(self, action):
        time.sleep(0.004)
        return super().step(action)


class OldReset(Script):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class OldStep(Script):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, info


@pytest.mark.parametrize("make", [OldReset, OldStep])
def test_the_old_gym_api_is_answered_with_the_line_that_wraps_it(make):
    with pytest.raises(EnvError, match=r"Gymnasium >= 1.0 is needed.*shimmy"):
        vectorise(make, 2)


def test_an_environment_that_ignores_its_seed_is_noticed():
    class Deaf(Script):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=None)

    assert ignores_seed(vectorise(Deaf, 2), [1, 2])
    assert not ignores_seed(vectorise(Script, 2), [1, 2])


def test_trying_out_measures_a_step_and_leaves_no_thread_behind():
    threads = set(threading.enumerate())  # of which some may end meanwhile
    seconds, masked, notes, *_ = check_env(Slow)
    assert 0.004 <= seconds < 0.1
    assert not masked
    assert notes == []
    assert set(threading.enumerate()) <= threads


def test_observations_unlike_their_space_are_refused_or_told():
    class Shape(Script):
        observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    class Lossy(Script):
        observation_space = spaces.Box(0, 255, (3,), np.uint8)

    class Outside(Script):
        observation_space = spaces.Box(-0.1, 0.1, (3,), np.float32)

    class Itself(Script):
        def _obs(self):
            return self.observation_space

    with pytest.raises(EnvError, match=r"the observation is Box\(.*, but its space .* says an array of numbers"):
        vectorise(Itself, 2)
    with pytest.raises(EnvError, match=r"has shape \(3,\), its space .* says \(2,\)"):
        vectorise(Shape, 2)
    with pytest.raises(EnvError, match=r"float32, which Box\(0, 255, \(3,\), uint8\) cannot hold"):
        vectorise(Lossy, 2)
    assert "lie outside the bounds of their space" in vectorise(Outside, 2).notes[0]


@pytest.mark.parametrize("where", ["reset", "step"])
def test_an_environment_that_exits_is_an_error_and_not_the_end_of_the_process(where):
    class Exits(Script):
        def reset(self, **options):
            return sys.exit() if where == "reset" else super().reset(**options)

        def step(self, action):
            sys.exit(0)

    with pytest.raises(EnvError, match=f"raised in {where} at step 0: SystemExit"):
        check_env(Exits)


@pytest.mark.fault(12)
def test_what_a_constructor_or_a_reset_or_a_step_raises_is_named():
    class Breaks(Script):
        def __init__(self, where):
            super().__init__()
            self.where = where
            if where == "its constructor":
                raise OSError("no level found")

        def reset(self, **how):
            if self.where == "reset":
                raise OSError("no level found")
            return super().reset(**how)

        def step(self, action):
            if self.where == "step":
                raise OSError("no level found")
            return super().step(action)

    for where in ("its constructor", "reset", "step"):
        with pytest.raises(EnvError, match=f"raised in {where} at step 0: OSError: no level found") as caught:
            check_env(partial(Breaks, where))
        assert isinstance(caught.value.__cause__, OSError)


def test_the_failing_environment_of_several_is_found_in_the_traceback():
    class Last(Script):
        def step(self, action):
            raise OSError("gone")

    env = SyncVectorEnv([Script, Script, Last], autoreset_mode=AutoresetMode.SAME_STEP)
    env.reset()
    with pytest.raises(OSError, match="gone") as caught:
        env.step(np.zeros(3, int))
    assert failing_index(caught.value.__traceback__) == 2
    assert str(environment_error("step", caught.value, 7)) == "environment 2 raised in step at step 7: OSError: gone"
    assert failing_index(None) is None
    assert str(environment_error("reset", OSError("x"), 0)) == "the environment raised in reset at step 0: OSError: x"


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    ("observation", "action", "text"),
    [
        (spaces.Text(3), spaces.Discrete(2), "observation space is a Text"),
        (spaces.Dict(a=spaces.Sequence(spaces.Discrete(2))), spaces.Discrete(2), r"observation\['a'\] is a Sequence"),
        (Script.observation_space, spaces.Tuple((spaces.Text(3),)), r"action\[0\] is a Text"),
        (Script.observation_space, spaces.Box(0, 9, (2,), np.int32), "action space is a Box of int32"),
    ],
)
def test_unsupported_spaces_are_refused_before_a_step_is_taken(observation, action, text):
    class Odd(Script):
        observation_space, action_space = observation, action

        def reset(self, **how):
            raise AssertionError("it was used")

    Odd.observation_space, Odd.action_space = observation, action
    with pytest.raises(UsageError, match=text):
        check_env(Odd)


# ---------------------------------------------------------------- nested


def test_nested_environments_are_tried_out_with_actions_of_their_own_form():
    seconds, masked, notes, *_ = check_env(partial(Lawful, ACTIONS["nested"], nested=True))
    assert seconds > 0
    assert (masked, notes) == (False, [])


@pytest.mark.fault(9)
def test_a_nested_observation_unlike_its_space_is_refused_with_the_leaf():
    good = view(np.zeros(3))
    check_observation(good, NESTED_OBS)
    check_observation({**good, "dial": [1, 0], "bits": [0, 1]}, NESTED_OBS)
    for wrong in (np.zeros(3), {k: v for k, v in good.items() if k != "eye"}, {**good, "eye": good["eye"][:1]}):
        with pytest.raises(EnvError, match="does not have the structure of its space Dict"):
            check_observation(wrong, NESTED_OBS)
    with pytest.raises(
        EnvError,
        match=r"observation\['script'\] has shape \(4,\), its space Box\(-inf, inf, \(3,\), float64\) says \(3,\)",
    ):
        check_observation({**good, "script": np.zeros(4)}, NESTED_OBS)
    with pytest.raises(
        EnvError, match=r"\['eye'\]\[0\] is of float64, which Box\(0, 255, \(2, 2, 1\), uint8\) cannot hold"
    ):
        check_observation({**good, "eye": (np.zeros((2, 2, 1)), 1)}, NESTED_OBS)
    with pytest.raises(EnvError, match=r"which MultiBinary\(2\) cannot hold without loss"):
        check_observation({**good, "bits": np.array([0.5, 1.0])}, NESTED_OBS)


def test_a_leaf_outside_its_bounds_is_told():
    class Outside(Lawful):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            narrow = spaces.Box(0.0, 1.0, (3,), np.float64)
            self.observation_space = spaces.Dict({**NESTED_OBS.spaces, "script": narrow})

        def _obs(self):
            return {**super()._obs(), "script": np.array([0.0, 0.5, 1.5])}

    notes = check_env(partial(Outside, ACTIONS["nested"], nested=True))[2]
    assert len(notes) == 1
    assert "observations checked lie outside the bounds of their space" in notes[0]
    assert "lie outside" in vectorise(partial(Outside, ACTIONS["nested"], nested=True), 2).notes[0]


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"dial": np.array([0, 5])}, r"observation\['dial'\] is 0, which is not in MultiDiscrete\(\[4 9\]"),  # from 1
        ({"eye": (np.zeros((2, 2, 1), np.uint8), 9)}, r"observation\['eye'\]\[1\] is 9, which is not in Discrete\(8"),
        ({"bits": np.array([0, 2], np.int8)}, r"observation\['bits'\] is 2, which is not in MultiBinary\(2\)"),
        ({"wind": np.ones(1)}, r"the observation has the entry 'wind', which its space lacks"),
        ({"eye": (np.zeros((2, 2, 1), np.uint8), 1, 1)}, r"observation\['eye'\] is .*, where 2 entries belong"),
        (
            {"eye": (np.full((2, 2, 1), 300, np.uint16), 1)},
            r"observation\['eye'\]\[0\] at \[0, 0, 0\] is 300, which uint8 cannot hold \(integers from 0 to 255\)",
        ),
    ],
)
def test_a_leaf_that_its_space_has_no_place_for_is_refused_by_name(wrong, text):
    with pytest.raises(EnvError, match=text):
        check_observation({**view(np.zeros(3)), **wrong}, NESTED_OBS)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ((None, False, False), "the reward is None: it must be one number"),
        (("1.0", False, False), "the reward is '1.0': it must be one number"),
        ((np.ones(2), False, False), r"the reward is array\(\[1., 1.\]\), of shape \(2,\)"),
        ((1.0, "no", False), "terminated is 'no': it must be one number"),
        ((1.0, False, 0.5), "truncated is 0.5: it must be True or False"),
        ((1.0, None, False), "terminated is None"),
    ],
)
def test_a_reward_is_one_number_and_a_flag_is_true_or_false(outcome, text):
    class Wrong(Script):
        def step(self, action):
            return super().step(action)[0], *outcome, {}

    with pytest.raises(EnvError, match=text):
        check_env(Wrong)


def test_a_nested_environment_that_ignores_its_seed_is_noticed():
    class Deaf(Lawful):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=None)

    for make, deaf in ((Deaf, True), (Lawful, False)):
        env = GymnasiumEnv(vector(partial(make, ACTIONS["nested"], nested=True), 2, AutoresetMode.SAME_STEP))
        assert ignores_seed(env, [1, 2]) is deaf


# ---------------------------------------------------------------- masks


@pytest.mark.slow
@pytest.mark.trap(15)
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("discrete", as_array),
        ("discrete", as_list),
        ("multi_discrete", as_tuple),
        ("multi_binary", as_array),
        ("nested", as_tree),
    ],
)
def test_masked_environments_are_tried_out_with_allowed_actions_only(name, form):
    for masks in ("info", "key"):
        log = []
        _, masked, notes, *_ = check_env(partial(Lawful, ACTIONS[name], masks, form, log=log))
        assert masked is (masks == "info")  # that in the observation needs no moving
        assert notes == []
        assert len(log) >= 3
        made = vectorise(partial(Lawful, ACTIONS[name], masks, form), 2)
        assert "action_mask" in made.observation_space.spaces
    assert not check_env(partial(Lawful, ACTIONS[name])).masked


@pytest.mark.trap(15)
@pytest.mark.parametrize("masks", ["info", "key"])
def test_a_mask_of_the_wrong_size_is_refused_before_a_step_is_taken(masks):
    class Short(Lawful):
        def __init__(self):
            super().__init__(spaces.Discrete(4), masks)
            self.action_space = spaces.Discrete(3)

        def _info(self):
            return {"action_mask": np.ones(4)} if self.masks == "info" else {}

        def step(self, action):
            raise AssertionError("it was used")

    with pytest.raises(UsageError, match=r"action_mask has 4 entries; the action space Discrete\(3\) needs 3"):
        check_env(Short)


def test_a_mask_whose_size_changes_is_named_with_its_step():
    class Grows(Script):
        action_space = spaces.Discrete(3)

        def step(self, action):
            obs, reward, _, _, _ = super().step(action)
            return obs, reward, False, False, {"action_mask": np.ones(3 if self.t < 2 else 4)}

    with pytest.raises(EnvError, match=r"at step 2 of checking one .*action_mask has 4 entries; .* needs 3"):
        check_env(Grows)


def test_a_callable_that_makes_a_vector_environment_is_told_to_make_one_single_environment():
    with pytest.raises(UsageError, match=r"a vector environment of 3, .*: it must return one single environment"):
        make_env(lambda: vector(Script, 3, AutoresetMode.SAME_STEP))


@pytest.mark.fault(17)
@pytest.mark.parametrize(("limit", "notes"), [(30_000, 0), (50_000, 1)])
def test_episodes_longer_than_an_evaluation_plays_are_noted_at_the_start(limit, notes):
    gymnasium.register("Long-v0", entry_point=Script, max_episode_steps=limit, disable_env_checker=True)
    try:
        found = make_env("Long-v0", 2).notes
    finally:
        del gymnasium.registry["Long-v0"]
    assert len(found) == notes
    assert all("episodes may take 50,000 steps, but an evaluation gives up after 30,000" in note for note in found)
