"""The one loop that plays episodes on host environments: evaluations score them, videos show them."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from proximax.envs import HostEnv, env_seeds
from proximax.errors import EnvError, NumericalError
from proximax.policy import Policy, choice_of
from proximax.runtime import compilation, key_from_data
from proximax.spaces import DoesNotFit, check_ranges, flatten, paths, to_stored
from proximax.types import Key, Params, PyTree


class EpisodeStep(NamedTuple):
    """All N environments after a reset or a step. Each array is ``[N]``."""

    episode: np.ndarray  # episodes that had ended in each before
    total: np.ndarray  # return of the current episode so far, of raw rewards
    length: np.ndarray  # its steps so far
    ended: np.ndarray  # whether it has ended by this step


class EpisodePlayer:
    """Host environments and a compiled policy: deterministic actions unless ``sample``."""

    def __init__(self, env: HostEnv, policy: Policy, sample: bool) -> None:
        self._env, self._policy = env, policy
        self._act = choice_of(policy, sample)
        self._all_masked = compilation.jit(policy.diagnostics.all_masked) if policy.diagnostics.all_masked else None

    def play(
        self, params: Params, moments: PyTree, seed: int, quota: np.ndarray, max_steps: float = math.inf
    ) -> Iterator[EpisodeStep]:
        """Every step until each environment has played its ``quota [N]`` of episodes; first of all, the reset.

        An episode cut by a crash of its environment does not count: another is played instead. The loop also ends when
        a counted episode is still running after ``max_steps``. ``seed`` fixes the environments, and the actions if
        sampled. Raises ``EnvError`` where a counted environment's mask allows no action.
        """
        env, n = self._env, self._env.num_envs
        obs, carry = checked_obs(env, env.reset(env_seeds(seed, n)), np.zeros(n, int)), self._policy.initial_carry(n)
        first: Any = np.ones(n, bool)
        keys = sampling_keys(seed)
        episode, total, length = np.zeros(n, int), np.zeros(n), np.zeros(n, int)
        reset_next = np.zeros(n, bool)
        yield EpisodeStep(episode.copy(), total.copy(), length.copy(), np.zeros(n, bool))
        while (episode < quota).any() and length.max(initial=0, where=episode < quota) < max_steps:
            if self._all_masked is not None:
                check_masks(np.asarray(self._all_masked(obs)) & (episode < quota) & ~reset_next, length)
            action, carry = self._act(params, moments, carry, obs, first, next(keys))
            s = env.step(jax.tree.map(np.array, action))
            obs, first = checked_obs(env, s.obs, length), s.first
            check_reward(np.asarray(s.raw_reward), length)
            reset_next = s.ended & ~first  # in next-step mode the coming action, at an ended episode, is ignored
            total += s.raw_reward
            length += np.asarray(s.valid, bool)
            ended = np.asarray(s.ended, bool)
            yield EpisodeStep(episode.copy(), total.copy(), length.copy(), ended)
            episode += ended
            crashed = s.truncated & (s.valid == 0)
            total[ended | crashed] = length[ended | crashed] = 0


def checked_obs(env: HostEnv, obs: PyTree, steps: np.ndarray) -> PyTree:
    """Observations as stored; raises where a value does not fit, is not in its space or is not finite.

    ``steps`` ``[N]``: of each environment's episode, for the error.
    """
    space = env.observation_space
    try:
        obs = to_stored(space, obs)
        check_ranges(space, obs, lambda at: where(at[0], steps))
    except DoesNotFit as error:
        raise EnvError(f"in an evaluation: {error}") from error
    for path, x in zip(paths(space), flatten(space, obs)):
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            i = int(np.argwhere(~np.isfinite(x))[0][0])
            raise NumericalError(f"in an evaluation the observation{path} is not finite in {where(i, steps)}")
    return obs


def check_reward(reward: np.ndarray, steps: np.ndarray) -> None:
    """Refuse rewards ``[N]`` that are not finite."""
    if not np.isfinite(reward).all():
        i = int(np.argmin(np.isfinite(reward)))
        raise NumericalError(f"in an evaluation the reward is {reward[i]} in {where(i, steps)}. Fix the environment")


def where(i: int, steps: np.ndarray) -> str:
    """How an error names environment ``i`` and the step of its episode."""
    return f"environment {i}, step {int(steps[i])} of its episode"


def check_masks(all_masked: np.ndarray, steps: np.ndarray) -> None:
    """Refuse masks that allow no action: in which environments ``[N]``, and at which step of their episodes ``[N]``."""
    if all_masked.any():
        i = int(np.argmax(all_masked))
        raise EnvError(
            f"the action mask of environment {i} allowed nothing at step {int(steps[i])} of its episode, in an "
            "evaluation. Allow one action at least, or end the episode there"
        )


def sampling_keys(seed: int) -> Iterator[Key]:
    """An endless stream of keys, made without compiling."""
    rng = np.random.default_rng(seed)
    while True:
        yield key_from_data(rng.integers(0, 2**32, 2, np.uint32))
