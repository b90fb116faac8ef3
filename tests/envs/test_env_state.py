"""The environments' state: put into new ones, the same actions give the same steps, bit for bit (trap 35)."""

import json
import warnings
from functools import partial
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import ClipAction, RecordEpisodeStatistics, TimeLimit, TransformReward
from gymnasium.wrappers.vector import RecordEpisodeStatistics as VectorStatistics

from proximax.config.atari_config import AtariConfig
from proximax.envs import Game, env_state, make_env
from proximax.envs.atari import ale
from proximax.envs.base import HostEnv
from proximax.envs.env_checker import check_env
from proximax.envs.env_groups import DoubleBufferedEnvs, EnvGroups
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.workers.vector_env import Workers
from proximax.errors import CheckpointError, EnvError
from proximax.spaces.masks import MASK, sample_allowed_action
from tests.support.toy_envs import vector
from tests.support.toy_gym import ACTIONS, Script
from tests.support.worker_envs import LawfulState, Scales, Stateful


def apart(value, arrays):
    """What JSON holds of a state; its arrays go to ``arrays``."""
    if isinstance(value, np.ndarray):
        arrays.append(value.copy())
        return {"array": len(arrays) - 1}
    if isinstance(value, dict):
        return {"dict": [[key, apart(x, arrays)] for key, x in value.items()]}
    return {"list": [apart(x, arrays) for x in value]} if isinstance(value, list) else {"plain": value}


def together(value, arrays):
    kind, content = next(iter(value.items()))
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: together(x, arrays) for key, x in content}
    return [together(x, arrays) for x in content] if kind == "list" else content


def on_disk(state):
    """The state as a file would give it back."""
    arrays = []
    text = json.dumps(apart(state, arrays))
    return together(json.loads(text), arrays)


def actions(env, obs, rng):
    """Random ones, allowed by the mask where there is one."""
    each = []
    for i in range(env.num_envs):
        mask = obs[MASK][i] if isinstance(obs, dict) else np.ones(100)
        each.append(sample_allowed_action(env.action_space, mask > 0, rng))
    return np.stack(each).astype(env.action_space.dtype)


def assert_goes_on(make, other=None, before=137, after=320, ends=1):
    """``before`` steps, the state through a file into environments that are elsewhere by then, ``after`` more steps."""
    mine, theirs, rng = make(), (other or make)(), np.random.default_rng(0)
    try:
        mine.action_space.seed(0)
        obs = mine.reset(list(range(1, mine.num_envs + 1)))
        for _ in range(before):
            obs = mine.step(actions(mine, obs, rng)).obs
        obs = jax.tree.map(np.array, obs)
        state = on_disk(mine.get_state())
        there = theirs.reset([50] * theirs.num_envs)
        for _ in range(3):
            there = theirs.step(actions(theirs, there, rng)).obs
        theirs.set_state(state)
        assert json.dumps(apart(theirs.get_state(), [])) == json.dumps(apart(state, []))
        ended = 0
        for _ in range(after):
            action = actions(mine, obs, rng)
            steps = [jax.tree.map(np.array, env.step(action)._asdict()) for env in (mine, theirs)]
            for x, y in zip(*map(jax.tree.leaves, steps), strict=True):
                np.testing.assert_array_equal(x, y)
                assert x.dtype == y.dtype
            obs, ended = steps[0]["obs"], ended + int(steps[0]["first"].sum())
        assert ended >= ends
    finally:
        mine.close()
        theirs.close()


def plain(make, num_envs=2):
    return GymnasiumEnv(vector(make, num_envs, AutoresetMode.DISABLED))


def pool(make, num_envs=3):
    return Workers(make, num_envs, check_env(make))


TAXI = max(name for name in gymnasium.registry if name.startswith("Taxi-"))
CHEAP = {
    **{"CartPole-v1": 4, "Acrobot-v1": 1, "MountainCar-v0": 4, "MountainCarContinuous-v0": 0, "Pendulum-v1": 3},
    **{"FrozenLake-v1": 9, "CliffWalking-v1": 0, TAXI: 2},
}
MUJOCO = {"HalfCheetah-v5": 0, "Hopper-v5": 9, "Ant-v5": 1, "Humanoid-v5": 9, "Reacher-v5": 9, "Pusher-v5": 3}
MUJOCO |= {"Humanoid-v4": 9, "Walker2d-v5": 9, "InvertedDoublePendulum-v5": 9}


