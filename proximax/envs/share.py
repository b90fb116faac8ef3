"""A worker process: it steps its share of the Gymnasium environments in a plain loop, over shared memory.

It runs by itself (``python share.py COMMANDS ANSWERS MEMORY``, file descriptors) and imports neither proximax nor JAX,
which would take seconds, hundreds of megabytes and threads of its own. ``workers.Workers`` is the other side.

A command is one byte: ``s`` steps every environment once with the actions in shared memory, ``r`` resets them with the
seeds that follow it. The answer is ``k``, then the masks where there are some; or ``f`` and what an environment raised.
The end of the pipe ends the worker.
"""

import mmap
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[str, tuple[int, ...]]  # dtype and shape of one array
MASK = "action_mask"
GRACE_SECONDS = 5.0  # for closing environments, before the process is ended


class Form(NamedTuple):
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


class Share:
    """The environments ``numbers``, in row ``numbers[k]`` of the arrays each."""

    def __init__(self, make: Callable[[], Any], worker: int, numbers: range, form: Form, arrays: Arrays) -> None:
        self.numbers, self.form, self.arrays = numbers, form, arrays
        self.calls, self.place = arrays.calls[0][worker : worker + 1], arrays.place[0][worker : worker + 1]
        self.what = "step"  # what is being called
        self.masks: list[tuple[int, bool, bool, Any]] = []  # (environment, fresh, whether info had one, the mask)
        self.envs: list[Any] = []
        for i in numbers:
            self.begin(i)
            env = make()
            self.envs.append(env)
            if (env.observation_space, env.action_space) != form[:2]:
                raise ValueError("its spaces are not those of the first environment made")

    def begin(self, i: int) -> None:
        """Note that environment ``i`` is called now, for whoever waits."""
        self.place[0] = i
        self.calls[0] += 1

    def reset(self, seeds: Sequence[int]) -> None:
        """New episodes."""
        self.what = "reset"
        for i, env, seed in zip(self.numbers, self.envs, seeds):
            self.begin(i)
            self.write(i, True, *env.reset(seed=seed))

    def step(self) -> None:
        """One step of each environment, and a reset where it ended the episode."""
        arrays, tree = self.arrays, self.form.actions
        reward, terminated, truncated = arrays.reward[0], arrays.terminated[0], arrays.truncated[0]
        for i, env in zip(self.numbers, self.envs):
            self.what = "step"
            self.begin(i)
            obs, reward[i], terminated[i], truncated[i], info = env.step(pick(tree, arrays.actions, i))
            self.write(i, False, obs, info)
            if terminated[i] or truncated[i]:
                self.what = "reset"
                self.write(i, True, *env.reset())

    def write(self, i: int, fresh: bool, obs: Any, info: dict[str, Any]) -> None:
        """Store an observation in row ``i``, keep its mask; ``fresh``: it opens an episode."""
        arrays = self.arrays
        put(self.form.observations, obs, arrays.fresh if fresh else arrays.reached, i)
        if self.form.masked:
            self.masks.append((i, fresh, MASK in info, info.get(MASK)))

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            with suppress(Exception):
                env.close()


def pick(tree: Any, arrays: list[np.ndarray], i: int) -> Any:
    """Row ``i`` as a tree."""
    if isinstance(tree, int):
        return arrays[tree][i]
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


def serve(commands: int, answers: int, memory: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the parent decides
    threading.Thread(target=leave_with_parent, args=(commands,), daemon=True).start()
    incoming, outgoing = Connection(commands, writable=False), Connection(answers, readable=False)
    sys.path[:] = incoming.recv()  # before what follows is imported
    share = None
    try:
        make, worker, numbers, form, shapes = incoming.recv()
        share = Share(make, worker, numbers, Form(*form), carve(mmap.mmap(memory, 0), shapes))
        os.write(answers, b"k")
        while command := os.read(commands, 1):
            if command == b"s":
                share.step()
            else:
                share.reset(incoming.recv())
            os.write(answers, b"k")
            if share.form.masked:  # of any form, so not in shared memory: these environments pay for pickling
                outgoing.send(share.masks)
                share.masks = []
    except (EOFError, BrokenPipeError):  # the parent is gone
        pass
    except Exception as error:
        os.write(answers, b"f")
        what = share.what if share else "its constructor"
        outgoing.send((what, type(error).__name__, str(error), traceback.format_exc()))
    if share:
        share.close()


def leave_with_parent(commands: int) -> None:
    """End this process once the parent has closed the pipe, even if an environment never comes back."""
    ending = select.poll()
    ending.register(commands, 0)  # only its end, not commands
    ending.poll()
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
