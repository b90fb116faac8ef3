"""Gymnasium environments for worker processes: they misbehave, or save their state. Imports no JAX, as ``toy_gym``."""

import hashlib
import os
import signal
import sys
import threading
import time
from collections import OrderedDict

import gymnasium
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


class NoTextError(Exception):
    def __str__(self):
        raise ValueError("no text")


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
            if self.how == "raise no text":
                raise NoTextError
            if self.how == "fork and die" and os.fork() == 0:  # a helper that lives on, with all pipes of the worker
                time.sleep(3)
                os._exit(0)
            if "die" in self.how:
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


class Stateful(Script):
    """Says what its state is: all but the generator, which is known."""

    def get_state(self):
        return {"episode": self.episode, "t": self.t, "length": self.length}

    def set_state(self, state):
        self.episode, self.t, self.length = state["episode"], state["t"], state["length"]


class Scales(gymnasium.RewardWrapper):
    """Doubles the reward's factor at every step: a wrapper with a state of its own."""

    factor = 1.0

    def reward(self, reward):
        self.factor *= 1.01
        return self.factor * reward

    def get_state(self):
        return np.array(self.factor)

    def set_state(self, state):
        self.factor = float(state)


class LawfulState(Lawful):
    """With masks in ``info``; raises for a forbidden action."""

    def get_state(self):
        return {"episode": self.episode, "t": self.t, "length": self.length, "mask": list(self.mask)}

    def set_state(self, state):
        vars(self).update(state)


NESTED = spaces.Dict(a=spaces.Box(0, 255, (2,), np.uint8), b=spaces.Discrete(3))


class Goes(gymnasium.Env):
    """Episodes of four steps; at step ``at`` of the second episode the environment of seed 1 gives ``wrong``."""

    observation_space, action_space = NESTED, spaces.Discrete(3)

    def __init__(self, wrong=None, at=2):
        self.wrong, self.at, self.episode = wrong or {}, at, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bad = self.bad if seed is None else seed == 1
        self.episode = 0 if seed is not None else self.episode + 1
        self.t = 0
        return {"a": np.zeros(2, np.uint8), "b": 1}, {}

    def step(self, action):
        self.t += 1
        outcome = {"obs": {"a": [self.t, 0], "b": 2}, "reward": 1.0, "terminated": self.t == 4}
        outcome["obs"]["a"] = np.array(outcome["obs"]["a"], np.uint8)
        if self.bad and self.episode == 1 and self.t == self.at:
            outcome |= self.wrong
        return outcome["obs"], outcome["reward"], outcome["terminated"], False, {}


class Masked(Goes):
    """Allows, by a method as sb3-contrib's MaskablePPO reads it, one action: the number of the step."""

    def action_masks(self):
        assert self.t < 3, "no action follows, so nobody asks"
        return np.arange(3) == self.t

    def step(self, action):
        assert action == self.t
        obs, reward, _, truncated, info = super().step(action)
        return obs, reward, self.t == 3, truncated, info


class Wrapped(gymnasium.Wrapper):
    """Hides nothing: the method is found through it."""


class FromWrapper(gymnasium.Wrapper):
    """As sb3-contrib's ActionMasker: the method is the wrapper's own."""

    def action_masks(self):
        return [False, True, False]


class Looks(gymnasium.Env):
    """Its observation says how its action looks: keys in order, types, dtypes, and whether it may be written to."""

    inner = spaces.Dict(OrderedDict(z=spaces.Discrete(3), y=spaces.Box(-1.0, 1.0, (2,)), x=spaces.MultiBinary(2)))
    action_space = spaces.Tuple((inner, spaces.MultiDiscrete([2, 2]), spaces.Box(0.0, 1.0, ())))
    observation_space = spaces.MultiBinary(64)

    def reset(self, *, seed):  # and no ``options``
        super().reset(seed=seed)
        self.kept = []
        return np.zeros(64, np.int8), {}

    def step(self, action):
        first, second, third = action
        looks = [list(first), second.shape, second.dtype, np.shape(third), np.asarray(third).dtype]
        looks += [(type(x).__name__, np.asarray(x).dtype, getattr(x, "flags", None) is None) for x in first.values()]
        first["y"][:] = 0.5  # it may write to its own action
        self.kept.append(action)
        same = all(x[0]["y"].tolist() == [0.5, 0.5] for x in self.kept)  # which no later action overwrites
        bits = hashlib.sha256(repr((looks, same)).encode()).digest()[:8]
        return np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.int8), 0.0, False, False, {}
