"""Python environments in several processes: one worker per core, each with some of the environments.

A step is one byte to each worker and one back; actions, observations, rewards and flags lie in shared memory.
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
from gymnasium.vector.utils import CloudpickleWrapper

from proximax.envs.base import HostEnv, host_state, read_host_state, restoring_errors, saving_errors
from proximax.envs.crash_recovery import RestartBudget, new_seed
from proximax.envs.env_checker import EnvReport, what_was_raised
from proximax.envs.env_state import StateError
from proximax.envs.time_limit import TIMEOUT_SECONDS, CallLimit, close_quietly
from proximax.envs.workers.main import Arrays, Shape, SpaceLayout, WorkerEnvs, carve, exchange_states, padded
from proximax.envs.workers.process import Worker
from proximax.envs.workers.watchdog import GRACE_SECONDS
from proximax.errors import EnvError, UsageError, text_of
from proximax.runtime import usable_cores
from proximax.spaces import (
    MASK,
    Space,
    flatten,
    flatten_mask,
    leaves,
    num_mask_entries,
    to_stored,
    unflatten,
    with_mask,
)
from proximax.types import PyTree, Step

_ALL: "weakref.WeakSet[Workers]" = weakref.WeakSet()  # of this process, for ``kill_all``


def pin(pids: Sequence[int], cores: Sequence[int]) -> None:
    """One core per process, if there are as many: processes woken at the same time often share a core otherwise.

    8 environments of 30 us a step on 2 cores with other load: 312 us a step, 168 us pinned.
    """
    if sys.platform == "linux" and len(pids) == len(cores):
        for pid, core in zip(pids, cores):
            with suppress(OSError):  # not permitted, or the process has exited
                os.sched_setaffinity(pid, {core})


class Workers(HostEnv):
    """``num_envs`` copies of one environment, in one process per core. ``report``: the result of ``check_env``.

    ``steps_part``: this process is one of them, which steps its part itself while the others step theirs. Only for
    environments that do no harm to the process that they are in.
    Raises ``EnvError`` where an environment raises, a worker dies, or a call takes ``timeout`` seconds, unless
    ``restarts`` allows a restart; and whatever pickling raises for a ``make`` that cannot be pickled.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env[Any, Any]],
        num_envs: int,
        report: EnvReport,
        restarts: RestartBudget | None = None,
        timeout: float = TIMEOUT_SECONDS,
        steps_part: bool = False,
    ) -> None:
        space, self.action_space = report.observation_space, report.action_space
        self.num_envs, choices = num_envs, num_mask_entries(self.action_space)
        self.observation_space = with_mask(space, choices) if report.masked else space
        self.notes: list[str] = []
        self._restarts = 0
        self._space, self._masked, self._budget = space, report.masked, restarts or RestartBudget()
        # [0] of the observations before a reset, [1] of first observations: the masks, and whether info had them.
        self._masks, self._has_mask = np.ones((2, num_envs, choices), np.int8), np.ones((2, num_envs), bool)
        self._all_valid: Any = np.ones(num_envs, bool)
        self._steps, self._seeds, self._limit = 0, [0] * num_envs, CallLimit(timeout)
        self._workers: list[Worker] = []
        numbers = [range(int(part[0]), int(part[-1]) + 1) for part in split(num_envs, len(usable_cores()))]
        layout = SpaceLayout(
            space,
            self.action_space,
            unflatten(space, count()),
            unflatten(self.action_space, count()),
            self._masked,
            report.mask_method,
        )
        shapes = array_shapes(space, self.action_space, num_envs, len(numbers))
        jobs = [
            (CloudpickleWrapper(make), k, part, tuple(layout), shapes, steps_part) for k, part in enumerate(numbers)
        ]
        pickled = [bytes(ForkingPickler.dumps(job)) for job in jobs]
        self._cores = usable_cores()[int(steps_part) :]
        self._part: WorkerEnvs | None = None
        file = anonymous_file(sum(padded(*shape) for leaves_shapes in shapes for shape in leaves_shapes))
        self._memory: int | None = file  # the shared file, for restarted workers
        _ALL.add(self)
        try:
            self._arrays: Arrays = carve(mmap(file, 0), shapes)
            self._outcome: list[Any] = [x[0] for x in self._arrays[3:7]]
            for k, (job, part) in list(enumerate(zip(pickled, numbers)))[int(steps_part) :]:
                self._workers.append(Worker(job, k, part, file, self._arrays, timeout, steps_part))
                self._workers[-1].start()
            pin([worker.pid for worker in self._workers], self._cores)
            if steps_part:
                with self._limit("its constructor"):
                    self._part = WorkerEnvs(make, 0, numbers[0], layout, self._arrays)
            for worker in self._workers:
                worker.wait("its constructor", 0)
        except BaseException:
            self.close()
            raise

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New episodes, with one seed for each environment."""
        self._seeds = [int(seed) for seed in seeds]
        for worker in self._workers:
            worker.reset(self._seeds)
        if self._part is not None:
            with self._limit("reset", self._steps):
                self._part.reset(self._seeds[: len(self._part.numbers)], self._restart_own)
        self._wait("reset")
        return jax.tree.map(np.array, self._observed(1, self._has_mask[1]))

    def send(self, action: PyTree) -> None:
        """Start a step of all environments: the workers run in parallel, each steps its environments in turn."""
        for array, leaf in zip(self._arrays.actions, flatten(self.action_space, action)):
            array[...] = leaf
        for worker in self._workers:
            worker.send(b"s")

    def receive(self) -> Step:
        """Step this process's part, if it has one, and wait for all workers."""
        if self._part is not None:
            with self._limit("step", self._steps):
                self._part.step(self._restart_own)
        self._wait("step")
        self._steps += 1
        reward, terminated, truncated, crashed = self._outcome
        last: Any = terminated | truncated
        obs = final_obs = self._observed(0, self._has_mask[0] | last.all())  # no action follows where all have ended
        if last.any():
            fresh = self._observed(1, self._has_mask[1] & last)
            obs = jax.tree.map(lambda new, old: np.where(last.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, obs)
        if not crashed.any():
            return Step(obs, final_obs, reward, terminated, truncated, last, self._all_valid)
        return Step(obs, final_obs, reward, terminated, truncated, last, ~crashed, episode_over=last & ~crashed)

    def _wait(self, method: str) -> None:
        for worker in self._workers:
            replaced = self._wait_with_restarts(worker, method)
            for i, fresh, has_mask, mask in worker.answers.recv() if self._masked else ():
                self._has_mask[int(fresh), i] = has_mask
                try:
                    self._masks[int(fresh), i] = flatten_mask(self.action_space, mask, whose=f" of environment {i}")
                except UsageError as error:
                    raise EnvError(f"at step {self._steps} {error}") from error
            if replaced and method == "step":
                self._mark_crashed(slice(worker.numbers[0], worker.numbers[-1] + 1))

    def _wait_with_restarts(self, worker: Worker, method: str) -> bool:
        """Wait for a worker, restarting what crashes; whether the whole process was replaced."""
        replaced = False
        while True:
            try:
                worker.wait(method, self._steps)
                return replaced
            except EnvError as error:
                self._use_restart(error)
                if worker.alive:
                    worker.recreate_env(new_seed(self._seeds[worker.current_env], self._budget.number))
                else:
                    replaced = True
                    self._replace_process(worker)

    def _restart_own(self, error: BaseException) -> int:
        """The seed of a new environment in the place of one of this process's that raised, if that is allowed."""
        assert self._part is not None
        i, method = int(self._part.current[0]), self._part.method
        raised = what_was_raised(method, self._steps, type(error).__name__, text_of(error))
        env_error = EnvError(f"environment {i} {raised}")
        env_error.__cause__ = error
        self._use_restart(env_error)
        return new_seed(self._seeds[i], self._budget.number)

    def _replace_process(self, worker: Worker) -> None:
        """Start another process in place of one that died or hung; its environments start new episodes."""
        while True:
            worker.start()
            pin([worker.pid for worker in self._workers], self._cores)
            try:
                worker.wait("its constructor", self._steps)
                break
            except EnvError as error:
                self._use_restart(error)
        worker.reset([new_seed(seed, self._budget.number) for seed in self._seeds])

    def _use_restart(self, error: EnvError) -> None:
        self._budget.use(error)
        self._restarts += 1

    def _mark_crashed(self, rows: slice) -> None:
        """Make the step of the environments ``rows`` not a transition: it led to the start of new environments."""
        for fresh, reached in zip(self._arrays.fresh, self._arrays.reached):
            reached[rows] = fresh[rows]
        self._masks[0, rows], self._has_mask[0, rows] = self._masks[1, rows], self._has_mask[1, rows]
        for array, value in zip(self._outcome, (0.0, False, True, True)):
            array[rows] = value

    @property
    def restarts(self) -> int:
        """How often an environment, or a process with its environments, was restarted."""
        return self._restarts

    def get_state(self) -> PyTree | None:
        """The state of every environment, in order."""
        envs = self._exchange("get_state", b"g")
        return None if None in envs else host_state(self._steps, np.zeros(self.num_envs, bool), [], envs)

    def set_state(self, state: PyTree) -> None:
        """Restore the state of every environment, whichever worker has it now."""
        with restoring_errors():
            self._steps, ended, vector, envs = read_host_state(state, self.num_envs)
            if vector or len(envs) != self.num_envs or ended.any():
                raise StateError(
                    "it is of a vector environment, not of single environments that are reset when an episode ends"
                )
            self._exchange("set_state", b"p", envs)

    def _exchange(self, method: str, command: bytes, states: list[Any] | None = None) -> list[Any]:
        """Get the states of all environments, or set ``states``."""
        for worker in self._workers:
            worker.send(command)
            if states is not None:
                worker.send_object([states[i] for i in worker.numbers])
        answers = []
        if self._part is not None:
            mine = None if states is None else [states[i] for i in self._part.numbers]
            answers.append(exchange_states(self._part, mine))
        for worker in self._workers:
            worker.wait(method, self._steps)
        answers += [worker.answers.recv() for worker in self._workers]  # all of them, before one's error is raised
        with saving_errors() if states is None else nullcontext():
            for error, _ in answers:
                if error is not None:
                    raise StateError(error)
        return [state for _, worker_states in answers for state in worker_states]

    def _observed(self, fresh: int, has_mask: np.ndarray) -> PyTree:
        """The observations before a reset (0) or the first ones of episodes (1), with their masks."""
        tree = to_stored(
            self._space, unflatten(self._space, iter(self._arrays.fresh if fresh else self._arrays.reached))
        )
        if not self._masked:
            return tree
        if not has_mask.any():
            raise EnvError(f"info of step {self._steps} has no '{MASK}', which the first reset's had")
        return {"obs": tree, MASK: self._masks[fresh]}

    def close(self) -> None:
        """End the workers; those that do not close their environments in time are killed."""
        for worker in self._workers:
            worker.request_exit()
        limit = time.monotonic() + GRACE_SECONDS
        for worker in self._workers:
            worker.join(max(limit - time.monotonic(), 0.0))
        self._workers = []
        if self._part is not None:
            close_quietly(self._part.close, self._limit)
            self._part = None
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def kill(self) -> None:
        """Kill the workers. Only ``close`` can be called afterwards."""
        for worker in self._workers:
            worker.kill()


def kill_all() -> None:
    """Kill all worker processes of this process."""
    for workers in list(_ALL):
        workers.kill()


def split(num_envs: int, parts: int) -> list[np.ndarray]:
    """The numbers of the environments in contiguous parts of nearly equal size."""
    return np.array_split(np.arange(num_envs), min(parts, num_envs))


def array_shapes(space: Space, action_space: Space, num_envs: int, workers: int) -> list[list[Shape]]:
    """The shapes of ``Arrays``, in the environments' own dtypes."""
    flag: list[Shape] = [("bool", (num_envs,))]
    observations = [(str(leaf.dtype), (num_envs, *(leaf.shape or ()))) for leaf in leaves(space)]
    actions = [(str(leaf.dtype), (num_envs, *(leaf.shape or ()))) for leaf in leaves(action_space)]
    per_worker: list[Shape] = [("int64", (workers,))]
    reward: list[Shape] = [("float64", (num_envs,))]
    return [actions, observations, observations, reward, flag, flag, flag, per_worker, per_worker]


def anonymous_file(size: int) -> int:
    """A nameless file of zeros in memory, which is freed once all processes have exited."""
    if sys.platform == "linux":
        file = os.memfd_create("proximax")
    else:
        with tempfile.TemporaryFile() as named:
            file = os.dup(named.fileno())
    os.truncate(file, size)
    return file
