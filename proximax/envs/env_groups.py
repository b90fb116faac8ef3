"""Several host environments as one: side by side, in double-buffered groups, or as copies of one environment."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np

from proximax.envs.base import HostEnv, host_state, read_host_state, restoring_errors
from proximax.envs.crash_recovery import AutoRestartEnv, RestartBudget
from proximax.envs.env_checker import check_env, construct
from proximax.envs.env_state import StateError, expect_keys
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.in_process import InProcessEnvs
from proximax.envs.time_limit import TIMEOUT_SECONDS, CallLimit
from proximax.envs.workers.vector_env import Workers
from proximax.errors import UsageError, describe
from proximax.runtime import usable_cores
from proximax.types import PyTree, Step

# Where stepping all environments in a loop takes less than this, the plain loop is as fast as workers. Medians on 2
# cores, 8 environments: 5 us each: loop 59, workers 65 us; 15 us: 139 and 105; 30 us: 262 and 168; 0 us: 17 and 33.
WORKER_SECONDS = 1.5e-4
NOT_DOUBLE_BUFFERED = (
    "env_groups: these environments are stepped in this process, so none steps while the policy acts for another"
)


class Group(NamedTuple):
    """Environments that are stepped together, the same number for each seed."""

    env: HostEnv
    columns: slice  # their indices among each seed's environments


class EnvGroups(HostEnv):
    """Several host environments as one: for vector environments that have one random generator each."""

    def __init__(self, envs: Sequence[HostEnv]) -> None:
        self.envs = list(envs)
        self.num_envs = sum(env.num_envs for env in envs)
        self.observation_space = envs[0].observation_space
        self.action_space = envs[0].action_space
        self.notes, self.stacked = envs[0].notes, envs[0].stacked
        self._ends = np.cumsum([env.num_envs for env in envs])[:-1]

    def change(self, change: Callable[[HostEnv], HostEnv]) -> None:
        """Put ``change(env)`` in the place of each group's environments."""
        self.envs = [change(env) for env in self.envs]
        self.observation_space = self.envs[0].observation_space

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """Reset each group with its part of the seeds."""
        parts = np.split(np.asarray(seeds), self._ends)
        return _concatenate([env.reset([int(s) for s in part]) for env, part in zip(self.envs, parts)])

    def send(self, action: PyTree) -> None:
        """Send each group its part of the actions."""
        arrays, structure = jax.tree.flatten(action)
        parts = zip(*(np.split(x, self._ends) for x in arrays))
        for env, part in zip(self.envs, parts):
            env.send(jax.tree.unflatten(structure, part))

    def receive(self) -> Step:
        """The steps of all groups."""
        return _concatenate([env.receive() for env in self.envs])

    @property
    def restarts(self) -> int:
        """The restarts of all groups."""
        return sum(env.restarts for env in self.envs)

    def get_state(self) -> PyTree | None:
        """The state of every group."""
        states = [env.get_state() for env in self.envs]
        return None if None in states else {"groups": states}

    def set_state(self, state: PyTree) -> None:
        """Restore the state of every group."""
        with restoring_errors():
            states = expect_keys(state, ("groups",), "the state")["groups"]
            if not isinstance(states, list) or len(states) != len(self.envs):
                raise StateError(f"it is not of {len(self.envs)} groups of environments")
        for env, part in zip(self.envs, states):
            env.set_state(part)

    def close(self) -> None:
        """Close every group."""
        for env in self.envs:
            env.close()


class DoubleBufferedEnvs(EnvGroups):
    """Groups that take turns (double-buffered sampling): while one steps, the policy acts for the next.

    Each group may use all cores, and has equally many of every seed's environments. Together they are the same
    environments, in the same order, as one group.
    """

    def __init__(self, envs: Sequence[HostEnv], seeds: int) -> None:
        super().__init__(envs)
        size = self.num_envs // len(envs) // seeds  # a seed's environments in a group
        numbers = np.arange(self.num_envs).reshape(seeds, len(envs), size)
        self._order = np.moveaxis(numbers, 1, 0).ravel()  # the environments' numbers, group by group
        self._inverse = np.argsort(self._order)
        self.groups = [Group(env, slice(i * size, (i + 1) * size)) for i, env in enumerate(envs)]

    def change(self, change: Callable[[HostEnv], HostEnv]) -> None:
        """Put ``change(env)`` in the place of each group's environments."""
        super().change(change)
        self.groups = [group._replace(env=env) for group, env in zip(self.groups, self.envs)]

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """Reset all, each environment with its own seed."""
        return jax.tree.map(lambda x: x[self._inverse], super().reset([seeds[int(i)] for i in self._order]))

    def send(self, action: PyTree) -> None:
        """Send every environment its action, all groups at once."""
        super().send(jax.tree.map(lambda x: x[self._order], action))

    def receive(self) -> Step:
        """The steps of all groups."""
        return jax.tree.map(lambda x: x[self._inverse], super().receive())

    def get_state(self) -> PyTree | None:
        """The state of every environment, in the order of one group: the same state as one group has."""
        states: list[Any] = [env.get_state() for env in self.envs]
        if None in states:
            return None
        envs = [env for part in states for env in part["envs"]]
        ended = np.concatenate([part["ended"] for part in states])
        return host_state(states[0]["steps"], ended[self._inverse], [], [envs[int(i)] for i in self._inverse])

    def set_state(self, state: PyTree) -> None:
        """Restore the environments of every group."""
        with restoring_errors():
            steps, ended, vector, envs = read_host_state(state, self.num_envs)
            if vector or len(envs) != self.num_envs:
                raise StateError(f"it is of {len(envs)} environments, not of {self.num_envs} in double-buffered groups")
        for env, numbers in zip(self.envs, np.split(self._order, self._ends)):
            env.set_state(host_state(steps, ended[numbers], [], [envs[int(i)] for i in numbers]))


