"""Episode ends on host environments, flat and nested: traps 1 to 7, 17, 32, 33, 34."""

import sys
import time
from functools import partial

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit

from proximax.envs import env_seeds, make_env
from proximax.envs.env_groups import EnvGroups, vectorise
from proximax.envs.envpool_env import EnvPoolEnv
from proximax.envs.gymnasium_env import GymnasiumEnv, autoreset_mode
from proximax.envs.workers.vector_env import Workers
from proximax.errors import EnvError, UsageError
from proximax.ppo.host_rollout import collect, host_buffers, host_rollout_state
from proximax.types import Acted
from tests.support.toy_envs import roll, valid_rows, vector
from tests.support.toy_gym import ACTIONS, NESTED_OBS, Fixed, Lawful, Script, at, places, view

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


@pytest.mark.trap(3)
def test_next_step_autoreset_row_is_no_transition():
    env = GymnasiumEnv(vector(Fixed, 2, AutoresetMode.NEXT_STEP))
    _, rollout, _ = roll(env, 8)
    np.testing.assert_array_equal(rollout.valid[:, 0, 0], [1, 1, 1, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(rollout.reward[:, 0, 0], [1, 1, 1, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(rollout.first[:, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0])


@pytest.mark.trap(3)
def test_an_end_in_the_last_row_makes_row_0_of_the_next_rollout_invalid():
    env = GymnasiumEnv(vector(Fixed, 2, AutoresetMode.NEXT_STEP))
    state, rollout, _ = roll(env, 7)
    assert rollout.valid[:, 0, 0].sum() == 6
    _, rollout, _ = roll(env, 7, state)
    np.testing.assert_array_equal(rollout.valid[:, 0, 0], [0, 1, 1, 1, 0, 1, 1])
    np.testing.assert_array_equal(rollout.first[:, 0, 0], [0, 1, 0, 0, 0, 1, 0])


@pytest.mark.trap(4)
def test_every_autoreset_mode_gives_the_same_transitions():
    rows = []
    for mode in MODES:
        env = GymnasiumEnv(vector(Script, 3, mode))
        state, first, _ = roll(env, 37, seeds=env_seeds(5, 3))
        _, second, _ = roll(env, 37, state)
        rows.append([valid_rows(first, i) + valid_rows(second, i) for i in range(3)])
    for i in range(3):
        shortest = min(len(mode[i]) for mode in rows)
        assert shortest > 40
        assert rows[0][i][:shortest] == rows[1][i][:shortest] == rows[2][i][:shortest]


@pytest.mark.trap(2)
@pytest.mark.parametrize("mode", MODES)
def test_final_obs_is_the_observation_before_the_reset(mode):
    _, rollout, _ = roll(GymnasiumEnv(vector(Script, 2, mode)), 40)
    for i in range(2):
        for obs, final_obs, first, _, terminated, truncated in valid_rows(rollout, i):
            assert final_obs[:2] == [obs[0], obs[1] + 1]  # same episode, next step: never the reset observation
            assert first == (obs[1] == 0)
            assert terminated or truncated or final_obs[1] < 6


@pytest.mark.trap(33)
@pytest.mark.parametrize("mode", MODES)
def test_episode_returns_are_the_exact_sums_of_raw_rewards(mode):
    env = GymnasiumEnv(vector(Script, 2, mode))
    state, _, before = roll(env, 23, seeds=[11, 12])
    _, _, after = roll(env, 29, state)
    expected, lengths, finished = 0.0, 0, 0
    for seed, valid in zip((11, 12), _valid_counts(mode)):
        one = Script()
        one.reset(seed=seed)
        total, length = 0.0, 0
        for _ in range(valid):
            _, reward, terminated, truncated, _ = one.step(0)
            total, length = total + reward, length + 1
            if terminated or truncated:
                expected, lengths, finished, total, length = expected + total, lengths + length, finished + 1, 0.0, 0
                one.reset()
    assert before["episodes"][0] + after["episodes"][0] == finished
    assert before["length_sum"][0] + after["length_sum"][0] == lengths
    assert before["return_sum"][0] + after["return_sum"][0] == pytest.approx(expected, rel=1e-12)


def _valid_counts(mode):
    env = GymnasiumEnv(vector(Script, 2, mode))
    state, a, _ = roll(env, 23, seeds=[11, 12])
    _, b, _ = roll(env, 29, state)
    return (a.valid.sum(axis=0) + b.valid.sum(axis=0))[0].astype(int)


class Reusing(VectorEnv):
    """Hands out the same array at every step, as EnvPool and ALE may; a full ``final_obs`` array as ALE gives."""

    num_envs = 2
    single_observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (2, 1), np.float32)
    single_action_space = spaces.Discrete(2)
    action_space = spaces.MultiDiscrete([2, 2])
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self):
        self.buffer, self.final = np.zeros((2, 1), np.float32), np.zeros((2, 1), np.float32)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        self.buffer[:] = 0
        return self.buffer, {}

    def step(self, actions):
        self.t += 1
        last = np.full(2, self.t % 4 == 0)
        self.final[:] = self.t
        self.buffer[:] = self.t + 0.5 if last[0] else self.t
        return self.buffer, np.ones(2), np.zeros(2, bool), last, {"final_obs": self.final} if last[0] else {}


@pytest.mark.trap(5)
def test_buffers_that_the_environment_reuses_are_copied():
    _, rollout, _ = roll(GymnasiumEnv(Reusing()), 8)
    np.testing.assert_array_equal(rollout.final_obs[:, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(rollout.obs[:, 0, 0, 0], [0, 1, 2, 3, 4.5, 5, 6, 7])


class Recycles(Script):
    """Writes every observation into the same array."""

    def __init__(self):
        super().__init__((3, 3))
        self.array = np.zeros(3, np.float32)

    def _obs(self):
        self.array[:] = super()._obs()
        return self.array


class SlowlyRecycles(Recycles):
    def step(self, action):
        time.sleep(0.004)
        return super().step(action)


@pytest.mark.slow
@pytest.mark.trap(5)
@pytest.mark.parametrize("make", [Recycles, SlowlyRecycles])
def test_an_environment_that_reuses_its_observation_array_keeps_its_final_observation(make):
    env = vectorise(make, 2)
    try:
        assert isinstance(env, GymnasiumEnv if make is Recycles else Workers)
        _, rollout, _ = roll(env, 7)
        np.testing.assert_array_equal(rollout.final_obs[:, 0, 0, 1], [1, 2, 3, 1, 2, 3, 1])
        np.testing.assert_array_equal(rollout.obs[:, 0, 0, 1], [0, 1, 2, 0, 1, 2, 0])
    finally:
        env.close()


@pytest.mark.trap(5)
def test_missing_final_obs_is_an_error_that_says_so():
    env = Reusing()
    step = env.step
    env.step = lambda actions: (*step(actions)[:4], {})
    with pytest.raises(EnvError, match=r"environment 0 at step 4.*final_obs"):
        roll(GymnasiumEnv(env), 8)


@pytest.mark.trap(7)
def test_envpool_takes_its_seeds_when_made_and_steps_with_next_step_autoreset():
    pytest.importorskip("envpool")
    seeds = env_seeds(3, 4)
    env = make_env("envpool:CartPole-v1", 4)
    assert isinstance(env, EnvPoolEnv)
    first = env.reset(seeds)
    np.testing.assert_array_equal(env.reset(seeds), first)
    assert not np.array_equal(env.reset(env_seeds(4, 4)), first)
    _, rollout, episodes = roll(env, 60, seeds=seeds)
    last = (rollout.terminated | rollout.truncated)[:-1]
    np.testing.assert_array_equal(rollout.valid[1:] == 0, last)  # the row after each end, and no other
    assert episodes["return_sum"] == episodes["length_sum"] > 0
    np.testing.assert_array_equal(rollout.obs[1:][~last], rollout.final_obs[:-1][~last])
    env.close()


@pytest.mark.trap(32)
def test_actions_go_back_in_the_environments_dtype_and_a_discrete_start_is_honoured():
    seen = []

    class Typed(Script):
        action_space = spaces.Discrete(3, start=5)

        def step(self, action):
            seen.append(action)
            return super().step(action)

    env = GymnasiumEnv(vector(Typed, 2, AutoresetMode.SAME_STEP))
    env.reset([1, 2])
    env.step(np.array([5, 7], np.int32))
    assert [int(a) for a in seen] == [5, 7]
    assert all(np.asarray(a).dtype == np.int64 for a in seen)


@pytest.mark.trap(34)
def test_environment_seeds_are_independent_and_do_not_overlap_between_runs():
    runs = [set(env_seeds(seed, 64)) for seed in range(50)]
    assert all(len(run) == 64 for run in runs)
    assert not set.intersection(runs[0], runs[1])
    assert len(set.union(*runs)) == 64 * 50
    assert env_seeds(7, 8) == env_seeds(7, 8)
    assert env_seeds(7, 4) == env_seeds(7, 8)[:4]


def test_autoreset_mode_is_never_guessed():
    env = Reusing()
    env.metadata = {}
    with pytest.raises(UsageError, match=r"next_step, same_step, disabled: autoreset=\.\.\., --autoreset on"):
        GymnasiumEnv(env)
    assert autoreset_mode(env, "same_step") is AutoresetMode.SAME_STEP
    env.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    with pytest.raises(UsageError, match="contradicts"):
        autoreset_mode(env, "next_step")


@pytest.mark.trap(7)
def test_a_mode_written_into_shared_metadata_by_another_environment_is_not_believed():
    modes = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
    envs = [vector(Script, 2, mode) for mode in modes]
    for env in envs:
        env.metadata = envs[-1].metadata  # as Gymnasium before 1.4 does
    assert [GymnasiumEnv(env).mode for env in envs] == modes


class Raises(Script):
    def __init__(self, when="step"):
        super().__init__()
        self.when = when
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        if self.when == "reset":
            raise ValueError("no level loaded")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps += 1
        if self.steps == 3:
            raise ZeroDivisionError("oh no")
        return super().step(action)


def test_an_environment_that_raises_is_named_with_its_step():
    env = GymnasiumEnv(SyncVectorEnv([Script, Raises], autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.raises(EnvError, match="environment 1 raised in step at step 2: ZeroDivisionError: oh no") as info:
        roll(env, 5)
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    text = "environment 0 raised in reset at step 0: ValueError: no level loaded"
    env = GymnasiumEnv(SyncVectorEnv([lambda: Raises("reset")], autoreset_mode=AutoresetMode.SAME_STEP), masked=False)
    with pytest.raises(EnvError, match=text):
        env.reset([0])
    with pytest.raises(EnvError, match=text):  # it looks for masks
        GymnasiumEnv(env.env)


class Exits(Script):
    """Ends the process at its third step, or in its second reset."""

    def __init__(self, where):
        super().__init__()
        self.where, self.steps, self.resets = where, 0, 0

    def reset(self, **options):
        self.resets += 1
        if self.where == "reset" and self.resets == 2:
            sys.exit()
        return super().reset(**options)

    def step(self, action):
        self.steps += 1
        if self.where == "step" and self.steps == 3:
            sys.exit(0)
        return super().step(action)


@pytest.mark.parametrize("where", ["reset", "step"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_an_environment_that_exits_is_an_error(where, mode):
    env = GymnasiumEnv(vector(partial(Exits, where), 1, mode), masked=False)
    with pytest.raises(EnvError, match=r"environment 0 raised in \w+ at step \d: SystemExit"):
        roll(env, 20)


@pytest.mark.trap(42)
def test_one_environment_object_is_not_several_environments():
    env = Script()
    for make in (lambda: env, lambda: TimeLimit(env, 5)):
        with pytest.raises(UsageError, match=r"the same environment object more than once.*each of the 2 environments"):
            make_env(make, 2)
        with pytest.raises(UsageError, match="the same environment object more than once"):
            make_env(vector(make, 2, AutoresetMode.NEXT_STEP))
    make_env(lambda: env, 1).close()


def test_cartpole_uses_its_own_vector_version():
    env = make_env("CartPole-v1", 4)
    assert type(env.env.unwrapped).__name__ == "CartPoleVectorEnv"
    assert isinstance(make_env("CartPole-v1", 4, groups=2), EnvGroups)
    assert isinstance(make_env("MountainCar-v0", 2).env, SyncVectorEnv)
    assert isinstance(gymnasium.make("CartPole-v1").action_space, spaces.Discrete)


# ---------------------------------------------------------------- nested observations and actions

NESTED = partial(Lawful, ACTIONS["nested"], nested=True)  # raises for an action of other types or form


def nested_actions(num_envs):
    """Some action of the nested space for each environment, in wider types than its own."""
    aim, arm, turn = np.array([[3], [1]]), (np.zeros(2), np.array([1, 0])), np.array(2)
    return jax.tree.map(lambda x: np.tile(x, (num_envs, *[1] * x.ndim)), {"aim": aim, "arm": arm, "turn": turn})


def nested_rows(env, steps, seeds):
    """Of each environment (obs, final_obs, first, terminated, truncated) of its valid steps, observations as trees."""
    obs, first = env.reset(seeds), np.ones(env.num_envs, bool)
    rows = [[] for _ in seeds]
    for _ in range(steps):
        before = jax.tree.map(np.array, obs)
        s = env.step(nested_actions(env.num_envs))
        for i in np.flatnonzero(s.valid):
            one, final = (jax.tree.map(lambda x, i=i: np.array(x[i]), tree) for tree in (before, s.final_obs))
            rows[i].append((one, final, bool(first[i]), bool(s.terminated[i]), bool(s.truncated[i])))
        obs, first = s.obs, np.array(s.first)
    return rows


def plain(tree):
    return jax.tree.map(lambda x: np.asarray(x).tolist(), tree)


@pytest.mark.trap(4)
def test_every_autoreset_mode_gives_the_same_nested_transitions():
    found = [nested_rows(GymnasiumEnv(vector(NESTED, 3, mode)), 60, env_seeds(5, 3)) for mode in MODES]
    for rows in zip(*found):
        shortest = min(map(len, rows))
        assert shortest > 40
        assert plain(rows[0][:shortest]) == plain(rows[1][:shortest]) == plain(rows[2][:shortest])


@pytest.mark.trap(2)
@pytest.mark.parametrize("mode", MODES)
def test_every_leaf_of_a_nested_final_obs_is_that_before_the_reset(mode):
    for rows in nested_rows(GymnasiumEnv(vector(NESTED, 2, mode)), 60, [1, 2]):
        assert sum(terminated or truncated for *_, terminated, truncated in rows) > 8
        for obs, final, first, *_ in rows:
            script = final["script"]
            assert script[:2].tolist() == [obs["script"][0], obs["script"][1] + 1]  # same episode, next step
            assert plain(final) == plain(view(script))  # and so for every leaf
            assert first == (obs["script"][1] == 0)


@pytest.mark.trap(32)
@pytest.mark.parametrize("mode", MODES)
def test_nested_observations_come_as_plain_trees_in_the_stored_types(mode):
    env = GymnasiumEnv(vector(NESTED, 2, mode))
    assert env.observation_space == NESTED_OBS
    trees = [env.reset([1, 2])]
    for _ in range(12):
        s = env.step(nested_actions(2))
        trees += [s.obs, s.final_obs]
    types = {"bits": np.int8, "dial": np.int64, "script": np.float32}
    for tree in trees:
        assert type(tree) is dict
        assert type(tree["eye"]) is tuple
        assert {key: tree[key].dtype for key in types} == types
        assert [x.dtype for x in tree["eye"]] == [np.uint8, np.int32]
        assert [at(tree, path).shape for path, _ in places(NESTED_OBS)] == [
            (2, *leaf.shape) for _, leaf in places(NESTED_OBS)
        ]


def test_nested_groups_share_nothing():
    def make():
        return GymnasiumEnv(vector(NESTED, 2, AutoresetMode.SAME_STEP))

    together = nested_rows(EnvGroups([make(), make()]), 20, [1, 2, 3, 4])
    alone = nested_rows(make(), 20, [1, 2]) + nested_rows(make(), 20, [3, 4])
    assert plain(together) == plain(alone)


@pytest.mark.trap(5)
def test_nested_buffers_that_the_environment_reuses_are_copied():
    class Reuses(Lawful):
        """Writes every observation into the same arrays."""

        kept = None

        def _obs(self):
            obs = super()._obs()
            if self.kept is None:
                self.kept = jax.tree.map(np.array, obs)
            jax.tree.map(lambda old, new: np.copyto(old, new), self.kept, jax.tree.map(np.asarray, obs))
            return self.kept

    env = vectorise(partial(Reuses, ACTIONS["nested"], nested=True), 2)
    for rows in nested_rows(env, 30, [1, 2]):
        for obs, final, *_ in rows:
            assert final["script"][:2].tolist() == [obs["script"][0], obs["script"][1] + 1]
            assert plain(final) == plain(view(final["script"]))


def test_collect_fills_buffers_of_every_leaf():
    env = GymnasiumEnv(vector(NESTED, 2, AutoresetMode.NEXT_STEP))
    obs = env.reset([1, 2])
    zeros = np.zeros((1, 2))
    state = host_rollout_state(jax.tree.map(lambda x: x[None], obs), zeros == 0, (), zeros, zeros)
    action = jax.tree.map(lambda x: x[None], nested_actions(2))
    buffers = host_buffers(30, state, (np.zeros((1, 2, 4), np.int32), np.zeros((1, 2), np.float32)))
    acted = Acted((np.ones((1, 2, 4), np.int32), np.full((1, 2), 7.0)), np.zeros((1, 2), np.float32), action, ())
    _, rollout, _ = collect(env, lambda *_: acted, state, buffers)
    expected = nested_rows(GymnasiumEnv(vector(NESTED, 2, AutoresetMode.NEXT_STEP)), 30, [1, 2])
    for i in range(2):
        keep = rollout.valid[:, 0, i] > 0
        for name, column in (("obs", 0), ("final_obs", 1)):
            found = jax.tree.map(lambda x, i=i, keep=keep: x[keep, 0, i], getattr(rollout, name))
            hand = jax.tree.map(lambda *x: np.stack(x), *(row[column] for row in expected[i]))
            jax.tree.map(np.testing.assert_array_equal, found, hand)
    assert [x.shape for x in rollout.action] == [(30, 1, 2, 4), (30, 1, 2)]
    assert all((x == value).all() for x, value in zip(rollout.action, (1, 7)))


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("place", "wrong", "text"),
    [
        (0, lambda obs: obs[:, :1], r"observations have shape \(8, 1\): its 8 environments .* say \(8, 3\)"),
        (0, lambda obs: obs[:3], r"observations have shape \(3, 3\)"),
        (1, lambda r: r[:3], r"rewards are of float64 and shape \(3,\): .* shape \(8,\), one number for each"),
        (1, lambda r: 1.0, "rewards are a float"),
        (2, lambda x: x.astype(float), r"terminated are of float64 and shape \(8,\): .* one bool for each"),
        (3, lambda x: x[:3], r"truncated are of bool and shape \(3,\)"),
        (3, lambda x: x + 2, r"truncated are of int64 and shape \(8,\)"),
    ],
)
def test_a_vector_environment_whose_arrays_have_wrong_shapes_is_told_which(place, wrong, text):
    env = vector(Script, 8, AutoresetMode.NEXT_STEP)
    step = env.step

    def wrong_step(actions):
        outcome = list(step(actions))
        outcome[place] = wrong(outcome[place])
        return tuple(outcome)

    env.step = wrong_step
    made = GymnasiumEnv(env)
    made.reset(list(range(8)))
    with pytest.raises(EnvError, match=text):
        made.step(np.zeros(8, np.int64))
