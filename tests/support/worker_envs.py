"""Gymnasium environments for worker processes: they misbehave in known ways. Imports no JAX, as ``toy_gym``."""

import os
import signal
import sys
import threading
import time

import numpy as np
from gymnasium import spaces

from tests.support.toy_gym import Fixed, Lawful, Script


class Recycles(Script):
    """Writes every observation into the same array, and scribbles on its action."""

    array = None
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def _obs(self):
        self.array = np.zeros(3, np.float32) if self.array is None else self.array
        self.array[:] = super()._obs()
        return self.array

    def step(self, action):
        action *= 0
        return super().step(action)


class Remembers(Script):
    """Its observation is the action before the last, of which it kept the array."""

    action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def __init__(self):
        super().__init__((50, 50))
        self.action = self.previous = np.zeros(3, np.float32)

    def step(self, action):
        self.previous, self.action = self.action, action
        return (self.previous, *super().step(0)[1:])


class Twice(Script):
    """One object, whoever asks for it."""

    def __new__(cls):
        if not hasattr(cls, "only"):
            cls.only = super().__new__(cls)
        return cls.only


class Breaks(Script):
    """Goes wrong at its third step, if its seed is 3."""

    def __init__(self, how="raise"):
        super().__init__((50, 50))
        self.how, self.steps, self.bad = how, 0, False

    def reset(self, *, seed=None, options=None):
        self.bad = seed == 3 if seed is not None else self.bad
        if self.bad and self.how == "reset":
            raise ValueError("no level loaded")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps += 1
        if self.bad and self.steps == 3:
            if self.how == "raise":
                raise ZeroDivisionError("oh no")
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "leave":
                os._exit(7)
            if self.how == "exit":
                sys.exit(0)
            if self.how == "hang":
                threading.Event().wait()
            if self.how == "shape":
                return np.float32(0), 0.0, False, False, {}
        return super().step(action)


class Slow(Script):
    """A second a step: several in turn take longer than any one of them may."""

    def step(self, action):
        time.sleep(1.0)
        return super().step(action)


class Fragile(Fixed):
    """Every environment crashes once, at its fifth step: the second of its second episode."""

    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 5 and self.fresh:
            raise OSError("gone")
        return super().step(action)

    def reset(self, *, seed=None, options=None):
        self.fresh = seed in (1, 2) if seed is not None else self.fresh
        return super().reset(seed=seed, options=options)


class Forgets(Lawful):
    """Its info has no mask any more from its third step on."""

    steps = 0

    def _info(self):
        self.steps += 1
        return super()._info() if self.steps < 4 else {}
