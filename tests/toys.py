"""Small environments with known answers, and short ways to make a learner, for the tests."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from proximax.config import PPOConfig, RunConfig
from proximax.envs.host import GymnasiumEnv
from proximax.policy import make_policy
from proximax.ppo import make_host_learner, seed_key


class Script(gymnasium.Env):
    """Episodes of drawn lengths and rewards, whatever the action. obs = [episode, step, noise]; odd episodes terminate,
    even ones hit a time limit; every fifth ends in both ways at once.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, lengths: tuple[int, int] = (1, 6)) -> None:
        self.lengths = lengths
        self.episode = -1

    def _obs(self) -> np.ndarray:
        return np.array([self.episode, self.t, self.np_random.normal()], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode = 0 if seed is not None else self.episode + 1
        self.t = 0
        self.length = int(self.np_random.integers(*self.lengths, endpoint=True))
        return self._obs(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        last = self.t == self.length
        both = self.episode % 5 == 4
        terminated = last and (both or self.episode % 2 == 1)
        truncated = last and (both or self.episode % 2 == 0)
        return self._obs(), float(self.np_random.normal()), terminated, truncated, {}


class Fixed(Script):
    """Episodes of exactly three steps, reward 1."""

    def __init__(self) -> None:
        super().__init__((3, 3))

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, 1.0, terminated, truncated, info


def vector(make: Callable[[], gymnasium.Env], num_envs: int, mode: AutoresetMode) -> VectorEnv:
    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)


def host_learner(env: Any, ppo: PPOConfig, steps: int | None = None, seeds: int = 1, seed: int = 0) -> Any:
    """(learner, state, config) on a ``VectorEnv`` of seeds x num_envs environments, or a ``HostEnv``."""
    made = GymnasiumEnv(env) if isinstance(env, VectorEnv) else env
    num_envs = made.num_envs // seeds
    config = RunConfig(
        "test", steps=steps or ppo.num_steps * num_envs, seeds=seeds, seed=seed, num_envs=num_envs, ppo=ppo
    )
    policy = make_policy(made.observation_space, made.action_space, ppo)
    learner = make_host_learner(made, policy, config)
    return learner, learner.init([seed_key(seed + i) for i in range(seeds)]), config


def valid_rows(transitions: Any, env: int) -> list[tuple[Any, ...]]:
    """The transitions of environment ``env`` (seed 0) of a ``[T, S, N]`` rollout, without the rows that are none."""
    names = ("obs", "final_obs", "first", "reward", "terminated", "truncated")
    keep = transitions.valid[:, 0, env] > 0
    columns = [getattr(transitions, name)[keep, 0, env] for name in names]
    return [tuple(np.asarray(x).tolist() for x in row) for row in zip(*columns)]
