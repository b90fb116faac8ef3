"""Python environments in several processes: one worker per core, each with its share of them, over shared memory.

A step is one byte to each worker and one back; actions, observations, rewards and flags lie in memory that all see.
``main`` is the workers' side.
"""

import os
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from itertools import count
from mmap import mmap
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import CloudpickleWrapper

from proximax.envs.base import HostEnv, host_state, read_host_state, restoring_errors, saving_errors
from proximax.envs.crash_recovery import RestartBudget, new_seed
from proximax.envs.env_checker import EnvReport
from proximax.envs.env_state import StateError
from proximax.envs.workers.main import Arrays, Shape, SpaceLayout, carve, padded
from proximax.envs.workers.process import Worker
from proximax.envs.workers.watchdog import GRACE_SECONDS
from proximax.errors import EnvError, UsageError
from proximax.runtime import usable_cores
from proximax.spaces import MASK, flatten, flatten_mask, leaves, num_mask_entries, to_stored, unflatten, with_mask
from proximax.types import PyTree, Step

# No call of an environment (its constructor, reset or step) may take longer: a stuck one is an error, not a hang.
TIMEOUT_SECONDS = 300.0
_ALL: "weakref.WeakSet[Workers]" = weakref.WeakSet()  # of this process, until they are closed


def pin(pids: Sequence[int]) -> None:
    """A core for each process, where there are as many: woken at the same time they would often land on the same one.

    8 environments of 30 us a step on 2 cores that others use too: 312 us a step free, 168 us pinned.
    """
    cores = usable_cores()
    if sys.platform == "linux" and len(pids) == len(cores):
        for pid, core in zip(pids, cores):
            with suppress(OSError):  # not allowed here, or it has ended already
                os.sched_setaffinity(pid, {core})


