"""Learning curves of runs that exist: a panel for each environment, a curve for each group of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proximax.config import path_problem, refuse
from proximax.errors import CheckpointError, UsageError
from proximax.reports.figures import FORMATS, require_matplotlib
from proximax.reports.plots import draw_returns
from proximax.reports.run_groups import Group, Runs, find_runs, group_runs
from proximax.reports.run_summary import Rows, rounded, rows_of_seeds, thin_out
from proximax.runs import METRICS_FILE, read_metrics
from proximax.runtime import path_named, shorten

POINTS = 200  # of a curve
Curve = dict[str, Any]


def plot(runs: Runs, out: str | Path = "returns.png") -> Path:
    """Draw the training returns of ``runs`` against steps, mean and 95 % interval over seeds; returns the file.

    ``runs``: run directories, finished or not, or folders with runs below them; or a dict of them under labels. Runs of
    the same settings with other seeds are one curve, others are labelled by what differs.
    ``out``: a .png (200 dpi), .pdf or .svg file. Raises ``UsageError``, ``CheckpointError`` for what is not a run,
    ``DependencyError`` without matplotlib, ``StorageError``.
    """
    refuse([path_problem("out", out)])
    path = path_named(out, "out")
    if path.suffix[1:].lower() not in FORMATS:
        raise UsageError(f"out = {out}: must end in {', '.join(f'.{x}' for x in FORMATS)}")
    require_matplotlib()
    if not runs:
        raise UsageError(f"runs = {runs!r}: must be a list of runs")
    curves = [read_curve(group) for group in group_runs(find_runs(runs))]
    draw_returns({"envs": list(dict.fromkeys(curve["env"] for curve in curves)), "runs": curves}, path)
    return path


def read_curve(group: Group) -> Curve:
    """The curve of a group of runs, as far as all of them have got, thinned out to ``POINTS``."""
    curves: list[Rows] = []
    for member, seeds in group.members:
        path = member.path / METRICS_FILE
        rows = rows_of_seeds(read_metrics(path), member.seeds)
        of_seeds = [rows[seed - member.config.seed] for seed in seeds]
        if not all(of_seeds):
            raise CheckpointError(f"{shorten(member.path)} has no updates yet")
        if any(type(row.get("return_last_100")) not in (int, float, type(None)) for of in of_seeds for row in of):
            raise CheckpointError(f"{path} was not written by a run: return_last_100 must be a number or null")
        curves += of_seeds
    return curve_of(group, columns_of(curves, "steps"), columns_of(curves, "return_last_100"))


def columns_of(curves: list[Rows], name: str) -> list[np.ndarray]:
    """A metric of each seed, NaN where it has none."""
    return [np.array([row.get(name) for row in curve], np.float64) for curve in curves]


def curve_of(group: Group, steps: Sequence[np.ndarray], returns: Sequence[np.ndarray], most: int = POINTS) -> Curve:
    """The curve of a group, given the steps and the training returns of each of its seeds."""
    points = thin_out(min(map(len, steps)), most)
    return {
        "env": group.env,
        "label": group.label,
        "algo": group.config.algo,
        "seeds": group.seeds,
        "at_steps": np.mean([of_seed[points] for of_seed in steps], axis=0).tolist(),
        "return": [[rounded(x) for x in of_seed[points]] for of_seed in returns],
    }
