"""Several host environments as one: seeds side by side, and groups that take turns with the policy."""

from functools import partial
from itertools import product

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.envs import env_seeds, make_env, make_env_shards
from proximax.envs.env_groups import (
    NOT_DOUBLE_BUFFERED,
    DoubleBufferedEnvs,
    EnvGroups,
    ShardedEnvs,
    pipeline_groups,
    vectorise,
)
from proximax.envs.envpool_env import EnvPoolEnv
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.errors import CheckpointError, UsageError
from proximax.ppo.host_rollout import collect
from tests.support.toy_envs import host_learner, roll, vector
from tests.support.toy_gym import ACTIONS, Lawful, Script

PPO = PPOConfig(num_steps=24, minibatch_size=24, epochs=2, hidden=(4,))


@pytest.fixture
def cores(monkeypatch):
    """As if there were four, of which a group of workers uses two, and no environment were cheap."""
    for module, number in (("env_groups", 4), ("make", 4), ("workers.vector_env", 2)):
        monkeypatch.setattr(f"proximax.envs.{module}.usable_cores", lambda number=number: list(range(number)))
    monkeypatch.setattr("proximax.envs.env_groups.WORKER_SECONDS", 0.0)


def test_groups_share_nothing():
    def make():
        return GymnasiumEnv(vector(Script, 2, AutoresetMode.NEXT_STEP))

    both = EnvGroups([make(), make()])
    _, together, _ = roll(both, 20, seeds=[1, 2, 3, 4])
    for group, seeds in enumerate(([1, 2], [3, 4])):
        _, alone, _ = roll(make(), 20, seeds=seeds)
        for name in ("obs", "final_obs", "reward", "valid", "first"):
            np.testing.assert_array_equal(
                getattr(together, name)[:, :, 2 * group : 2 * group + 2], getattr(alone, name), err_msg=name
            )


def learned(env, seeds, updates=3):
    """What the learner has seen and become, and what it counted, after some updates."""
    learner, state, _ = host_learner(env, PPO, steps=1920, seeds=seeds)
    counts = []
    for _ in range(updates):
        state, metrics = learner.step(state)
        counts.append([np.asarray(metrics[name]) for name in ("episodes", "return_sum", "length_sum", "steps")])
    env.close()
    return jax.tree.map(np.asarray, (state.rollout, counts)), jax.tree.map(np.asarray, state.params)


MAKES = {
    "workers": lambda seeds, turns: vectorise(Script, 4, seeds, turns),
    "masked": lambda seeds, turns: vectorise(partial(Lawful, ACTIONS["nested"], "info"), 4, seeds, turns),
    "envpool": lambda seeds, turns: make_env("envpool:Acrobot-v1", 4, groups=seeds, env_groups=turns),
}


# Every number of seeds with every number of turns, in processes and in threads, and masks once; the rest is exhaustive.
PAIRS = {("workers", 1, 2), ("workers", 2, 4), ("masked", 1, 4), ("envpool", 2, 2), ("envpool", 1, 4)}
CASES = [
    pytest.param(*case, marks=() if case in PAIRS else pytest.mark.exhaustive)
    for case in product(MAKES, (1, 2), (2, 4))
]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "seeds", "turns"), CASES)
def test_turns_give_the_same_transitions_as_all_at_once(make, seeds, turns, cores):
    """Also what is learned from them; only the products of fewer rows may round otherwise."""
    seen, params = learned(MAKES[make](seeds, 1), seeds)
    env = MAKES[make](seeds, turns)
    assert isinstance(env, DoubleBufferedEnvs)
    assert len(env.groups) == turns
    seen_in_turns, params_in_turns = learned(env, seeds)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), seen_in_turns, seen)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), params_in_turns, params)


@pytest.mark.slow
def test_turns_as_a_whole_are_the_same_environments_in_the_same_order(cores):
    histories = []
    for turns in (1, 2):
        env, rng = vectorise(partial(Lawful, ACTIONS["discrete"], nested=True), 4, 2, turns), np.random.default_rng(0)
        seen = [jax.tree.map(np.array, env.reset(env_seeds(3, 8)))]
        for _ in range(20):
            seen.append(jax.tree.map(np.array, tuple(env.step(5 + rng.integers(0, 3, 8)))))
        env.close()
        histories.append(seen)
    jax.tree.map(np.testing.assert_array_equal, *histories)
    noise = histories[0][0]["script"][:, 2]
    assert len(np.unique(noise)) == 8


@pytest.mark.slow
def test_shards_are_stepped_apart_and_each_may_take_turns(cores):
    def make(*shards):
        return make_env_shards(partial(gymnasium.make, "CartPole-v1"), 8, range(*shards), 2, groups=2, env_groups=2)

    seeds = np.asarray([env_seeds(seed, 8) for seed in (3, 4)])
    both, second = make(0, 2), make(1, 2)
    assert isinstance(both, ShardedEnvs)
    assert [group.columns for group in pipeline_groups(both)] == [slice(i, i + 2) for i in (0, 2, 4, 6)]
    assert [group.columns for group in pipeline_groups(second)] == [slice(0, 2), slice(2, 4)]
    together, alone = both.reset(seeds.ravel().tolist()), second.reset(seeds[:, 4:].ravel().tolist())
    for _ in range(30):  # some episodes end
        np.testing.assert_array_equal(together.reshape(2, 8, -1)[:, 4:], alone.reshape(2, 4, -1))
        actions = np.tile(np.arange(8) % 2, (2, 1))
        together, alone = both.step(actions.ravel()).obs, second.step(actions[:, 4:].ravel()).obs
    # The second shard's state is the same wherever it is, and goes back into either.
    state = both.get_state()
    assert len(state["groups"]) == 2
    jax.tree.map(np.testing.assert_array_equal, state["groups"][1:], second.get_state()["groups"])
    with pytest.raises(CheckpointError, match="not of 1 groups"):
        second.set_state(state)
    both.close()
    second.close()


