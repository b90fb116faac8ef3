"""Environments that crash now and then: how often they are restarted, and how that is reported.

Restarted here in the trainer's process; ``workers.vector_env`` replaces workers that crashed, within the same budget.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np

from proximax.envs.env_checker import environment_error
from proximax.errors import ENV_ERRORS, EnvError

logger = logging.getLogger(__name__)

RESTARTED = "proximax_restarted"  # in ``info``
RESTARTS_NOT_SUPPORTED = "env_restarts: these environments cannot be restarted one by one, so a crash ends the run"


class RestartBudget:
    """How many restarts of crashed environments a run may use; all groups of environments share one budget.

    ``used_before``: how many the run used before it was resumed.
    """

    def __init__(self, limit: int = 0, used_before: int = 0) -> None:
        self.limit, self._used_before, self.used = limit, used_before, 0
        self.supported = False  # by the environments of the run

    @property
    def number(self) -> int:
        """The number of the latest restart in the whole run, from 1."""
        return self._used_before + self.used

    def use(self, error: EnvError) -> None:
        """Use one restart and log a warning; raises ``error`` where the budget is used up."""
        if self.number >= self.limit:
            raise error
        self.used += 1
        logger.warning(f"{error}. Restarted: restart {self.number} of {self.limit}")


def new_seed(seed: int, restart: int) -> int:
    """The seed of the environment that replaces one seeded with ``seed``."""
    return int(np.random.SeedSequence((seed, restart)).generate_state(1)[0] >> 1)


class AutoRestartEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One environment of this process, re-created where it raises: that truncates the episode, and ``info`` says so."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], restarts: RestartBudget, number: int) -> None:
        super().__init__(make())
        self._make, self._restarts, self._number = make, restarts, number
        self._seed = self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, or a new one if that raises."""
        self._seed = self._seed if seed is None else seed
        try:
            return self.env.reset(seed=seed, options=options)
        except ENV_ERRORS as error:
            return self._restart("reset", error)

    def step(self, action: object) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment; if that raises, the start of a new environment's first episode."""
        try:
            outcome = self.env.step(action)
        except ENV_ERRORS as error:
            obs, info = self._restart("step", error)
            return obs, 0.0, False, True, {**info, RESTARTED: True}
        self._steps += 1
        return outcome

    def _restart(self, method: str, error: BaseException) -> tuple[Any, dict[str, Any]]:
        while True:
            env_error = environment_error(method, error, self._steps, self._number)
            env_error.__cause__ = error
            self._restarts.use(env_error)
            with suppress(*ENV_ERRORS):
                self.env.close()
            try:
                method = "its constructor"
                self.env = self._make()
                method = "reset"
                return self.env.reset(seed=new_seed(self._seed, self._restarts.number))
            except ENV_ERRORS as next_error:
                error = next_error
