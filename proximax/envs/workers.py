"""Python environments in several processes: one worker per core, each with its share of them, over shared memory.

A step is one byte to each worker and one back; actions, observations, rewards and flags lie in memory that all see.
``share`` is the workers' side.
"""

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from mmap import mmap
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import CloudpickleWrapper

from proximax.envs import share
from proximax.envs.base import HostEnv
from proximax.envs.share import Arrays, Form, Shape
from proximax.errors import EnvironmentFault, UsageError
from proximax.masks import MASK, choices, ravel_mask, with_mask
from proximax.observations import store
from proximax.spaces import flatten, leaves, nest
from proximax.types import PyTree, Step
from proximax.xla import usable_cores

# No call of an environment (its constructor, reset or step) may take longer: a stuck one is an error, not a hang.
STUCK_SECONDS = 60.0


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
    """``num_envs`` copies of one environment, in a process for each core. ``masked``: ``info`` has action masks.

    Raises ``EnvironmentFault`` where an environment raises, a worker dies, or a call takes ``STUCK_SECONDS``, and
    whatever pickling raises for a ``make`` that cannot be sent to another process.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env[Any, Any]],
        num_envs: int,
        space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        masked: bool = False,
    ) -> None:
        self.num_envs = num_envs
        options = choices(action_space)
        self.observation_space = with_mask(space, options) if masked else space
        self.action_space = action_space
        self.notes: list[str] = []
        self._space, self._masked = space, masked
        # Of the observations that were reached, and of those that opened an episode; and whether info had them.
        self._masks, self._given = np.ones((2, num_envs, options), np.int8), np.ones((2, num_envs), bool)
        self._all_valid: Any = np.ones(num_envs, bool)
        self._steps = 0
        self._workers: list[Worker] = []
        numbers = [range(int(part[0]), int(part[-1]) + 1) for part in split(num_envs, len(usable_cores()))]
        form = Form(space, action_space, nest(space, count()), nest(action_space, count()), self._masked)
        shapes = layout(space, action_space, num_envs, len(numbers))
        jobs = [(CloudpickleWrapper(make), k, part, tuple(form), shapes) for k, part in enumerate(numbers)]
        pickled = [bytes(ForkingPickler.dumps(job)) for job in jobs]
        file = anonymous_file(sum(share.padded(*shape) for each in shapes for shape in each))
        try:
            self._arrays: Arrays = share.carve(mmap(file, 0), shapes)
            self._outcome: list[Any] = [*self._arrays.reward, *self._arrays.terminated, *self._arrays.truncated]
            for k, (job, part) in enumerate(zip(pickled, numbers)):
                self._workers.append(Worker(job, k, part, file, self._arrays))
            pin([worker.pid for worker in self._workers])
            for worker in self._workers:
                worker.wait("its constructor", 0)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(file)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """New episodes, one seed for each environment."""
        for worker in self._workers:
            worker.send(b"r", "reset", 0)
            worker.commands.send([int(seeds[i]) for i in worker.numbers])
        self._wait("reset")
        return jax.tree.map(np.array, self._observed(1, self._given[1]))

    def send(self, action: PyTree) -> None:
        """Start a step of all environments, each worker's one after the other, the workers side by side."""
        for array, sent in zip(self._arrays.actions, flatten(self.action_space, action)):
            array[...] = sent
        for worker in self._workers:
            worker.send(b"s", "step", self._steps)

    def receive(self) -> Step:
        """Wait for all workers."""
        self._wait("step")
        self._steps += 1
        reward, terminated, truncated = self._outcome
        last: Any = terminated | truncated
        obs = final_obs = self._observed(0, self._given[0] | last.all())  # no action follows where all have ended
        if last.any():
            fresh = self._observed(1, self._given[1] & last)
            obs = jax.tree.map(lambda new, old: np.where(last.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, obs)
        return Step(obs, final_obs, reward, terminated, truncated, last, self._all_valid)

    def _wait(self, what: str) -> None:
        for worker in self._workers:
            worker.wait(what, self._steps)
            for i, fresh, given, mask in worker.answers.recv() if self._masked else ():
                self._given[int(fresh), i] = given
                try:
                    self._masks[int(fresh), i] = ravel_mask(self.action_space, mask, whose=f" of environment {i}")
                except UsageError as error:
                    raise EnvironmentFault(f"at step {self._steps} {error}") from error

    def _observed(self, fresh: int, given: np.ndarray) -> PyTree:
        """The observations that were reached (0) or that opened an episode (1), with their masks."""
        tree = store(self._space, nest(self._space, iter(self._arrays.fresh if fresh else self._arrays.reached)))
        if not self._masked:
            return tree
        if not given.any():
            raise EnvironmentFault(f"info of step {self._steps} has no '{MASK}', which the first reset's had")
        return {"obs": tree, MASK: self._masks[fresh]}

    def close(self) -> None:
        """End the workers: those that do not close their environments in time are killed."""
        for worker in self._workers:
            worker.leave()
        for worker in self._workers:
            worker.end()
        self._workers = []


class Worker:
    """One process, and the pipes to it."""

    def __init__(self, job: bytes, k: int, numbers: range, memory: int, arrays: Arrays) -> None:
        self.numbers = numbers
        self._calls, self._place = arrays.calls[0][k : k + 1], arrays.place[0][k : k + 1]
        theirs, mine = os.pipe()
        self.commands = Connection(mine, readable=False)
        ours, reply = os.pipe()
        self.answers = Connection(ours, writable=False)
        self._ready = select.poll()
        self._ready.register(ours, select.POLLIN)
        passed = (theirs, reply, memory)
        line = [sys.executable, "-P", share.__file__, *map(str, passed)]  # -P: its folder holds no modules to import
        try:
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, pass_fds=passed)
        finally:
            os.close(theirs)
            os.close(reply)
        self.pid = self._process.pid
        with suppress(BrokenPipeError):  # ``wait`` says what became of it
            self.commands.send(sys.path)
            self.commands.send_bytes(job)

    def send(self, command: bytes, what: str, step: int) -> None:
        """Send a command."""
        try:
            os.write(self.commands.fileno(), command)
        except BrokenPipeError as error:
            raise self._dead(what, step) from error

    def wait(self, what: str, step: int) -> None:
        """Wait for the answer."""
        calls, since = 0, time.monotonic()
        while not self._ready.poll(100 * STUCK_SECONDS):  # ms: a tenth of the limit
            now = time.monotonic()
            if calls != self._calls[0]:
                calls, since = int(self._calls[0]), now
            elif now - since > STUCK_SECONDS:
                self._process.kill()
                raise EnvironmentFault(
                    f"environment {self._place[0]} is stuck in {what} at step {step}: no answer for {STUCK_SECONDS:g} s"
                )
        answer = os.read(self.answers.fileno(), 1)
        if not answer:
            raise self._dead(what, step)
        if answer == b"f":
            where, name, text, trace = self.answers.recv()
            fault = EnvironmentFault(f"environment {self._place[0]} raised in {where} at step {step}: {name}: {text}")
            fault.add_note(trace)
            raise fault

    def _dead(self, what: str, step: int) -> EnvironmentFault:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        each = f"environments {self.numbers[0]} to {self.numbers[-1]}"
        return EnvironmentFault(
            f"the worker process of {each} died in {what} of environment {self._place[0]} at step {step}: {how}"
        )

    def leave(self) -> None:
        """Ask it to end."""
        self.commands.close()

    def end(self) -> None:
        """Wait until it has ended, at most a few seconds."""
        try:
            self._process.wait(share.GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.answers.close()


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
    return [actions, observations, observations, reward, row, row, each, each]


def anonymous_file(size: int) -> int:
    """A file of zeros in memory, without a name: nothing is left of it once all processes have ended."""
    if sys.platform == "linux":
        file = os.memfd_create("proximax")
    else:
        with tempfile.TemporaryFile() as named:
            file = os.dup(named.fileno())
    os.truncate(file, size)
    return file


def kill_all() -> None:
    """Kill."""