class Workers(HostEnv):
    """``num_envs`` copies of one environment, in a process for each core. ``tried``: what a first look at one found.

    Raises ``EnvError`` where an environment raises, a worker dies, or a call takes ``timeout`` seconds, unless
    ``restarts`` allows to make it anew; and whatever pickling raises for a ``make`` that cannot be sent.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env[Any, Any]],
        num_envs: int,
        tried: EnvReport,
        restarts: RestartBudget | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        space, self.action_space = tried.observation_space, tried.action_space
        self.num_envs, options = num_envs, num_mask_entries(self.action_space)
        self.observation_space = with_mask(space, options) if tried.masked else space
        self.notes: list[str] = []
        self._restarts = 0
        self._space, self._masked, self._budget = space, tried.masked, restarts or RestartBudget()
        # Of the observations that were reached, and of those that opened an episode; and whether info had them.
        self._masks, self._given = np.ones((2, num_envs, options), np.int8), np.ones((2, num_envs), bool)
        self._all_valid: Any = np.ones(num_envs, bool)
        self._steps, self._seeds = 0, [0] * num_envs
        self._workers: list[Worker] = []
        numbers = [range(int(part[0]), int(part[-1]) + 1) for part in split(num_envs, len(usable_cores()))]
        form = SpaceLayout(
            space, self.action_space, unflatten(space, count()), unflatten(self.action_space, count()), self._masked
        )
        shapes = layout(space, self.action_space, num_envs, len(numbers))
        jobs = [(CloudpickleWrapper(make), k, part, tuple(form), shapes) for k, part in enumerate(numbers)]
        pickled = [bytes(ForkingPickler.dumps(job)) for job in jobs]
        file = anonymous_file(sum(padded(*shape) for each in shapes for shape in each))
        self._memory: int | None = file  # a file, for workers to come
        _ALL.add(self)
        try:
            self._arrays: Arrays = carve(mmap(file, 0), shapes)
            self._outcome: list[Any] = [x[0] for x in self._arrays[3:7]]
            for k, (job, part) in enumerate(zip(pickled, numbers)):
                self._workers.append(Worker(job, k, part, file, self._arrays, timeout))
                self._workers[-1].start()
            pin([worker.pid for worker in self._workers])
            for worker in self._workers:
                worker.wait("its constructor", 0)
        except BaseException:
            self.close()
            raise

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New episodes, one seed for each environment."""
        self._seeds = [int(seed) for seed in seeds]
        for worker in self._workers:
            worker.reset(self._seeds)
        self._wait("reset")
        return jax.tree.map(np.array, self._observed(1, self._given[1]))

    def send(self, action: PyTree) -> None:
        """Start a step of all environments, each worker's one after the other, the workers side by side."""
        for array, sent in zip(self._arrays.actions, flatten(self.action_space, action)):
            array[...] = sent
        for worker in self._workers:
            worker.send(b"s")

    def receive(self) -> Step:
        """Wait for all workers."""
        self._wait("step")
        self._steps += 1
        reward, terminated, truncated, cut = self._outcome
        last: Any = terminated | truncated
        obs = final_obs = self._observed(0, self._given[0] | last.all())  # no action follows where all have ended
        if last.any():
            fresh = self._observed(1, self._given[1] & last)
            obs = jax.tree.map(lambda new, old: np.where(last.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, obs)
        if not cut.any():
            return Step(obs, final_obs, reward, terminated, truncated, last, self._all_valid)
        return Step(obs, final_obs, reward, terminated, truncated, last, ~cut, episode_over=last & ~cut)

    def _wait(self, what: str) -> None:
        for worker in self._workers:
            lost = self._crashed(worker, what)
            for i, fresh, given, mask in worker.answers.recv() if self._masked else ():
                self._given[int(fresh), i] = given
                try:
                    self._masks[int(fresh), i] = flatten_mask(self.action_space, mask, whose=f" of environment {i}")
                except UsageError as error:
                    raise EnvError(f"at step {self._steps} {error}") from error
            if lost and what == "step":
                self._cut(slice(worker.numbers[0], worker.numbers[-1] + 1))

    def _crashed(self, worker: Worker, what: str) -> bool:
        """Wait for a worker, making anew what crashes; whether that was all its environments."""
        lost = False
        while True:
            try:
                worker.wait(what, self._steps)
                return lost
            except EnvError as fault:
                self._spend(fault)
                if worker.alive:
                    worker.recreate_env(new_seed(self._seeds[worker.place], self._budget.number))
                else:
                    lost = True
                    self._revive(worker)

    def _revive(self, worker: Worker) -> None:
        """Another process in the place of one that died or was stuck; its environments begin new episodes."""
        while True:
            worker.start()
            pin([each.pid for each in self._workers])
            try:
                worker.wait("its constructor", self._steps)
                break
            except EnvError as fault:
                self._spend(fault)
        worker.reset([new_seed(seed, self._budget.number) for seed in self._seeds])

    def _spend(self, fault: EnvError) -> None:
        self._budget.use(fault)
        self._restarts += 1

    def _cut(self, rows: slice) -> None:
        """The step of these environments is no transition: it led to the start of other ones' episodes."""
        for fresh, reached in zip(self._arrays.fresh, self._arrays.reached):
            reached[rows] = fresh[rows]
        self._masks[0, rows], self._given[0, rows] = self._masks[1, rows], self._given[1, rows]
        for array, value in zip(self._outcome, (0.0, False, True, True)):
            array[rows] = value

    @property
    def restarts(self) -> int:
        """How often an environment, or a process with its share of them, was made anew."""
        return self._restarts

    def get_state(self) -> PyTree | None:
        """Of every environment, in order."""
        envs = self._exchange("get_state", b"g")
        return None if None in envs else host_state(self._steps, np.zeros(self.num_envs, bool), [], envs)

    def set_state(self, state: PyTree) -> None:
        """Put each environment's state back, whichever worker has it now."""
        with restoring_errors():
            self._steps, ended, vector, envs = read_host_state(state, self.num_envs)
            if vector or len(envs) != self.num_envs or ended.any():
                raise StateError("it is of a vector environment, not of single ones that are reset at their ends")
            self._exchange("set_state", b"p", envs)

    def _exchange(self, what: str, command: bytes, states: list[Any] | None = None) -> list[Any]:
        """The states of all environments, or none after giving them theirs."""
        for worker in self._workers:
            worker.send(command)
            if states is not None:
                worker.send_object([states[i] for i in worker.numbers])
        for worker in self._workers:
            worker.wait(what, self._steps)
        answers = [worker.answers.recv() for worker in self._workers]  # every one, before what one says is raised
        with saving_errors() if states is None else nullcontext():
            for fault, _ in answers:
                if fault is not None:
                    raise StateError(fault)
        return [state for _, each in answers for state in each]

    def _observed(self, fresh: int, given: np.ndarray) -> PyTree:
        """The observations that were reached (0) or that opened an episode (1), with their masks."""
        tree = to_stored(
            self._space, unflatten(self._space, iter(self._arrays.fresh if fresh else self._arrays.reached))
        )
        if not self._masked:
            return tree
        if not given.any():
            raise EnvError(f"info of step {self._steps} has no '{MASK}', which the first reset's had")
        return {"obs": tree, MASK: self._masks[fresh]}

    def close(self) -> None:
        """End the workers: those that do not close their environments in time are killed."""
        for worker in self._workers:
            worker.request_exit()
        limit = time.monotonic() + GRACE_SECONDS
        for worker in self._workers:
            worker.join(max(limit - time.monotonic(), 0.0))
        self._workers = []
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def kill(self) -> None:
        """End the workers at once. Nothing can be done with them afterwards but ``close``."""
        for worker in self._workers:
            worker.kill()


def kill_all() -> None:
    """End all worker processes of this process at once, whatever they are doing."""
    for workers in list(_ALL):
        workers.kill()


def split(num_envs: int, parts: int) -> list[np.ndarray]:
    """The numbers of the environments in contiguous shares, as equal as can be."""
    return np.array_split(np.arange(num_envs), min(parts, num_envs))


def layout(space: spaces.Space[Any], action_space: spaces.Space[Any], num_envs: int, workers: int) -> list[list[Shape]]:
    """The shapes of ``Arrays``, in the environments' own dtypes."""
    row: list[Shape] = [("bool", (num_envs,))]
    observations = [(str(leaf.dtype), (num_envs, *(leaf.shape or ()))) for leaf in leaves(space)]
    actions = [(str(leaf.dtype), (num_envs, *(leaf.shape or ()))) for leaf in leaves(action_space)]
    each: list[Shape] = [("int64", (workers,))]
    reward: list[Shape] = [("float64", (num_envs,))]
    return [actions, observations, observations, reward, row, row, row, each, each]


def anonymous_file(size: int) -> int:
    """A file of zeros in memory, without a name: nothing is left of it once all processes have ended."""
    if sys.platform == "linux":
        file = os.memfd_create("proximax")
    else:
        with tempfile.TemporaryFile() as named:
            file = os.dup(named.fileno())
    os.truncate(file, size)
    return file