@pytest.mark.trap(35)
@pytest.mark.parametrize("name", CHEAP)
def test_gymnasiums_own_environments_go_on_exactly(name):
    assert_goes_on(partial(plain, partial(gymnasium.make, name)), after=400, ends=CHEAP[name])


@pytest.mark.trap(35)
@pytest.mark.parametrize("name", MUJOCO)
def test_mujoco_goes_on_exactly(name):
    pytest.importorskip("mujoco")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of v4
        assert_goes_on(partial(plain, partial(gymnasium.make, name)), ends=MUJOCO[name])


@pytest.mark.trap(35)
def test_the_time_limit_goes_on():
    make = partial(gymnasium.make, "Pendulum-v1", max_episode_steps=50)
    mine, theirs, action = plain(make), plain(make), np.zeros((2, 1), np.float32)
    mine.reset([1, 2])
    for _ in range(30):
        mine.step(action)
    theirs.set_state(on_disk(mine.get_state()))
    assert [bool(theirs.step(action).truncated.any()) for _ in range(20)] == [False] * 19 + [True]


@pytest.mark.trap(35)
@pytest.mark.parametrize("seeds", [1, 2])
def test_cartpoles_own_vector_version_goes_on_seeds_side_by_side(seeds):
    def make():
        return make_env("CartPole-v1", 3, groups=seeds)

    env = make()
    assert isinstance(env, EnvGroups if seeds > 1 else GymnasiumEnv)
    env.close()
    assert_goes_on(make, ends=9)


@pytest.mark.trap(35)
@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("before", [53, 54, 57, 58])
def test_every_autoreset_mode_goes_on_also_between_an_end_and_its_reset(mode, before):
    def make():
        return GymnasiumEnv(VectorStatistics(vector(partial(Stateful, (1, 6)), 3, mode)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert_goes_on(make, before=before, after=60, ends=9)
        env, rng = make(), np.random.default_rng(0)
        obs = env.reset([1, 2, 3])
        for _ in range(before):
            obs = env.step(actions(env, obs, rng)).obs
        assert env.get_state()["ended"].any() == (mode is AutoresetMode.NEXT_STEP and before > 53)


@pytest.mark.slow
@pytest.mark.trap(35)
@pytest.mark.parametrize("kind", [plain, pool])
def test_environments_and_wrappers_of_ones_own_go_on(kind):
    assert_goes_on(partial(kind, lambda: Scales(TimeLimit(Stateful((1, 9)), 7))), ends=20)


@pytest.mark.slow
@pytest.mark.trap(35)
@pytest.mark.parametrize("kind", [plain, pool])
@pytest.mark.parametrize(
    "make", [partial(gymnasium.make, TAXI), partial(LawfulState, ACTIONS["discrete"], "info")], ids=["taxi", "lawful"]
)
def test_masks_go_on(make, kind):
    assert_goes_on(partial(kind, make), ends=2, after=350)


@pytest.mark.slow
@pytest.mark.trap(35)
def test_it_does_not_matter_which_process_has_an_environment():
    make = partial(gymnasium.make, "CartPole-v1")

    def turns():
        return DoubleBufferedEnvs([pool(make, 4), pool(make, 4)], 2)

    assert_goes_on(partial(plain, make, 8), partial(pool, make, 8))
    assert_goes_on(turns, partial(plain, make, 8))
    assert_goes_on(partial(pool, make, 8), turns)


GAMES = [
    pytest.param("Breakout", {"episodic_life": True}, 200_000, marks=pytest.mark.exhaustive),
    ("Breakout", {"episodic_life": True, "sticky_actions": 0.25}, 1_000),
    ("Pong", {"frame_cap": 1_200}, 2_000),
]


@pytest.mark.slow
@pytest.mark.trap(35)
@pytest.mark.parametrize(("game", "settings", "frames"), GAMES)
def test_ales_games_go_on_over_several_games(game, settings, frames, monkeypatch):
    pytest.importorskip("ale_py")
    monkeypatch.setattr(ale, "FRAMES_PER_SEED", frames)

    def make():
        return make_env(Game(f"ALE/{game}-v5", AtariConfig(**settings)), 2)

    env = make()
    assert env.get_state() is None  # before the first game
    env.close()
    assert_goes_on(make, before=900, after=650, ends=4)


def unknown():
    lake = partial(gymnasium.make, "CartPole-v1")
    return {
        "an environment without the methods": partial(plain, Script),
        "a wrapper of an unknown function": partial(plain, lambda: TransformReward(lake(), lambda r: r / 2)),
        "in worker processes": partial(pool, Script),
        "in Gymnasium's processes": lambda: GymnasiumEnv(AsyncVectorEnv([lake] * 2)),
        "one of several": lambda: GymnasiumEnv(SyncVectorEnv([lake, lambda: TimeLimit(OtherPole(), 5)])),
    }


class OtherPole(CartPoleEnv):
    """May hold more than the class that it derives from."""


@pytest.mark.parametrize("name", unknown())
def test_where_a_state_cannot_be_had_there_is_none(name):
    env = unknown()[name]()
    try:
        env.reset([1] * env.num_envs)
        assert env.get_state() is None
        with pytest.raises(CheckpointError):
            env.set_state({"steps": 0, "ended": np.zeros(env.num_envs, bool), "vector": [], "envs": [{}] * 2})
    finally:
        env.close()


def test_envpool_gives_none():
    pytest.importorskip("envpool")
    env = make_env("envpool:CartPole-v1", 2)
    env.reset([1, 2])
    assert env.get_state() is None
    env.close()


def test_a_host_env_without_its_own_gives_none():
    class Own(HostEnv):
        pass

    assert Own().get_state() is None
    with pytest.raises(CheckpointError, match="Own has no state"):
        Own().set_state({})


def test_known_wrappers_are_no_hindrance_and_the_state_is_a_copy():
    env = plain(lambda: RecordEpisodeStatistics(ClipAction(gymnasium.make("Pendulum-v1"))))
    env.reset([1, 2])
    state = env.get_state()
    kept, again = [], []
    before = json.dumps(apart(state, kept))
    env.step(np.ones((2, 1), np.float32))
    assert json.dumps(apart(state, again)) == before
    for x, y in zip(kept, again, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pool, {"a": [1, {"b": {1, 2}}]}, r"\['a'\]\[1\]\['b'\] is a set: give"),
        (plain, {"a": [1, {"b": object()}]}, r"\['a'\]\[1\]\['b'\] is a object: give"),
        (plain, {"a": (1, 2)}, r"\['a'\] is a tuple"),
        (plain, {1: 2}, "is a dict"),
        (plain, {"a": np.float32(1)}, r"\['a'\] is a float32"),
        (plain, {"a": np.array([None])}, r"\['a'\] is a ndarray"),
    ],
)
def test_a_state_that_is_not_plain_is_the_environments_fault_and_names_the_place(kind, value, text):
    class Odd(Stateful):
        def get_state(self):
            return value

    env = kind(Odd)
    try:
        env.reset(range(env.num_envs))
        with pytest.raises(EnvError, match=text):
            env.get_state()
        env.step(np.zeros(env.num_envs, int))  # nothing is out of step
    finally:
        env.close()


