"""Faults a user can meet: one message that says what, where and what to do, and an exit code."""

import signal
import warnings
from typing import Any, ClassVar


class ProximaxError(Exception):
    """Base of all faults that proximax reports itself. ``code`` is the exit code of the command line."""

    code: ClassVar[int] = 1  # exit code


class UsageError(ProximaxError, ValueError):
    """A wrong argument, configuration, environment id or unsupported space."""

    code = 2


class EnvError(ProximaxError, RuntimeError):
    """The environment could not be made or reset, raised while stepping, or broke its API."""

    code = 3


class CheckpointError(ProximaxError, RuntimeError):
    """A checkpoint is missing, damaged, or belongs to something else."""

    code = 4


class StorageError(ProximaxError, RuntimeError):
    """The run directory cannot be written, is in use, or already holds a run."""

    code = 5


class DependencyError(ProximaxError, ImportError):
    """An optional package or a device is missing. The message names the install line."""

    code = 6


class NumericalError(ProximaxError, ArithmeticError):
    """An observation, a reward or the loss is not finite."""

    code = 7


class DistributedError(ProximaxError, RuntimeError):
    """Processes that train together did not come together, or were lost too often."""

    code = 8


class Interrupted(ProximaxError, KeyboardInterrupt):
    """SIGINT or SIGTERM came while training: the run was saved and ended between two updates."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number  # type: ignore[misc]  # of this one signal


# What an environment may raise. SystemExit is among it: an environment must not end the run with exit code 0.
ENV_ERRORS = (Exception, SystemExit)


def describe(error: BaseException) -> str:
    """``TypeName: text``, also of an exception whose text is not available."""
    return f"{type(error).__name__}: {text_of(error)}"


def text_of(error: BaseException) -> str:
    """``str(error)``, which an exception of the user's may not have."""
    try:
        return str(error)
    except (Exception, SystemExit) as second:
        return f"(its text raised {type(second).__name__})"


def __getattr__(name: str) -> Any:
    """The name of ``EnvError`` in version 0.1, for one release."""
    if name != "EnvironmentFault":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    text = "proximax.errors.EnvironmentFault is now proximax.errors.EnvError"
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    return EnvError
