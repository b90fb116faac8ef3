"""Runs whole, and runs in two parts: ``exact.py first|second FOLDER``, each in a process of its own, for test_resume.

FOLDER/CASE/whole makes six updates; FOLDER/CASE/parts three of them, and in the second process the rest. Two cases
are stopped after the three, the others are what a whole run had on disk by then.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from gymnasium import spaces

import proximax
from proximax.envs import HostEnv
from proximax.types import Step
from tests.support.half_runs import copy_half
from tests.support.saved_runs import TINY
from tests.support.toy_envs import lawful_jax
from tests.support.toy_gym import ACTIONS


class Walk(HostEnv):
    """Noise to see, rewards for what the action does with it, games of drawn lengths; hands out one buffer for ever."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.notes = num_envs, []
        self.obs, self.left = np.zeros((num_envs, 3), np.float32), np.zeros(num_envs, int)

    def _begin(self, i: int) -> None:
        self.left[i] = self.rngs[i].integers(1, 12)
        self.obs[i] = self.rngs[i].normal(size=3)

    def reset(self, seeds: Sequence[int]) -> Any:
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        for i in range(self.num_envs):
            self._begin(i)
        return self.obs

    def send(self, action: Any) -> None:
        self.action = action

    def receive(self) -> Step:
        reward, n = np.where(self.action > 0, self.obs[:, 0], 0.5), self.num_envs
        for i in range(n):
            self.obs[i] = self.rngs[i].normal(size=3)
            self.left[i] -= 1
        reached, last = self.obs.copy(), self.left == 0
        for i in np.flatnonzero(last):
            self._begin(i)
        return Step(self.obs, reached, reward, last & (reward > 0.4), last & (reward <= 0.4), last, np.ones(n, bool))


class Kept(Walk):
    """As ``Walk``; its state can be had."""

    def get_state(self) -> Any:
        rngs = [rng.bit_generator.state for rng in self.rngs]  # integers of 128 bits
        return {"obs": self.obs.copy(), "left": self.left.copy(), "rngs": rngs}

    def set_state(self, state: Any) -> None:
        self.obs[:], self.left[:] = state["obs"], state["left"]
        for rng, found in zip(self.rngs, state["rngs"], strict=True):
            rng.bit_generator.state = found


KL = {"target_kl": 0.01, "kl_control": "learning_rate"}
# Each algorithm, each kind of environment and each setting with a state of its own, several of them in one run.
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "seeds-surrogate": (
        "probe:observed",
        {"algo": "surrogate", "seeds": 2, "seed": 2**40, "eval_every": 32, "anneal": "none", **KL},
    ),
    "gymnax-a2c": (
        "gymnax:CartPole-v1",
        {"algo": "a2c", "epochs": 1, "minibatch_size": None, "stop_at_return": 1e9, "value_epsilon": 0.2}
        | {"shared_torso": True},
    ),
    "masks-penalty": (
        lambda: lawful_jax(ACTIONS["discrete"], masked=True),
        {"algo": "penalty", "seeds": 2, "entropy_coef": 0.01, "checkpoint_every": "32"},
    ),
    "trpo": ("probe:matching", {"algo": "trpo"}),
    "spo": ("probe:matching", {"algo": "spo", "normalise_values": True, "value_epochs": 1}),
    "host-npg": (lambda: Kept(4), {"algo": "npg", "seeds": 2}),
    "memory": (
        "probe:recall",
        {"network": "lstm", "sequence_length": 4, "refresh_carry": True, "recurrent_units": 3}
        | {"anneal": "both", "anneal_start": 0.4, "recompute_advantage": True, "entropy_coef": 0.01},
    ),
    "memory-host-reinforce": (
        lambda: Kept(4),
        {"algo": "reinforce", "network": "gru", "seeds": 2, "recurrent_units": 3},
    ),
}


def stop(rows: Any) -> bool:
    return rows[0]["update"] == 3


STOPPED = {"memory", "masks-penalty"}
HALF = 48  # steps


def main(stage: str, folder: Path) -> None:
    for name, (env, own) in CASES.items():
        whole, parts = (folder / name / part for part in ("whole", "parts"))
        settings = TINY | ({} if name in STOPPED else {"checkpoint_every": str(HALF)}) | own
        make = env if callable(env) else partial(str, env)
        if stage == "second":
            result = proximax.train(make(), out=parts, resume=True, **settings)
            print(*result.notes, sep="\n")
            continue
        proximax.train(make(), out=whole, **settings)
        if name in STOPPED:
            proximax.train(make(), out=parts, callbacks=[stop], **settings)
        else:
            copy_half(whole, parts, HALF)


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    main(sys.argv[1], Path(sys.argv[2]))
