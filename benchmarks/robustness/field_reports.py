"""Situations of public bug reports of other libraries, tried here: docs/development/field-reports.md has the verdicts.

python benchmarks/robustness/field_reports.py        a line for each: what came of it, or how it was refused
"""

import json
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


class Ninety(Base):
    """Forbids 81 of 90 actions, others at each step."""

    action_space = spaces.Discrete(90)

    def action_masks(self) -> np.ndarray:
        return np.arange(90) % 10 == self.t

    def step(self, action: Any) -> Any:
        assert action % 10 == self.t
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


class ChangesItsAction(Base):
    """Scales the action that it gets in place, as its next observation."""

    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def step(self, action: Any) -> Any:
        action *= 100.0
        return super().step(action)


class CopiesItsAction(ChangesItsAction):
    """The same on a copy."""

    def step(self, action: Any) -> Any:
        return super().step(action.copy())


class ReturnsTheSpace(Base):
    """Gives the space where an observation belongs."""

    def observe(self) -> Any:
        return self.observation_space


class Narrow(Base):
    """A range of its own for each element, in float64."""

    action_space = spaces.Box(np.zeros(4), np.array([0.01, 0.001, 0.0001, 0.8]), (4,), np.float64)

    def step(self, action: Any) -> Any:
        assert action.dtype == np.float64
        assert self.action_space.contains(action)
        return super().step(action)


class Numbered(Base):
    """21 choices from -10 on; scalars in a Dict."""

    observation_space = spaces.Dict(
        {"a": spaces.Box(-3, 3, (1, 10, 6), np.float32), "b": spaces.Box(0, 1, (), np.float32)}
    )
    action_space = spaces.Discrete(21, start=-10)

    def observe(self) -> Any:
        return self.observation_space.sample()

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return super().step(action)


class OnlyTwo(Numbered):
    """One choice, which is 2."""

    action_space = spaces.Discrete(1, start=2)


class WholeNumbers(Base):
    """A Box of integers as the action."""

    action_space = spaces.Box(0, 10, (1,), np.int64)


class VectorAndImage(Base):
    """A Tuple of a column of bytes and an image."""

    observation_space = spaces.Tuple((spaces.Box(0, 2, (12, 1), np.uint8), spaces.Box(0, 255, (16, 16, 1), np.uint8)))

    def observe(self) -> Any:
        return self.observation_space.sample()


class Matrix(Base):
    """A matrix of floats."""

    observation_space = spaces.Box(-1.0, 1.0, (5, 3), np.float32)

    def observe(self) -> Any:
        return self.np_random.uniform(-1, 1, (5, 3)).astype(np.float32)


class NoChance(Base):
    """Always the same episodes; the reward is what the action says."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def observe(self) -> Any:
        return np.full(2, self.t / 5, np.float32)

    def step(self, action: Any) -> Any:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, float(action[0]) * (self.t - 3), terminated, truncated, info


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


def action_changed_in_place() -> bool:
    """Whether an environment that writes into the action's array learns as one that does not."""
    changes, copies = (proximax.train(env, **SMALL) for env in (ChangesItsAction, CopiesItsAction))
    names = ("kl", "entropy", "value_loss", "first_ratio_error")
    return [[row[name] for name in names] for row in changes.history] == [
        [row[name] for name in names] for row in copies.history
    ]


def evaluated_again() -> list[float]:
    """The best score while training, and that of the best checkpoint afterwards, without chance."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        proximax.train(NoChance, out=run, eval_every=64, **SMALL)
        lines = map(json.loads, (run / "evaluations.jsonl").read_text().splitlines())
        while_training = max(line["return_mean"] for line in lines)
        return [while_training, proximax.evaluate(run, 2, env=NoChance, checkpoint="best").mean]


def forbidden_draws() -> int:
    """Of 350,000 actions of a masked policy how many are forbidden."""
    agent = proximax.train(Ninety, **SMALL).agent
    masks = np.random.default_rng(0).random((350_000, 90)) < 0.1
    masks[:, 0] |= ~masks.any(axis=1)
    actions = agent.act(np.zeros((len(masks), 2), np.float32), action_mask=masks, sample=True, seed=0)
    return int((~masks[np.arange(len(masks)), actions]).sum())


def small(**settings: Any) -> str:
    """Trained on CartPole with these settings: what is not finite in its metrics."""
    result = proximax.train("CartPole-v1", **SMALL | settings)
    finite = all(np.isfinite(x) for row in result.history for x in row.values() if isinstance(x, float))
    return f"{len(result.history)} updates, all metrics {'finite' if finite else 'NOT FINITE'}"


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
    "rollouts and minibatches of one step": lambda: small(num_envs=1, num_steps=1, minibatch_size=1, steps=20),
    "minibatches that do not divide the rollout": lambda: small(num_steps=17, minibatch_size=16),
    "fewer steps than one update": lambda: small(steps=10),
    "a seed of NumPy's": lambda: small(seed=np.uint32(1407292551)),
    "an environment that writes into its action": action_changed_in_place,
    "reset returns the space": lambda: mean_return(ReturnsTheSpace),
    "narrow bounds in float64": lambda: mean_return(Narrow),
    "Discrete from -10 on, scalars in a Dict": lambda: mean_return(Numbered),
    "Discrete(1, start=2)": lambda: mean_return(OnlyTwo),
    "a Box of integers as the action": lambda: mean_return(WholeNumbers),
    "a vector and an image in a Tuple, with memory": lambda: (
        proximax.train(
            VectorAndImage, **SMALL | {"network": "lstm", "sequence_length": 8, "minibatch_size": 32}
        ).summary.mean
    ),
    "a matrix, with memory": lambda: (
        proximax.train(Matrix, **SMALL | {"network": "gru", "sequence_length": 8}).summary.mean
    ),
    "a score while training, and the same policy afterwards": evaluated_again,
    "forbidden actions in 350,000": forbidden_draws,
}


def main() -> None:
    for name, situation in SITUATIONS.items():
        try:
            print(f"{name}: {situation()}", flush=True)
        except proximax.ProximaxError as error:
            print(f"{name}: refused: {error}", flush=True)


if __name__ == "__main__":
    main()
