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
    episode's end, to a start drawn with ``key``; ``Step.final_obs`` is the observation before that reset.
    ``observation_space`` and ``action_space`` are Gymnasium's.
    """

    reset: Callable[[Key], tuple[PyTree, PyTree]]  # key -> (state, observation)
    step: Callable[[Key, PyTree, PyTree], tuple[PyTree, Step]]  # (key, state, action) -> (state, step)
    observation_space: spaces.Space[Any]  # of one environment, Gymnasium's
    action_space: spaces.Space[Any]  # of one environment, Gymnasium's


class HostEnv(Protocol):
    """``num_envs`` environments outside the compiled program, stepped together on NumPy arrays.

    Every autoreset mode gives the same ``Step``: ``final_obs`` is the observation before the reset, ``first`` is true
    where ``obs`` starts an episode, ``valid`` is 0 for a reset step (which is not a transition). Returned arrays may be
    reused by the next step.
    Observations and actions of nested spaces are trees (``dict``, ``tuple``) of arrays ``[num_envs, ...]``.
    """

    num_envs: int  # that are stepped together
    observation_space: spaces.Space[Any]  # of one environment
    action_space: spaces.Space[Any]  # of one environment
    notes: list[str]  # for the user, shown when training starts
    stacked: bool = False  # whether an observation is a stack of frames ``[depth, ...]``, of which each is stored once

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """Start new episodes, environment ``i`` seeded with ``seeds[i]``; returns their observations."""
        ...

    def send(self, action: PyTree) -> None:
        """Send one action to each environment, which may start to step immediately."""
        ...

    def receive(self) -> Step:
        """Wait for the step of the actions that were sent last."""
        ...

    def step(self, action: PyTree) -> Step:
        """Send one action to each environment and wait."""
        self.send(action)
        return self.receive()

    @property
    def restarts(self) -> int:
        """How many crashed environments were restarted."""
        return 0

    def get_state(self) -> PyTree | None:
        """A copy of everything that decides the environments' future; None where it is not available.

        Dicts (with strings as keys) and lists of NumPy arrays of numbers, None, bool, int, float and str.
        """
        return None

    def set_state(self, state: PyTree) -> None:
        """Continue from the state that ``get_state`` of equal environments returned, also in another process.

        The same actions then give the same steps, bit for bit. Raises ``CheckpointError`` for a state that does not
        fit; some of the environments may have been restored by then, so ``reset`` before any other use.
        """
        raise CheckpointError(f"{type(self).__name__} has no state that can be restored: start new episodes")

    def close(self) -> None:
        """Release the environments' resources."""
        ...


def host_state(steps: int, ended: np.ndarray, vector: list[Any], envs: list[Any]) -> dict[str, Any]:
    """The state of ``num_envs`` environments, in a form that does not depend on their distribution over processes.

    ``ended``: those whose next step is a reset, in next-step mode. ``vector``: the states of the vector environment's
    layers. ``envs``: that of each environment.
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
    """A ``StateError`` while saving becomes the environment's error, ``EnvError``."""
    try:
        yield
    except StateError as error:
        raise EnvError(f"the environment's state cannot be saved: {error}") from error


@contextmanager
def restoring_errors() -> Iterator[None]:
    """A ``StateError`` while restoring becomes the file's error, ``CheckpointError``."""
    try:
        yield
    except StateError as error:
        raise CheckpointError(
            f"the saved state does not fit the environments: {error}. Create them with the same settings, or start new "
            "episodes"
        ) from error


def auto_reset(last: Array, fresh: PyTree, reached: PyTree) -> PyTree:
    """``fresh`` where the episode ended, else ``reached``; for one environment (``last`` is a scalar)."""
    return jax.tree.map(lambda a, b: jax.numpy.where(last, a, b), fresh, reached)


def env_seeds(seed: int | Sequence[int], num_envs: int) -> list[int]:
    """Independent seeds for the environments of one run; seed + i would overlap between runs (SB3#2268)."""
    children = np.random.SeedSequence(seed).spawn(num_envs)
    return [int(child.generate_state(1)[0] >> 1) for child in children]  # 31 bits: EnvPool takes a C int
