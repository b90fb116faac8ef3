"""MuJoCo's warnings, one of each kind: by itself it prints them for every environment, and into a file beside that.

Worker processes load this file by its path, so it imports neither proximax nor JAX.
"""

import importlib
import logging
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MODELS = "gymnasium.envs.mujoco"
_reported: set[str] = set()  # by this process, without their numbers


def report_once(make: Callable[[], Any]) -> None:
    """Let MuJoCo hand its warnings to the logger, where it is in use or ``make`` is Gymnasium's of one of its models.

    Else each goes to stderr and to MUJOCO_LOG.TXT in the working directory. A function of the user's stays in place.
    """
    spec = next(iter(getattr(getattr(make, "fn", make), "args", ())), None)
    if str(getattr(spec, "entry_point", "")).startswith(MODELS):
        with suppress(ImportError):  # the constructor says so
            importlib.import_module("mujoco")
    mujoco: Any = sys.modules.get("mujoco")
    if mujoco is not None and mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(report)


def report(text: str) -> None:
    """Log a warning unless there was one of its kind: they differ in time and joint."""
    kind = re.sub(r"[-\d.]+", "", text)
    if kind not in _reported:
        _reported.add(kind)
        # Deprecated is what Gymnasium's own models contain: nothing that a user could change.
        logging.getLogger("proximax").log(logging.DEBUG if "deprecated" in text else logging.WARNING, f"MuJoCo: {text}")
