"""``partial_observations`` of many environments at once: what a run's settings change of what its policy sees."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from proximax.envs.base import HostEnv, JaxEnv
from proximax.envs.env_groups import EnvGroups
from proximax.envs.partial_observations import (
    action_vectors,
    hide_velocities,
    join,
    known_velocities,
    show_previous,
    space_with_previous,
    without_entries,
)
from proximax.errors import UsageError
from proximax.spaces import Space
from proximax.types import PyTree, Step


class ChangedObservations(HostEnv):
    """``env`` whose observations are changed. Nothing is kept from one step to the next, so its state is that of it."""

    def __init__(self, env: HostEnv, observation_space: Space) -> None:
        self.env, self.observation_space = env, observation_space
        self.num_envs, self.action_space, self.notes = env.num_envs, env.action_space, env.notes

    def send(self, action: PyTree) -> None:
        """Start a step."""
        self.env.send(action)

    @property
    def restarts(self) -> int:
        """The restarts of the environments."""
        return self.env.restarts

    def get_state(self) -> PyTree | None:
        """The state of the environments."""
        return self.env.get_state()

    def set_state(self, state: PyTree) -> None:
        """Restore the environments."""
        self.env.set_state(state)

    def close(self) -> None:
        """Close the environments."""
        self.env.close()


class HiddenVelocities(ChangedObservations):
    """``hide_velocities`` of ``num_envs`` environments."""

    def __init__(self, env: HostEnv, velocities: Sequence[int]) -> None:
        space, self._keep = without_entries(env.observation_space, velocities)
        super().__init__(env, space)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New episodes."""
        return self.env.reset(seeds)[:, self._keep]

    def receive(self) -> Step:
        """The steps, without velocities."""
        step = self.env.receive()
        return step._replace(obs=step.obs[:, self._keep], final_obs=step.final_obs[:, self._keep])


class ShownPrevious(ChangedObservations):
    """``show_previous`` of ``num_envs`` environments."""

    def __init__(self, env: HostEnv) -> None:
        self.space_with_previous = space_with_previous(env.observation_space, env.action_space)
        super().__init__(env, self.space_with_previous)
        self._sent: Any = None  # the actions of the step that is under way, ``[num_envs, size]``

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New episodes, before which nothing was done."""
        (size,) = self.space_with_previous["previous_action"].shape or (0,)
        return join(self.env.reset(seeds), *(np.zeros((self.num_envs, n), np.float32) for n in (size, 1)))

    def send(self, action: PyTree) -> None:
        """Start a step."""
        self._sent = action_vectors(self.action_space, action)
        self.env.send(action)

    def receive(self) -> Step:
        """The steps, whose observations say what led to them."""
        step = self.env.receive()
        previous = self._sent, np.asarray(step.reward, np.float32).reshape(-1, 1)
        opening = [np.where(np.asarray(step.first)[:, None], np.float32(0.0), x) for x in previous]
        return step._replace(obs=join(step.obs, *opening), final_obs=join(step.final_obs, *previous))


def change_observations(
    env: JaxEnv | HostEnv, name: str, velocities_hidden: bool, previous_shown: bool
) -> JaxEnv | HostEnv:
    """``env``, called ``name``, without the velocities, and with the previous action and reward."""
    if not (velocities_hidden or previous_shown):
        return env
    if isinstance(env, JaxEnv):
        env = hide_velocities(env, known_velocities(name)) if velocities_hidden else env
        return show_previous(env) if previous_shown else env
    if env.stacked:
        setting = "hide_velocities" if velocities_hidden else "show_previous"
        raise UsageError(
            f"{setting}: {name} shows stacked frames, to which nothing is added and of which nothing is hidden"
        )
    if velocities_hidden:
        env = of_each_group(env, partial(HiddenVelocities, velocities=known_velocities(name)))
    return of_each_group(env, ShownPrevious) if previous_shown else env


def of_each_group(env: HostEnv, change: Callable[[HostEnv], HostEnv]) -> HostEnv:
    """``change(env)``; of environments in groups that of each, so that they still step at different times."""
    if not isinstance(env, EnvGroups):
        return change(env)
    groups = copy.copy(env)  # it may be the caller's
    groups.change(change)
    return groups


def unchanged(env: HostEnv) -> HostEnv:
    """The environments without ``change_observations``."""
    while isinstance(env, ChangedObservations):
        env = env.env
    return env