class OtherState(Stateful):
    """A setter of physics, by the same name."""

    def set_state(self, qpos, qvel):
        raise AssertionError


class OtherGet(Stateful):
    def get_state(self, player):
        raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize("kind", [OtherState, OtherGet])
@pytest.mark.parametrize("make", [plain, pool])
def test_methods_of_other_arguments_mean_something_else(make, kind):
    env = make(kind)
    try:
        env.reset(range(env.num_envs))
        assert env.get_state() is None
    finally:
        env.close()


def replaced(state, path, value):
    """A copy of ``state`` with something else at ``path``."""
    if not path:
        return value
    copy = dict(state) if isinstance(state, dict) else list(state)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


LIMIT, POLE = ("envs", 1, "parts", 0, "state"), ("envs", 1, "parts", 3)
HOSTILE = [
    ((), "pickle", "the state is 'pickle'"),
    (("steps",), 1.5, "steps is a float"),
    (("ended",), np.zeros(3, bool), r"ended is an array bool \(3,\), not an array bool \(2,\)"),
    (("ended",), np.ones(2, bool), "next-step"),
    (("envs",), [], "0 environments"),
    (("envs", 1), None, "environment 1: the environment's state is None"),
    (("envs", 1, "parts"), [], "environment 1: it has 0 values as parts"),
    ((*LIMIT, "_elapsed_steps"), "9", "_elapsed_steps is '9', not int"),
    ((*LIMIT, "_elapsed_steps"), -1, "_elapsed_steps is -1"),
    ((*LIMIT, "_elapsed_steps"), True, "_elapsed_steps is True, not int"),
    ((*LIMIT, "_elapsed_steps"), 2**64, "_elapsed_steps is"),
    (LIMIT, {"__class__": 1}, "TimeLimit is a dict of __class__"),
    (("envs", 1, "parts", 0, "name"), "os:system", "it is of 'os:system', where there is a"),
    ((*POLE, "state", "state"), np.zeros(5), r"state is an array float64 \(5,\)"),
    ((*POLE, "state", "state"), np.zeros(4, object), "state is an array object"),
    ((*POLE, "state", "state"), [0.0] * 4, "state is 4 values"),
    ((*POLE, "generator"), {"bit_generator": "PCG64"}, "the generator of"),
    ((*POLE, "generator", "bit_generator"), "MT19937", "is not a state of a PCG64"),
    ((*POLE, "generator", "state", "state"), 2**128, "is not a state of a PCG64"),
    ((*POLE, "generator", "state", "inc"), -1, "is not a state of a PCG64"),
    ((*POLE, "generator", "has_uint32"), 7, "is not a state of a PCG64"),
]