def test_an_object_cannot_be_divided_among_shards():
    env = vector(Script, 4, AutoresetMode.NEXT_STEP)
    with pytest.raises(UsageError, match="shards = 2: each has environments of its own; give an id or a callable"):
        make_env_shards(env, 4, range(2), 2, groups=1)
    env.close()


class Logs(GymnasiumEnv):
    """Notes when it is sent actions, and when it is waited for."""

    def __init__(self, name, log):
        super().__init__(vector(Script, 2, AutoresetMode.NEXT_STEP))
        self.name, self.log = name, log

    def send(self, action):
        self.log.append(f"send {self.name}")
        super().send(action)

    def receive(self):
        self.log.append(f"receive {self.name}")
        return super().receive()


@pytest.mark.slow
def test_one_group_steps_while_the_policy_acts_for_the_next(monkeypatch):
    log = []
    env = DoubleBufferedEnvs([Logs("a", log), Logs("b", log)], seeds=1)

    def noted(env, act_once, *rest):
        def act(carry, obs, first, place):
            log.append(f"act for {place[1]}")
            return act_once(carry, obs, first, place)

        return collect(env, act, *rest)

    monkeypatch.setattr("proximax.ppo.host_learner.collect", noted)
    learner, state, _ = host_learner(env, PPO, steps=960)
    log.clear()
    learner.step(state)
    a, b = ["act for 0", "send a"], ["act for 2", "send b"]
    again = [*["receive a", *a], *["receive b", *b]]
    assert log == a + b + again * (PPO.num_steps - 1) + ["receive a", "receive b"]


@pytest.mark.slow
def test_an_environments_noise_is_its_own_whatever_others_there_are():
    """The first two environments of four act as they do alone."""
    rows = []
    for num_envs in (2, 4):
        learner, state, _ = host_learner(vector(Script, num_envs, AutoresetMode.SAME_STEP), PPO, steps=24 * num_envs)
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "proximax.ppo.host_learner.collect", lambda *a, seen=seen: seen.append(collect(*a)) or seen[-1]
            )
            learner.step(state)
        rows.append(seen[0][1])
    np.testing.assert_array_equal(rows[0].action, rows[1].action[:, :, :2])
    assert np.any(rows[1].action[:, :, 0] != rows[1].action[:, :, 1])


@pytest.mark.slow
def test_every_group_may_use_all_cores(cores, monkeypatch):
    monkeypatch.setattr("proximax.envs.workers.vector_env.usable_cores", lambda: [0, 1, 2, 3])
    env = vectorise(Script, 8, 1, 2)
    assert [len(group.env._workers) for group in env.groups] == [4, 4]
    assert [group.columns for group in env.groups] == [slice(0, 4), slice(4, 8)]
    env.close()


def test_turns_that_cannot_be_are_refused_or_noted(cores):
    with pytest.raises(UsageError, match="env_groups = 3: must divide num_envs = 4"):
        vectorise(Script, 4, 1, 3)
    with pytest.raises(UsageError, match="env_groups = 2: an environment object is one group"):
        make_env(vector(Script, 4, AutoresetMode.SAME_STEP), env_groups=2)
    with pytest.raises(UsageError, match="env_groups = 0: must be an integer >= 1"):
        RunConfig("CartPole-v1", env_groups=0).check()
    for env in (make_env("CartPole-v1", 4, env_groups=2), make_env("CartPole-v1", 4, groups=2, env_groups=2)):
        assert NOT_DOUBLE_BUFFERED in env.notes
    assert not make_env("CartPole-v1", 4).notes


def test_gymnasiums_own_asynchronous_environments_step_aside():
    """A wrapper's step is its own: it is not passed by."""
    from gymnasium.wrappers.vector import RecordEpisodeStatistics

    env = GymnasiumEnv(AsyncVectorEnv([Script] * 2, autoreset_mode=AutoresetMode.NEXT_STEP, context="forkserver"))
    plain = GymnasiumEnv(vector(Script, 2, AutoresetMode.NEXT_STEP))
    assert env.steps_in_background
    assert not plain.steps_in_background
    for a, b in zip(roll(env, 20)[1], roll(plain, 20)[1]):
        if a is not None:
            np.testing.assert_array_equal(a, b)
    env.close()
    pool = make_env("envpool:CartPole-v1", 2)
    assert isinstance(pool, EnvPoolEnv)
    assert pool.steps_in_background
    wrapped = GymnasiumEnv(RecordEpisodeStatistics(vector(Script, 2, AutoresetMode.NEXT_STEP)))
    assert not wrapped.steps_in_background
    roll(wrapped, 20)
    assert wrapped.env.episode_count > 0
    pool.close()
