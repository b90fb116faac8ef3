"""A worker process: it steps some of the Gymnasium environments in a plain loop, over shared memory.

It is a program (``watchdog`` starts it, with file descriptors) that imports neither proximax nor JAX, which would take
seconds, hundreds of megabytes and threads. ``vector_env.Workers`` is the parent's side.

A command is one byte: ``s`` steps every environment once with the actions in shared memory, ``r`` resets them with the
seeds that follow. The answer is ``k``, then the masks if there are any; or ``f`` and what an environment raised. To
``f`` the parent may reply ``a`` and a seed: the environment is re-created, and the command continues.
``g`` asks for the environments' states, ``p`` sets the states that follow: the answer is ``k``, then the error (None:
none), then the states. The worker exits when the pipe is closed.
"""

import importlib.util
import mmap
import os
import select
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[str, tuple[int, ...]]  # dtype and shape of one array
RestartFn = Callable[[BaseException], int]
MASK = "action_mask"
SPIN_SECONDS = 3e-4
ENV_ERRORS = (Exception, SystemExit)  # as in ``env_checker``: an environment must not end its process


class SpaceLayout(NamedTuple):
    """The environments' spaces. In the trees each leaf is its index in the lists of arrays."""

    observation_space: Any
    action_space: Any
    observations: Any
    actions: Any
    masked: bool
    mask_method: bool = False  # whether the masks come from a method ``action_masks`` and not in ``info``


class Arrays(NamedTuple):
    """The shared memory, indexed by environment. Trees are lists of their leaves."""

    actions: list[np.ndarray]
    reached: list[np.ndarray]  # observations before a reset
    fresh: list[np.ndarray]  # first observations of episodes; current only for environments that were just reset
    reward: list[np.ndarray]
    terminated: list[np.ndarray]
    truncated: list[np.ndarray]
    crashed: list[np.ndarray]  # at this step; the environment was re-created
    calls: list[np.ndarray]  # [workers]: how many calls of environments each has started
    current: list[np.ndarray]  # [workers]: the environment of the latest call


def carve(memory: Any, shapes: Sequence[list[Shape]]) -> Arrays:
    """Arrays of these shapes, one after the other in ``memory``."""
    sizes = [padded(*shape) for leaves in shapes for shape in leaves]
    offsets = iter(np.cumsum([0, *sizes]).tolist())
    return Arrays(*([np.ndarray(shape, dtype, memory, next(offsets)) for dtype, shape in leaves] for leaves in shapes))


