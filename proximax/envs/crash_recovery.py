"""Environments that crash now and then: how often they are made anew, and how that is said."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np

from proximax.envs.env_checker import ENV_ERRORS, environment_fault
from proximax.errors import EnvError

logger = logging.getLogger(__name__)

RESTARTED = "proximax_restarted"  # in ``info``
RESTARTS_NOT_SUPPORTED = "env_restarts: these environments cannot be made anew one by one, so a crash ends the run"


class RestartBudget:
    """How often environments that crash are made anew in a run; all groups of environments share one of these.

    ``used_before``: how often it was done in the parts of the run before this one.
    """

    def __init__(self, limit: int = 0, used_before: int = 0) -> None:
        self.limit, self._used_before, self.used = limit, used_before, 0
        self.supported = False  # by the environments that were made

    @property
    def number(self) -> int:
        """The latest one's number in the whole run, from 1."""
        return self._used_before + self.used

    def use(self, fault: EnvError) -> None:
        """One more, logged as a warning; raises ``fault`` once there were ``limit``."""
        if self.number >= self.limit:
            raise fault
        self.used += 1
        logger.warning(f"{fault}. Made anew: restart {self.number} of {self.limit}")


def new_seed(seed: int, restart: int) -> int:
    """For the environment that takes the place of one seeded with ``seed``."""
    return int(np.random.SeedSequence((seed, restart)).generate_state(1)[0] >> 1)


class AutoRestartEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One environment of this process, made anew where it raises: the episode is cut, and ``info`` says so."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], restarts: RestartBudget, number: int) -> None:
        super().__init__(make())
        self._make, self._restarts, self._number = make, restarts, number
        self._seed = self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's own, or a new one's."""
        self._seed = self._seed if seed is None else seed
        try:
            return self.env.reset(seed=seed, options=options)
        except ENV_ERRORS as error:
            return self._renew("reset", error)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's own, or the start of a new one's first episode."""
        try:
            outcome = self.env.step(action)
        except ENV_ERRORS as error:
            obs, info = self._renew("step", error)
            return obs, 0.0, False, True, {**info, RESTARTED: True}
        self._steps += 1
        return outcome

    def _renew(self, what: str, error: BaseException) -> tuple[Any, dict[str, Any]]:
        while True:
            fault = environment_fault(what, error, self._steps, self._number)
            fault.__cause__ = error
            self._restarts.use(fault)
            with suppress(*ENV_ERRORS):
                self.env.close()
            try:
                what = "its constructor"
                self.env = self._make()
                what = "reset"
                return self.env.reset(seed=new_seed(self._seed, self._restarts.number))
            except ENV_ERRORS as another:
                error = another
