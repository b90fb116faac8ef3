"""EnvPool's environments as a ``HostEnv``."""

from collections.abc import Callable, Sequence
from typing import Any

from gymnasium.vector import VectorEnv

from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.types import PyTree


class EnvPoolEnv(GymnasiumEnv):
    """EnvPool takes seeds in its constructor and ignores those of ``reset``, so ``reset`` creates a new pool."""

    def __init__(self, make: Callable[..., VectorEnv[Any, Any, Any]], num_envs: int) -> None:
        self._make = make
        super().__init__(make(seed=list(range(num_envs))), masked=False)

    def reset(self, seeds: Sequence[int]) -> PyTree:
        """A new pool with these seeds."""
        self.env.close()
        self.env = self._make(seed=list(seeds))
        return self._reset()
