"""HalfCheetah-v5 that fails on demand: a file in the folder ``$FAULT_ORDERS`` is an order, for one environment.

``stuck``: a step that never returns. ``crash``: a step that raises. ``nan``: a reward that is not a number.
"""

import os
import time
from pathlib import Path
from typing import Any

import gymnasium

ORDERS = Path(os.environ.get("FAULT_ORDERS", "/nowhere"))


class FaultyCheetah(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The environment, and the faults ordered for it."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("HalfCheetah-v5"))

    def step(self, action: Any) -> Any:
        """A step, or the ordered fault instead."""
        obs, reward, terminated, truncated, info = super().step(action)
        if taken("stuck"):
            time.sleep(1e6)
        if taken("crash"):
            raise RuntimeError("as ordered")
        return obs, float("nan") if taken("nan") else reward, terminated, truncated, info


def taken(order: str) -> bool:
    """Whether this environment takes the order: only one of all can."""
    try:
        (ORDERS / order).unlink()
    except OSError:
        return False
    return True


def make() -> FaultyCheetah:
    """An instance. Gymnasium expects a class to have its metadata before it is instantiated; a wrapper's does not."""
    return FaultyCheetah()


gymnasium.register("FaultyCheetah-v0", make)
