"""Situations of public bug reports of other libraries, tried here: docs/development/field-reports.md has the verdicts.

python benchmarks/robustness/field_reports.py        a line for each: what came of it, or how it was refused
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import proximax
from proximax.envs import make_env

SMALL: dict[str, Any] = {"preset": "none", "steps": 256, "num_envs": 4, "num_steps": 16, "minibatch_size": 32}
SMALL |= {"epochs": 2, "eval_episodes": 2, "quiet": True, "hidden": (16,)}


class Base(gymnasium.Env[Any, Any]):
    """Five steps of random observations, each with reward 1."""

    observation_space: Any = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space: Any = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def observe(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.observe(), 1.0, self.t == 5, False, {}


class TwoAxes(Base):
    """Its actions have two axes."""

    action_space = spaces.MultiDiscrete([[2, 3], [4, 2]])

    def step(self, action: Any) -> Any:
        assert action.shape == (2, 2)
        assert self.action_space.contains(action)
        return super().step(action)


class FloatsAsBytes(Base):
    """Says bytes, gives floats."""

    observation_space = spaces.Box(0, 255, (2,), np.uint8)


class OneAction(Base):
    """A Box of one value."""

    action_space = spaces.Box(30.0, 30.0, (1,), np.float32)


class Range(Base):
    """Keeps the actions that it gets."""

    action_space = spaces.Box(5.0, 35.0, (10,), np.float32)
    actions: list[np.ndarray] = []  # noqa: RUF012  # of all copies

    def step(self, action: Any) -> Any:
        self.actions.append(np.array(action))
        return super().step(action)


class Masked(Base):
    """Forbids actions by a method."""

    observation_space = spaces.Dict({"a": spaces.Box(-1.0, 1.0, (2,), np.float32), "b": spaces.Discrete(3)})
    action_space = spaces.MultiDiscrete([3, 2])

    def observe(self) -> Any:
        return {"a": super().observe(), "b": int(self.np_random.integers(3))}

    def action_masks(self) -> np.ndarray:
        return np.array([1, 0, 1, 0, 1])

    def step(self, action: Any) -> Any:
        assert action[0] != 1
        assert action[1] == 1
        return super().step(action)


class BothEnds(Base):
    """Ends and is cut off at the same step."""

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.observe(), 1.0, self.t == 5, self.t == 5, {}


class NumPyScalars(Base):
    """An array as the reward, NumPy's and 0 as flags."""

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.observe(), np.array([1.0]), np.bool_(self.t == 5), 0, {}


def mean_return(env: Any) -> float:
    """Trained a little; what the evaluation gave."""
    return proximax.train(env, **SMALL).summary.mean


def action_range() -> str:
    """The actions of a new policy in [5, 35]."""
    proximax.train(Range, **SMALL)
    actions = np.array(Range.actions)
    at_bounds = np.mean((actions <= 5) | (actions >= 35))
    return f"mean {actions.mean():.1f}, deviation {actions.std():.1f}, {at_bounds:.0%} at the bounds"


def adaptive_rate() -> list[list[float]]:
    """Learning rates of updates 5 to 7: of a whole run, and of one that was resumed after the fifth."""
    settings = SMALL | {"kl_control": "learning_rate", "target_kl": 1e-5, "steps": 640}
    with tempfile.TemporaryDirectory() as folder:
        whole = proximax.train("gymnax:CartPole-v1", **settings)
        parts = settings | {"out": Path(folder) / "run"}
        proximax.train("gymnax:CartPole-v1", callbacks=[lambda rows: rows[0]["update"] == 5], **parts)
        resumed = proximax.train("gymnax:CartPole-v1", resume=True, **parts)
    return [[row["learning_rate"] for row in run.history[4:7]] for run in (whole, resumed)]


def starts() -> int:
    """How many different starts eight environments of EnvPool have."""
    env = make_env("envpool:CartPole-v1", 8)
    obs = np.asarray(env.reset(range(8)))
    env.close()
    return len(np.unique(obs, axis=0))


SITUATIONS: dict[str, Callable[[], Any]] = {
    "MultiDiscrete of two axes": lambda: mean_return(TwoAxes),
    "floats in a space of bytes": lambda: mean_return(FloatsAsBytes),
    "a Box whose low is its high": lambda: mean_return(OneAction),
    "actions in [5, 35]": action_range,
    "adaptive learning rate, resumed": adaptive_rate,
    "eight environments of EnvPool": starts,
    "masks of a MultiDiscrete, observations in a Dict": lambda: mean_return(Masked),
    "terminated and truncated at once": lambda: mean_return(BothEnds),
    "flags and rewards as NumPy scalars": lambda: mean_return(NumPyScalars),
}


def main() -> None:
    for name, situation in SITUATIONS.items():
        try:
            print(f"{name}: {situation()}", flush=True)
        except proximax.ProximaxError as error:
            print(f"{name}: refused: {error}", flush=True)


if __name__ == "__main__":
    main()
