"""What all drivers share: settings in, one line of JSON out. Standard library only: peers' interpreters import it."""

import hashlib
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from platform import python_version
from typing import Any

GOAL_CHECKS = 40  # evaluations of a run that stops at a goal, as proximax does
CHECK_EPISODES, FINAL_EPISODES = 10, 100


def settings() -> dict[str, Any]:
    """What the command line gave."""
    return json.loads(sys.argv[1])


def finish(values: dict[str, Any], *packages: str, script: str | None = None) -> None:
    """Print the result, with the time of day at which the work was done and the versions it was done with."""
    versions = {"python": python_version()} | {name: found for name in packages if (found := version_of(name))}
    if script:
        versions |= {"script": "sha256 " + hashlib.sha256(Path(script).read_bytes()).hexdigest()[:16]}
    finished = values.pop("finished_at", None) or time.time()
    print(json.dumps(values | {"finished_at": finished, "versions": versions}), flush=True)


def version_of(package: str) -> str | None:
    """The installed version, if it is installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def pace(marks: Sequence[float], rows: int) -> dict[str, float]:
    """Speeds from the times at which training began (``marks[0]``) and at which each update of ``rows`` steps ended.

    The first update holds what happens once: compilation, allocation. The speed is that of the steady state.
    """
    updates = len(marks) - 1
    if updates < 2:
        raise SystemExit("too few steps: a run needs two updates at least")
    steps_per_s = slope(marks, rows)
    once = max(0.0, marks[1] - marks[0] - rows / steps_per_s)
    return whole(rows * updates, marks[-1] - marks[0] - once, once) | {"steps_per_s": steps_per_s}


def slope(marks: Sequence[float], rows: int) -> float:
    """Steps per second after the first tenth of the updates: the line of least squares through (time, steps).

    A disturbed update moves it less than the quotient of two times, above all where it is the first or the last.
    """
    first = min(max(1, math.ceil((len(marks) - 1) / 10)), len(marks) - 2)
    steps = [rows * update for update in range(first, len(marks))]
    return statistics.linear_regression(marks[first:], steps).slope


def pause(marks: Sequence[float]) -> float:
    """How much longer than the median the longest of the updates took that ended at ``marks``, the first left out."""
    took = [after - before for before, after in pairwise(marks)][1:]
    return max(took) - statistics.median(took)


def whole(steps: int, run_s: float, compile_s: float) -> dict[str, float]:
    """Speeds of a run of ``steps`` that took ``run_s`` apart from compilation."""
    return {
        "steps": steps,
        "steps_per_s": steps / run_s,
        "compile_s": compile_s,
        "run_s": run_s,
        "seconds": run_s + compile_s,
    }
