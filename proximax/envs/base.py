"""The two forms an environment takes: inside the compiled program (``JaxEnv``) or outside it (``HostEnv``)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from gymnasium import spaces

from proximax.types import Array, Key, PyTree, Step


class JaxEnv(NamedTuple):
    """One environment as pure functions; ``rollout.unroll`` vmaps them over ``N``.

    ``reset(key) -> (state, obs)``; ``step(key, state, action) -> (state, Step)``. ``step`` resets by itself at an
    episode's end, to a fresh start drawn with ``key``; ``Step.final_obs`` is the observation before that reset.
    """

    reset: Callable[[Key], tuple[PyTree, PyTree]]
    step: Callable[[Key, PyTree, PyTree], tuple[PyTree, Step]]
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]


class HostEnv(Protocol):
    """``num_envs`` environments outside the compiled program, stepped together on NumPy arrays.

    Every autoreset mode comes out as the same ``Step``: ``final_obs`` before the reset, ``first`` where ``obs`` opens
    an episode, ``valid`` 0 where the step was only a reset. Arrays that were returned may be reused at the next step.
    Observations and actions of nested spaces are trees (``dict``, ``tuple``) of arrays ``[num_envs, ...]``.
    """

    num_envs: int
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    notes: list[str]  # what the user should know about them
    stacked: bool = False  # an observation is the last frames ``[depth, ...]``: each is stored once

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """Start new episodes, environment ``i`` seeded with ``seeds[i]``; returns their observations."""
        ...

    def send(self, action: PyTree) -> None:
        """Send one action to each environment, which may begin to step at once."""
        ...

    def receive(self) -> Step:
        """Wait for what the actions sent last led to."""
        ...

    def step(self, action: PyTree) -> Step:
        """Send one action to each environment and wait."""
        self.send(action)
        return self.receive()

    def get_state(self) -> PyTree | None:
        """Everything that decides the environments' future."""
        return None

    def set_state(self, state: PyTree) -> None:
        """Go on from there."""
        raise NotImplementedError(type(self).__name__)

    def close(self) -> None:
        """Free what the environments hold."""
        ...


def auto_reset(last: Array, fresh: PyTree, reached: PyTree) -> PyTree:
    """``fresh`` where the episode ended, else ``reached``; for one environment (``last`` is a scalar)."""
    return jax.tree.map(lambda a, b: jax.numpy.where(last, a, b), fresh, reached)


def env_seeds(seed: int | Sequence[int], num_envs: int) -> list[int]:
    """Independent seeds for the environments of one run; seed + i would overlap between runs (SB3#2268)."""
    children = np.random.SeedSequence(seed).spawn(num_envs)
    return [int(child.generate_state(1)[0] >> 1) for child in children]  # 31 bits: EnvPool takes a C int