class ShardedEnvs(DoubleBufferedEnvs):
    """The environments of several shards, each of which has equally many of every seed's, and steps them by itself."""

    def get_state(self) -> PyTree | None:
        """The state of every shard."""
        return EnvGroups.get_state(self)

    def set_state(self, state: PyTree) -> None:
        """Restore the state of every shard."""
        EnvGroups.set_state(self, state)


def _concatenate(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *parts: np.concatenate(parts), *trees)


def pipeline_groups(env: HostEnv) -> list[Group]:
    """The groups of double-buffered environments, of each shard; any other environment is one group."""
    if isinstance(env, ShardedEnvs):
        return [shifted(group, shard.columns) for shard in env.groups for group in pipeline_groups(shard.env)]
    return env.groups if isinstance(env, DoubleBufferedEnvs) else [Group(env, slice(None))]


def shifted(group: Group, shard: slice) -> Group:
    """A group of a shard's environments, whose ``columns`` count from the shard's first, among those of all shards."""
    start = shard.start + (group.columns.start or 0)
    size = shard.stop - shard.start if group.columns.stop is None else group.columns.stop - (group.columns.start or 0)
    return Group(group.env, slice(start, start + size))


def make_double_buffered(make: Callable[[int], HostEnv], num_envs: int, seeds: int, env_groups: int) -> HostEnv:
    """``num_envs`` environments for each seed, in ``env_groups`` groups that ``make(size)`` creates."""
    if env_groups == 1:
        return make(num_envs * seeds)
    if num_envs % env_groups:
        raise UsageError(f"env_groups = {env_groups}: must divide num_envs = {num_envs}")
    return DoubleBufferedEnvs([make(num_envs * seeds // env_groups) for _ in range(env_groups)], seeds)


def vectorise(
    make: Callable[[], gymnasium.Env[Any, Any]],
    num_envs: int,
    seeds: int = 1,
    env_groups: int = 1,
    restarts: RestartBudget | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> HostEnv:
    """``num_envs`` copies of one environment for each seed: in this process or, where a step is not cheap, in several.

    ``env_groups``: the number of double-buffered groups, where there are several processes. ``restarts``: the budget
    for environments that crash or, in worker processes, take more than ``timeout`` seconds for a step.
    """
    report, total = check_env(make, timeout=timeout), num_envs * seeds
    restarts = restarts or RestartBudget()
    restarts.supported = True

    def make_workers(size: int) -> HostEnv:
        return Workers(make, size, report, restarts, timeout, report.quick and env_groups == 1)

    if total * report.seconds > WORKER_SECONDS and min(total, len(usable_cores())) > 1 and os.name == "posix":
        try:
            workers = make_double_buffered(make_workers, num_envs, seeds, env_groups)
        except UsageError:
            raise
        except Exception as error:  # from pickling, an import or the constructor
            report.notes.append(f"stepped in one process, since workers failed: {describe(error)}")
        else:
            workers.notes = report.notes
            return workers
    makes: list[Callable[[], Any]] = [make] * total
    if restarts.limit:
        makes = [partial(AutoRestartEnv, make, restarts, i) for i in range(total)]
    makes = [partial(construct, make_one, CallLimit(timeout)) for make_one in makes]
    vector = InProcessEnvs(makes, reads_masks=report.mask_method)
    env = GymnasiumEnv(vector, masked=report.masked, restarts=restarts, timeout=timeout)
    env.notes = report.notes + ([NOT_DOUBLE_BUFFERED] if env_groups > 1 else [])
    return env