def padded(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of an array, rounded up to cache lines."""
    return -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // 64) * 64


class WorkerEnvs:
    """The environments ``numbers`` of one worker; ``numbers[k]`` is also the index into the arrays.

    Where one raises, a ``RestartFn`` gets the error and returns the seed for a new environment, or raises itself.
    """

    def __init__(
        self, make: Callable[[], Any], worker: int, numbers: range, layout: SpaceLayout, arrays: Arrays
    ) -> None:
        self.numbers, self.layout, self.arrays, self.make = numbers, layout, arrays, make
        self.exact = load_module("..", "spaces", "exact.py")
        report_once = load_module("mujoco_warnings.py").report_once
        self.find_quick_step = load_module("workers", "quick_step.py").quick_step
        self.quick_steps: dict[int, Any] = {}  # of the environments that were looked at; None: it has none
        self.calls, self.current = arrays.calls[0][worker : worker + 1], arrays.current[0][worker : worker + 1]
        self.method = "its constructor"  # the method that is being called
        self.masks: list[tuple[int, bool, bool, Any]] = []  # (environment, fresh, whether info had one, the mask)
        self.envs: list[Any] = []
        for i in numbers:
            self.begin(i)
            report_once(make)
            env = make()
            if any(env.unwrapped is other.unwrapped for other in self.envs):
                raise ValueError("it returned the same environment object again; each call must create a new one")
            self.envs.append(env)
            if (self.envs[-1].observation_space, self.envs[-1].action_space) != layout[:2]:
                raise ValueError("its spaces differ from those of the first environment")

    def begin(self, i: int) -> None:
        """Note that environment ``i`` is being called, for the parent's time limit."""
        self.current[0] = i
        self.calls[0] += 1

    def reset(self, seeds: Sequence[int], restart: RestartFn) -> None:
        """New episodes."""
        for k, seed in enumerate(seeds):
            self.start_episode(k, restart, seed=seed)

    def step(self, restart: RestartFn) -> None:
        """One step of each environment, and a reset where it ended the episode."""
        arrays = self.arrays
        reward, terminated, truncated, crashed = (x[0] for x in arrays[3:7])
        for k, i in enumerate(self.numbers):
            self.method, crashed[i] = "step", False
            self.begin(i)
            try:
                if quick := self.quick_steps.get(k):
                    reward[i], terminated[i], truncated[i] = quick(arrays.actions[0][i], arrays.reached[0][i])
                else:
                    self.step_one(k, i)
            except ENV_ERRORS as error:  # the outcome of this step is unknown
                self.write(k, False, *self.recreate_env(k, restart(error), restart))
                reward[i], terminated[i], truncated[i], crashed[i] = 0.0, False, True, True
                continue
            if terminated[i] or truncated[i]:
                self.start_episode(k, restart)

    def step_one(self, k: int, i: int) -> None:
        """Step ``envs[k]``, whose number is ``i``, by its own method; afterwards it may have a quicker one."""
        arrays = self.arrays
        obs, value, ended, cut, info = self.envs[k].step(read_tree(self.layout.actions, arrays.actions, i))
        arrays.reward[0][i] = self.exact.one_number(value, "the reward")
        arrays.terminated[0][i] = self.exact.one_flag(ended, "terminated")
        arrays.truncated[0][i] = self.exact.one_flag(cut, "truncated")
        over = arrays.terminated[0][i] or arrays.truncated[0][i]  # no action follows, so no mask is needed
        self.write(k, False, obs, info if over else self.with_mask(k, info))
        if k not in self.quick_steps:
            self.quick_steps[k] = None if self.layout.masked else self.find_quick_step(self.envs[k])

    def start_episode(self, k: int, restart: RestartFn, **options: int) -> None:
        """Start a new episode of ``envs[k]``."""
        self.method = "reset"
        self.begin(self.numbers[k])
        try:
            obs, info = self.envs[k].reset(**options)
            self.write(k, True, obs, self.with_mask(k, info))
        except ENV_ERRORS as error:
            self.recreate_env(k, restart(error), restart)

    def recreate_env(self, k: int, seed: int, restart: RestartFn) -> tuple[Any, dict[str, Any]]:
        """Replace an environment that crashed by a new one, and start its first episode."""
        with suppress(*ENV_ERRORS):
            self.envs[k].close()
        while True:
            self.begin(self.numbers[k])
            self.method = "its constructor"
            try:
                self.envs[k] = self.make()
                self.quick_steps.pop(k, None)
                self.method = "reset"
                obs, info = self.envs[k].reset(seed=seed)
                info = self.with_mask(k, info)
                self.write(k, True, obs, info)
                return obs, info
            except ENV_ERRORS as error:
                seed = restart(error)

    def with_mask(self, k: int, info: dict[str, Any]) -> dict[str, Any]:
        """``info`` with the mask that ``envs[k]`` gives by a method."""
        method = mask_method(self.envs[k]) if self.layout.mask_method else None
        return info if method is None or MASK in info else {**info, MASK: method()}

    def write(self, k: int, fresh: bool, obs: object, info: dict[str, Any]) -> None:
        """Store the observation of ``envs[k]``, keep its mask; ``fresh``: it starts an episode."""
        arrays, i = self.arrays, self.numbers[k]
        self.exact.write_tree(self.layout.observations, obs, arrays.fresh if fresh else arrays.reached, i)
        if self.layout.masked:
            self.masks.append((i, fresh, MASK in info, info.get(MASK)))

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            with suppress(*ENV_ERRORS):
                env.close()


def read_tree(tree: Any, arrays: list[np.ndarray], i: int) -> Any:
    """Entry ``i`` of each array as a tree, copied."""
    if isinstance(tree, int):
        return arrays[tree][i].copy()  # of shared memory, which the next action overwrites: the environment may keep it
    if isinstance(tree, dict):
        return {key: read_tree(part, arrays, i) for key, part in tree.items()}
    return tuple(read_tree(part, arrays, i) for part in tree)


def mask_method(env: Any) -> Callable[[], Any] | None:
    """The method ``action_masks`` of an environment or one of its wrappers, as sb3-contrib's MaskablePPO calls it."""
    while True:
        method = getattr(env, "action_masks", None)
        if callable(method):
            return method
        if env is env.unwrapped:
            return None
        env = env.env


def load_module(*path: str) -> Any:
    """A module of proximax by its path from ``envs``: importing it as a part of proximax would import JAX."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = importlib.util.spec_from_file_location(
        f"proximax_{path[-1].removesuffix('.py')}", os.path.join(folder, *path)
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exchange_states(envs: WorkerEnvs, states: list[Any] | None) -> tuple[str | None, list[Any]]:
    """(error, the environments' states); sets ``states`` instead if they are given."""
    module = load_module("env_state.py")
    try:
        if states is None:
            return None, [module.get_state(env) for env in envs.envs]
        for i, env, state in zip(envs.numbers, envs.envs, states, strict=True):
            module.set_one(env, state, i)
    except module.StateError as error:
        return str(error), []
    return None, []


def text_of(error: BaseException) -> str:
    """``str(error)``, as in ``errors``: an exception of the user's may not have it."""
    try:
        return str(error)
    except ENV_ERRORS as second:
        return f"(its text raised {type(second).__name__})"


class Pipes:
    """The worker's ends of the pipes."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.incoming, self.outgoing = Connection(commands, writable=False), Connection(answers, readable=False)

    def report(self, envs: WorkerEnvs | None, error: BaseException) -> None:
        """Tell the parent what an environment raised."""
        method = envs.method if envs else "its constructor"
        trace = "".join(traceback.format_exception(error))
        os.write(self.answers, b"f")
        self.outgoing.send((method, type(error).__name__, text_of(error), trace))

    def request_restart(self, envs: WorkerEnvs, error: BaseException) -> int:
        """The seed of a new environment, if the parent allows a restart."""
        self.report(envs, error)
        if os.read(self.commands, 1) != b"a":
            raise EOFError from error
        return int(self.incoming.recv())


class Spin:
    """Looks for a byte in a pipe without rest before its reader sleeps: to be woken takes as long as a quick step.

    Only for ``SPIN_SECONDS``, and where that was in vain not the next times: 1, 3, 7, ... up to 255 of them. Then the
    machine is busy with something else, or the other side with something longer than a step.
    """

    def __init__(self, pipe: int) -> None:
        self.poll = select.poll()
        self.poll.register(pipe, select.POLLIN)
        self.vain = self.pause = 0  # times not to look: after the latest one in vain; still

    def found(self) -> bool:
        """Whether there was something in time; the pipe's end counts."""
        if self.pause:
            self.pause -= 1
            return False
        until = time.perf_counter() + SPIN_SECONDS
        while time.perf_counter() < until:
            if self.poll.poll(0):
                self.vain = 0
                return True
            os.sched_yield()
        self.vain = self.pause = min(2 * self.vain + 1, 255)
        return False


def read_command(pipe: int, spin: Spin | None) -> bytes:
    """One byte, b"" where the pipe is closed."""
    if spin is not None:
        spin.found()
    return os.read(pipe, 1)


def serve(commands: int, answers: int, memory: int) -> None:
    """Answer commands until the pipe is closed."""
    pipes = Pipes(commands, answers)
    sys.path[:] = pipes.incoming.recv()  # before the next message, which imports the environment's modules
    envs = None
    try:
        make, worker, numbers, layout, shapes, spins = pipes.incoming.recv()
        envs = WorkerEnvs(make, worker, numbers, SpaceLayout(*layout), carve(mmap.mmap(memory, 0), shapes))
        restart = partial(pipes.request_restart, envs)
        os.write(answers, b"k")
        spin = Spin(commands) if spins else None
        while command := read_command(commands, spin):
            states = None
            if command == b"s":
                envs.step(restart)
            elif command == b"r":
                envs.reset(pipes.incoming.recv(), restart)
            else:
                states = exchange_states(envs, pipes.incoming.recv() if command == b"p" else None)
            os.write(answers, b"k")
            if states is not None:
                pipes.outgoing.send(states)
            elif envs.layout.masked:  # masks of any form are not in shared memory but pickled
                pipes.outgoing.send(envs.masks)
                envs.masks = []
    except (EOFError, BrokenPipeError):  # the parent has exited, or allows no restart
        pass
    except ENV_ERRORS as error:
        pipes.report(envs, error)
    if envs:
        envs.close()


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