@pytest.fixture(scope="module")
def poles():
    make = partial(gymnasium.make, "CartPole-v1")
    made = [plain(make), pool(make, 2)]
    yield made
    for env in made:
        env.close()


@pytest.mark.parametrize(("path", "value", "text"), HOSTILE)
def test_a_state_that_does_not_fit_is_refused_and_says_what(path, value, text, poles):
    for env in poles:
        env.reset([1, 2])
        state = env.get_state()
        with pytest.raises(CheckpointError, match="does not fit") as caught:
            env.set_state(replaced(state, path, value))
        if isinstance(env, GymnasiumEnv) or path[:1] == ("envs",):
            assert str(caught.value).startswith("the saved state does not fit the environments: ")
        if isinstance(env, GymnasiumEnv):
            caught.match(text)
        env.reset([1, 2])
        env.set_state(state)


def test_hostile_states_of_other_kinds_are_refused():
    lake = plain(partial(gymnasium.make, "FrozenLake-v1"))
    lake.reset([1, 2])
    place = ("envs", 0, "parts", -1, "state")
    with pytest.raises(CheckpointError, match="s is 16, of 16 states"):
        lake.set_state(replaced(lake.get_state(), (*place, "s"), 16))
    with pytest.raises(CheckpointError, match="desc is 'SG', where there is 'SFFF/FHFH"):
        lake.set_state(replaced(lake.get_state(), (*place, "desc"), "SG"))
    own = plain(Stateful)
    own.reset([1, 2])
    with pytest.raises(CheckpointError, match="set_state raised KeyError: 'length'"):
        own.set_state(replaced(own.get_state(), (*place, "own"), {"episode": 0, "t": 0}))
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CheckpointError, match="nested more than 64 deep"):
        own.set_state(replaced(own.get_state(), (*place, "own"), deep))


def test_hostile_mujoco_states_are_refused():
    pytest.importorskip("mujoco")
    env = plain(partial(gymnasium.make, "Hopper-v5"))
    env.reset([1, 2])
    place = ("envs", 0, "parts", -1, "state")
    for path, value in (
        ((*place, "integration"), np.zeros(3)),
        ((*place, "last_seen", "xpos"), np.zeros((1, 3))),
        ((*place, "last_seen"), {}),
    ):
        with pytest.raises(CheckpointError, match="hopper_v5:HopperEnv"):
            env.set_state(replaced(env.get_state(), path, value))


def test_hostile_games_are_refused():
    pytest.importorskip("ale_py")
    env = make_env(Game("ALE/Pong-v5", AtariConfig()), 2)
    try:
        env.reset([1, 2])
        for _ in range(20):
            env.step(np.zeros(2, int))
        state = env.get_state()
        for path, value, text in (
            ((0, "actions"), np.full(20, 200, np.uint8), "has 200; there are 6 actions"),
            ((0, "actions"), np.zeros(20), "actions of game 0 is an array float64"),
            ((0, "actions"), np.full(20, 2, np.uint8), "came out differently"),
            ((0, "seed"), 2**31, "the seed of game 0 is"),
            ((0, "lives"), 3, "came out differently .lives"),
            ((0,), {}, "game 0 is a dict of nothing"),
        ):
            with pytest.raises(CheckpointError, match=text):
                env.set_state(replaced(state, ("envs", *path), value))
    finally:
        env.close()


def test_every_known_class_is_still_there_and_has_these_attributes():
    """Gymnasium may rename them."""
    for name, fields in env_state.KNOWN.items():
        module, _, qualname = name.partition(":")
        source = __import__(module, fromlist=[qualname])
        assert hasattr(source, qualname), name
        text = Path(source.__file__).read_text()
        assert all(f"self.{field}" in text for field in fields), name
