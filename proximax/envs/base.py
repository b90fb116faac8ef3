"""The two forms an environment takes: inside the compiled program (``JaxEnv``) or outside it (``HostEnv``)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from gymnasium import spaces

from proximax.envs.env_state import StateError, array, expect_keys
from proximax.errors import CheckpointError, EnvError
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

    @property
    def restarts(self) -> int:
        """How often an environment that crashed was made anew."""
        return 0

    def get_state(self) -> PyTree | None:
        """Everything that decides the environments' future, copied; None where it cannot be had.

        Dicts (with text as keys) and lists of NumPy arrays of numbers, None, bool, int, float and str.
        """
        return None

    def set_state(self, state: PyTree) -> None:
        """Go on where ``get_state`` of environments made in the same way was called, be it in another process.

        The same actions then give the same steps, bit for bit. Raises ``CheckpointError`` for a state that does not
        fit; some of the environments may have theirs by then, so ``reset`` before any other use.
        """
        raise CheckpointError(f"{type(self).__name__} has no state that could be put back: start new episodes")

    def close(self) -> None:
        """Free what the environments hold."""
        ...


def host_state(steps: int, ended: np.ndarray, vector: list[Any], envs: list[Any]) -> dict[str, Any]:
    """A state of ``num_envs`` environments: a form that does not depend on how they are shared among processes.

    ``ended``: in next-step mode, whose next step is a reset. ``vector``: of what steps them. ``envs``: of each.
    """
    return {"steps": steps, "ended": np.array(ended), "vector": vector, "envs": envs}


def read_host_state(state: PyTree, num_envs: int) -> tuple[int, np.ndarray, list[Any], list[Any]]:
    """The parts of a ``host_state``; raises ``StateError`` for something else."""
    parts = expect_keys(state, ("steps", "ended", "vector", "envs"), "the state")
    for name, kind in (("steps", int), ("vector", list), ("envs", list)):
        if type(parts[name]) is not kind:
            raise StateError(f"{name} is a {type(parts[name]).__name__}, not a {kind.__name__}")
    ended = array(parts["ended"], (num_envs,), ("bool",), "ended")
    return parts["steps"], ended, parts["vector"], parts["envs"]


@contextmanager
def saving_errors() -> Iterator[None]:
    """What is wrong with a state that an environment gives is the environment's fault."""
    try:
        yield
    except StateError as error:
        raise EnvError(f"the environment's state cannot be saved: {error}") from error


@contextmanager
def restoring_errors() -> Iterator[None]:
    """What is wrong with a state that was read is the file's fault."""
    try:
        yield
    except StateError as error:
        raise CheckpointError(
            f"the saved state does not fit the environments: {error}. Make them as they were, or start new episodes"
        ) from error


def auto_reset(last: Array, fresh: PyTree, reached: PyTree) -> PyTree:
    """``fresh`` where the episode ended, else ``reached``; for one environment (``last`` is a scalar)."""
    return jax.tree.map(lambda a, b: jax.numpy.where(last, a, b), fresh, reached)


def env_seeds(seed: int | Sequence[int], num_envs: int) -> list[int]:
    """Independent seeds for the environments of one run; seed + i would overlap between runs (SB3#2268)."""
    children = np.random.SeedSequence(seed).spawn(num_envs)
    return [int(child.generate_state(1)[0] >> 1) for child in children]  # 31 bits: EnvPool takes a C int
