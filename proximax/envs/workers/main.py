"""A worker process: it steps its share of the Gymnasium environments in a plain loop, over shared memory.

It runs by itself (``watchdog`` starts it, with file descriptors) and imports neither proximax nor JAX, which would take
seconds, hundreds of megabytes and threads of its own. ``vector_env.Workers`` is the other side.

A command is one byte: ``s`` steps every environment once with the actions in shared memory, ``r`` resets them with the
seeds that follow it. The answer is ``k``, then the masks where there are some; or ``f`` and what an environment raised.
To that one the parent may reply ``a`` and a seed: the environment is made again, and the command goes on.
``g`` gives the environments' states, ``p`` puts the ones that follow into them: ``k``, then what was wrong (None:
nothing), then the states. The end of the pipe ends the worker.
"""

import importlib.util
import mmap
import os
import sys
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
ENV_ERRORS = (Exception, SystemExit)  # as in ``env_checker``: an environment must not end its process


class SpaceLayout(NamedTuple):
    """What the environments look like. Trees have a leaf's number in the place of each leaf."""

    observation_space: Any
    action_space: Any
    observations: Any
    actions: Any
    masked: bool


class Arrays(NamedTuple):
    """The shared memory, a row for each environment. Trees are lists of their leaves."""

    actions: list[np.ndarray]
    reached: list[np.ndarray]  # the observation a step led to
    fresh: list[np.ndarray]  # after a reset, the first one; only rows that were reset are of now
    reward: list[np.ndarray]
    terminated: list[np.ndarray]
    truncated: list[np.ndarray]
    cut: list[np.ndarray]  # it crashed at this step, and was made anew
    calls: list[np.ndarray]  # [workers]: how many calls of environments each has begun
    place: list[np.ndarray]  # [workers]: which environment it called last


def carve(memory: Any, shapes: Sequence[list[Shape]]) -> Arrays:
    """Arrays of these shapes, one after the other in ``memory``."""
    sizes = [padded(*shape) for each in shapes for shape in each]
    offsets = iter(np.cumsum([0, *sizes]).tolist())
    return Arrays(*([np.ndarray(shape, dtype, memory, next(offsets)) for dtype, shape in each] for each in shapes))


