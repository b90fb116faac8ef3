"""Environments that misbehave, for tests of the command line. Each is fine until a worker or a rollout uses it."""

import os
import signal
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces

Path("faulty-was-imported").touch()


class Walk(gymnasium.Env):
    """Episodes of five steps, reward 1 for action 1. ``at``: the step of an environment at which it misbehaves."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    at = 40

    def __init__(self):
        self.count, self.trial, self.t = 0, False, 0

    def obs(self):
        return np.array([self.t / 5, -self.t / 5], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.trial = self.trial or seed == 0  # what proximax tries out first is reset with seed 0
        self.t = 0
        return self.obs(), {}

    def step(self, action):
        self.t += 1
        self.count += 1
        if self.count == self.at and not self.trial:
            return self.misbehave(action)
        return self.obs(), float(np.asarray(action).sum()), self.t == 5, False, {}

    def misbehave(self, action):
        return self.obs(), 0.0, False, False, {}


class Graph(Walk):
    observation_space = spaces.Graph(spaces.Box(-1, 1, (2,)), None)


class Sequence(Walk):
    observation_space = spaces.Dict(a=spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Sequence(spaces.Discrete(2))]))


class OneOf(Walk):
    action_space = spaces.OneOf([spaces.Discrete(2), spaces.Box(-1, 1, (2,))])


class Text(Walk):
    observation_space = spaces.Dict(a=spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Text(3)]))


class Odd(Walk):
    """Actions from 1 to 3, a table of choices, and a box off centre, open to one side."""

    action_space = spaces.Tuple(
        [
            spaces.Discrete(3, start=1),
            spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, -3]]),
            spaces.Box(np.array([-1, 0], np.float32), np.array([5, np.inf], np.float32)),
        ]
    )

    def step(self, action):
        assert self.action_space.contains(action), action
        return super().step(0)


class OldStep(Walk):
    def step(self, action):
        return super().step(action)[:4]


class OldReset(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class NaN(Walk):
    def misbehave(self, action):
        return np.array([np.nan, 0], np.float32), 0.0, False, False, {}


class NaNReward(Walk):
    def misbehave(self, action):
        return self.obs(), float("nan"), False, False, {}


class Huge(Walk):
    def misbehave(self, action):
        return self.obs(), 3e38, False, False, {}


class Shape(Walk):
    def obs(self):
        return np.zeros(3, np.float32)


class Kind(Walk):
    observation_space = spaces.Box(-9, 9, (2,), np.int32)

    def obs(self):
        return np.array([0.5, 0.25])


class Outside(Walk):
    def obs(self):
        return np.full(2, 7, np.float32)


class LowHigh(Walk):
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space.low[1] = 3.0


class NaNBound(Walk):
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space.high[0] = np.nan


class Raises(Walk):
    def misbehave(self, action):
        raise RuntimeError("the gripper is stuck")


class NoConstructor(Walk):
    def __init__(self):
        raise RuntimeError("licence server down")


class NoReset(Walk):
    def reset(self, *, seed=None, options=None):
        raise RuntimeError("no map")


class Slow(Walk):
    """Slow enough for processes of its own."""

    def step(self, action):
        time.sleep(0.001)
        return super().step(action)


class Dies(Slow):
    def misbehave(self, action):
        os.kill(os.getpid(), signal.SIGKILL)


class Stuck(Slow):
    """Each of its steps takes seconds, once it is trained on."""

    at = 1

    def misbehave(self, action):
        Path("stuck").touch()
        self.count = 0
        time.sleep(2.0)
        return self.obs(), 0.0, False, False, {}


class Chatty(Walk):
    def step(self, action):
        print("hello from the environment")
        np.random.seed(0)
        return super().step(action)


class Deaf(Walk):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=None)
        self.t = int(self.np_random.integers(5))
        return self.obs(), {}


class Endless(Walk):
    def step(self, action):
        self.t = 0
        return self.obs(), 0.0, False, False, {}


class Grows(Walk):
    """Another environment under the same name, once there is a file ``grown``."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(-1.0, 1.0, (3 if Path("grown").exists() else 2,), np.float32)

    def obs(self):
        return np.zeros(self.observation_space.shape, np.float32)


for kind in [Walk, *Walk.__subclasses__(), *Slow.__subclasses__()]:
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind, disable_env_checker=True)
