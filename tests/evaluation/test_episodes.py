"""The one loop that plays episodes on host environments: what it yields, what it counts, when it ends."""

from functools import partial

import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from proximax.config.ppo_config import PPOConfig
from proximax.envs import HostEnv, make_env
from proximax.errors import EnvError, NumericalError
from proximax.evaluation.episodes import EpisodePlayer, check_masks, sampling_keys
from proximax.policy.policy import make_policy
from proximax.types import Step
from tests.support.toy_envs import vector
from tests.support.toy_gym import Fixed, Script


def play(env, quota, seed=0, **more):
    env = make_env(env)
    policy = make_policy(env.observation_space, env.action_space, PPOConfig(hidden=(4,)))
    player = EpisodePlayer(env, policy, sample=False)
    return list(player.play(policy.init(jax.random.key(0)), None, seed, np.array(quota), **more))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_the_reset_comes_first_and_then_every_step_until_the_quota_is_played(mode):
    steps = play(vector(Fixed, 2, mode), [2, 1])  # episodes of three steps that pay 1 each
    assert [x.tolist() for x in steps[0]] == [[0, 0], [0, 0], [0, 0], [False, False]]
    # In next-step mode a reset is a step that does not count.
    reset = [0] if mode is AutoresetMode.NEXT_STEP else []
    lengths = [0, 1, 2, 3, *reset, 1, 2, 3]
    assert [step.length[0] for step in steps] == lengths
    assert [step.total[0] for step in steps] == lengths
    assert [step.ended[0] for step in steps] == [length == 3 for length in lengths]
    assert [step.episode[0] for step in steps] == [0] * 4 + [1] * (len(lengths) - 4)


def test_an_episode_that_is_still_running_after_so_many_steps_ends_the_loop():
    steps = play(vector(partial(Script, (50, 50)), 2, AutoresetMode.SAME_STEP), [1, 1], max_steps=7)
    assert [step.length.max() for step in steps] == list(range(8))
    assert not any(step.ended.any() for step in steps)


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"obs": np.nan}, NumericalError, r"the observation is not finite in environment 0, step 1 of its episode"),
        ({"reward": np.inf}, NumericalError, r"the reward is inf in environment 0, step 1 of its episode"),
        ({"obs": 1e300}, EnvError, r"the observation of environment 0 at \[0\] is 1e\+300, which float32 cannot hold"),
    ],
)
def test_what_is_not_finite_or_does_not_fit_ends_an_evaluation_too(wrong, error, text):
    class Breaks(Script):
        observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)

        def step(self, action):
            obs, reward, *ends = super().step(action)
            if self.t == 2:
                obs, reward = np.full(3, wrong.get("obs", 0.0)), wrong.get("reward", 0.0)
            return obs, reward, *ends

    with pytest.raises(error, match=text):
        play(vector(partial(Breaks, (4, 4)), 2, AutoresetMode.SAME_STEP), [1, 1])


class Crashing(HostEnv):
    """Pays 1 a step; its first episode crashes at its second step, later ones end at their third."""

    num_envs = 1

    def __init__(self):
        self.observation_space, self.action_space = Fixed.observation_space, Fixed.action_space
        self.t, self.crashed = 0, False

    def obs(self):
        return np.zeros((1, *self.observation_space.shape), self.observation_space.dtype)

    def reset(self, seeds):
        return self.obs()

    def send(self, action):
        self.t += 1

    def receive(self):
        crash = not self.crashed and self.t == 2
        self.crashed |= crash
        ended = self.t == 3
        self.t = 0 if crash or ended else self.t
        flag, over = partial(np.full, 1), np.array([ended])
        return Step(
            self.obs(),
            self.obs(),
            np.ones(1),
            over,
            flag(crash),
            flag(crash | ended),
            flag(not crash),
            episode_over=over,
        )


def test_an_episode_that_a_crash_cut_is_played_again():
    steps = play(Crashing(), [1])
    assert [step.length[0] for step in steps] == [0, 1, 1, 1, 2, 3]
    assert [step.ended[0] for step in steps] == [False] * 5 + [True]
    assert (steps[-1].episode[0], steps[-1].total[0]) == (0, 3.0)


def test_empty_masks_are_refused_with_the_environment_and_its_step():
    check_masks(np.array([False, False]), np.array([3, 4]))
    with pytest.raises(EnvError, match="mask of environment 1 allowed nothing at step 4"):
        check_masks(np.array([False, True]), np.array([3, 4]))


def test_keys_depend_on_the_seed_alone_and_never_repeat():
    first, again, other = (sampling_keys(seed) for seed in (1, 1, 2))
    data = [jax.random.key_data(next(first)).tolist() for _ in range(9)]
    assert data == [jax.random.key_data(next(again)).tolist() for _ in range(9)]
    assert len({*map(str, data)}) == 9
    assert jax.random.key_data(next(other)).tolist() not in data