def padded(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of an array, in whole cache lines."""
    return -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // 64) * 64


class WorkerEnvs:
    """The environments ``numbers``, in row ``numbers[k]`` of the arrays each.

    Where one raises, an ``RestartFn`` is told, and gives the seed for another environment; or it raises in its turn.
    """

    def __init__(self, make: Callable[[], Any], worker: int, numbers: range, form: SpaceLayout, arrays: Arrays) -> None:
        self.numbers, self.form, self.arrays, self.make = numbers, form, arrays, make
        self.calls, self.place = arrays.calls[0][worker : worker + 1], arrays.place[0][worker : worker + 1]
        self.what = "its constructor"  # what is being called
        self.masks: list[tuple[int, bool, bool, Any]] = []  # (environment, fresh, whether info had one, the mask)
        self.envs: list[Any] = []
        for i in numbers:
            self.begin(i)
            env = make()
            if any(env.unwrapped is other.unwrapped for other in self.envs):
                raise ValueError("it returned the same environment object again; each call must create a new one")
            self.envs.append(env)
            if (self.envs[-1].observation_space, self.envs[-1].action_space) != form[:2]:
                raise ValueError("its spaces are not those of the first environment made")

    def begin(self, i: int) -> None:
        """Note that environment ``i`` is called now, for whoever waits."""
        self.place[0] = i
        self.calls[0] += 1

    def reset(self, seeds: Sequence[int], again: RestartFn) -> None:
        """New episodes."""
        for k, seed in enumerate(seeds):
            self.open(k, again, seed=seed)

    def step(self, again: RestartFn) -> None:
        """One step of each environment, and a reset where it ended the episode."""
        arrays, tree = self.arrays, self.form.actions
        reward, terminated, truncated, cut = (x[0] for x in arrays[3:7])
        for k, i in enumerate(self.numbers):
            self.what, cut[i] = "step", False
            self.begin(i)
            try:
                obs, reward[i], terminated[i], truncated[i], info = self.envs[k].step(pick(tree, arrays.actions, i))
                self.write(i, False, obs, info)
            except ENV_ERRORS as error:  # what became of this step is not known
                self.write(i, False, *self.recreate_env(k, again(error), again))
                reward[i], terminated[i], truncated[i], cut[i] = 0.0, False, True, True
                continue
            if terminated[i] or truncated[i]:
                self.open(k, again)

    def open(self, k: int, again: RestartFn, **how: int) -> None:
        """A new episode."""
        self.what = "reset"
        self.begin(self.numbers[k])
        try:
            self.write(self.numbers[k], True, *self.envs[k].reset(**how))
        except ENV_ERRORS as error:
            self.recreate_env(k, again(error), again)

    def recreate_env(self, k: int, seed: int, again: RestartFn) -> tuple[Any, dict[str, Any]]:
        """Another environment in the place of one that crashed, and its first episode."""
        with suppress(*ENV_ERRORS):
            self.envs[k].close()
        while True:
            self.begin(self.numbers[k])
            self.what = "its constructor"
            try:
                self.envs[k] = self.make()
                self.what = "reset"
                obs, info = self.envs[k].reset(seed=seed)
                self.write(self.numbers[k], True, obs, info)
                return obs, info
            except ENV_ERRORS as error:
                seed = again(error)

    def write(self, i: int, fresh: bool, obs: Any, info: dict[str, Any]) -> None:
        """Store an observation in row ``i``, keep its mask; ``fresh``: it opens an episode."""
        arrays = self.arrays
        put(self.form.observations, obs, arrays.fresh if fresh else arrays.reached, i)
        if self.form.masked:
            self.masks.append((i, fresh, MASK in info, info.get(MASK)))

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            with suppress(*ENV_ERRORS):
                env.close()


def pick(tree: Any, arrays: list[np.ndarray], i: int) -> Any:
    """Row ``i`` as a tree, copied."""
    if isinstance(tree, int):
        return arrays[tree][i].copy()  # of shared memory, which the next action overwrites: the environment may keep it
    if isinstance(tree, dict):
        return {key: pick(part, arrays, i) for key, part in tree.items()}
    return tuple(pick(part, arrays, i) for part in tree)


def put(tree: Any, value: Any, arrays: list[np.ndarray], i: int) -> None:
    """Copy a tree of values to row ``i``."""
    if isinstance(tree, int):
        row = arrays[tree][i, ...]
        if np.shape(value) != row.shape:  # else NumPy would stretch it
            raise ValueError(f"an observation of shape {np.shape(value)}, where {row.shape} belongs")
        np.copyto(row, value, casting="same_kind")
        return
    for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
        put(part, value[key], arrays, i)


def states_module() -> Any:
    """``envs.env_state``, by its path: importing it as a part of proximax would import JAX."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "env_state.py")
    spec = importlib.util.spec_from_file_location("proximax_states", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def states_of(share: WorkerEnvs, given: list[Any] | None) -> tuple[str | None, list[Any]]:
    """(what is wrong, states of all environments), after putting ``given`` into them where it is not None."""
    states = states_module()
    try:
        if given is None:
            return None, [states.get_state(env) for env in share.envs]
        for i, env, state in zip(share.numbers, share.envs, given, strict=True):
            states.set_one(env, state, i)
    except states.StateError as error:
        return str(error), []
    return None, []


class Pipes:
    """The worker's ends of the pipes."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.incoming, self.outgoing = Connection(commands, writable=False), Connection(answers, readable=False)

    def report(self, share: WorkerEnvs | None, error: BaseException) -> None:
        """Tell the parent what an environment raised."""
        os.write(self.answers, b"f")
        what = share.what if share else "its constructor"
        trace = "".join(traceback.format_exception(error))
        self.outgoing.send((what, type(error).__name__, str(error), trace))

    def again(self, share: WorkerEnvs, error: BaseException) -> int:
        """The seed for another environment, if the parent wants one."""
        self.report(share, error)
        if os.read(self.commands, 1) != b"a":
            raise EOFError from error
        return int(self.incoming.recv())


def serve(commands: int, answers: int, memory: int) -> None:
    """The life of a worker."""
    pipes = Pipes(commands, answers)
    sys.path[:] = pipes.incoming.recv()  # before what follows is imported
    share = None
    try:
        make, worker, numbers, form, shapes = pipes.incoming.recv()
        share = WorkerEnvs(make, worker, numbers, SpaceLayout(*form), carve(mmap.mmap(memory, 0), shapes))
        again = partial(pipes.again, share)
        os.write(answers, b"k")
        while command := os.read(commands, 1):
            states = None
            if command == b"s":
                share.step(again)
            elif command == b"r":
                share.reset(pipes.incoming.recv(), again)
            else:
                states = states_of(share, pipes.incoming.recv() if command == b"p" else None)
            os.write(answers, b"k")
            if states is not None:
                pipes.outgoing.send(states)
            elif share.form.masked:  # of any form, so not in shared memory: these environments pay for pickling
                pipes.outgoing.send(share.masks)
                share.masks = []
    except (EOFError, BrokenPipeError):  # the parent is gone, or wants no other environment
        pass
    except ENV_ERRORS as error:
        pipes.report(share, error)
    if share:
        share.close()


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
