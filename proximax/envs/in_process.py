"""Copies of one Gymnasium environment, stepped in a plain loop in this process."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from proximax.envs.workers.main import mask_method
from proximax.envs.workers.quick_step import QuickStep, quick_step
from proximax.spaces import MASK, flatten, one_flag, one_number, unflatten, write_tree


class InProcessEnvs(SyncVectorEnv):
    """A ``SyncVectorEnv`` that converts nothing in silence: ``spaces.write_tree`` compares every observation.

    Not same-step autoreset: it keeps a reference to the last observation and then resets, so an environment that reuses
    its observation buffer would overwrite its final observation with the next episode's first. ``reads_masks``: whether
    masks come from the environments' method ``action_masks``; they are handed on in ``info``.
    """

    def __init__(self, makes: Sequence[Callable[[], gymnasium.Env[Any, Any]]], reads_masks: bool = False) -> None:
        super().__init__(makes, autoreset_mode=AutoresetMode.DISABLED)
        self._reads_masks = reads_masks
        self._places = unflatten(self.single_observation_space, count())
        self._arrays = flatten(self.single_observation_space, self._observations)
        self._quick_steps: dict[int, QuickStep | None] = {}  # of the environments that were looked at

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes, where ``options["reset_mask"]`` says so if it is given."""
        options = dict(options or {})
        starts = options.pop("reset_mask", np.ones(self.num_envs, bool))
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        infos: dict[str, Any] = {}
        for i in np.flatnonzero(starts).tolist():
            # Only what is given, as in worker processes: an environment may lack the other argument.
            given = ({} if seeds is None else {"seed": seeds[i]}) | ({"options": options} if options else {})
            obs, info = self.envs[i].reset(**given)
            write_tree(self._places, obs, self._arrays, i)
            infos = self._add_info(infos, self._with_mask(i, info), i)
        return self._copied(), infos

    def step(self, actions: object) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every environment; one whose episode ended must be reset before its next step."""
        infos: dict[str, Any] = {}
        for i, action in enumerate(iterate(self.action_space, actions)):
            if quick := self._quick_steps.get(i):
                outcome = quick(action, self._arrays[0][i])
                self._rewards[i], self._terminations[i], self._truncations[i] = outcome
                continue
            obs, reward, terminated, truncated, info = self.envs[i].step(action)
            write_tree(self._places, obs, self._arrays, i)
            self._rewards[i] = one_number(reward, "the reward")
            self._terminations[i] = one_flag(terminated, "terminated")
            self._truncations[i] = one_flag(truncated, "truncated")
            over = self._terminations[i] or self._truncations[i]  # no action follows, so no mask is needed
            infos = self._add_info(infos, info if over else self._with_mask(i, info), i)
            if i not in self._quick_steps:
                self._quick_steps[i] = quick_step(self.envs[i])
        flags_and_rewards = self._rewards.copy(), self._terminations.copy(), self._truncations.copy()
        return self._copied(), *flags_and_rewards, infos

    def _with_mask(self, i: int, info: dict[str, Any]) -> dict[str, Any]:
        method = mask_method(self.envs[i]) if self._reads_masks else None
        return info if method is None or MASK in info else {**info, MASK: method()}

    def _copied(self) -> Any:
        """A copy of the observations, which the next step does not overwrite."""
        return unflatten(self.single_observation_space, iter([x.copy() for x in self._arrays]))
