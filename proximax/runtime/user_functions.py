"""Functions that a user passes, called while a program is traced: problems are reported with their names."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from proximax.errors import ProximaxError, UsageError, describe


def call_user_function(name: str, function: Callable[..., Any], *arguments: object) -> Any:
    """``function(*arguments)``; what it raises becomes a ``UsageError``."""
    try:
        return function(*arguments)
    except (ProximaxError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        fields = getattr(getattr(error, "obj", None), "_fields", ())  # of the record that lacks an attribute
        hint = f". It has {', '.join(fields)}" if fields else ""
        raise UsageError(f"{name} raised {describe(error)}{hint}") from error


def kind_of(value: object) -> str:
    """What a function gave, for a message: the shape of an array or a number, or the type of anything else."""
    if isinstance(value, (jax.Array, np.ndarray, np.generic, int, float)):
        return f"shape {np.shape(value)}"
    return f"type {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")
