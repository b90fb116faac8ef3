"""Learning curves of runs that exist: a panel for each environment, a curve for each run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proximax.config import path_problem, refuse, shown
from proximax.envs import EnvId
from proximax.errors import CheckpointError, UsageError
from proximax.reports.plots import FALLBACK_COLOURS, band, require_matplotlib, save, scale_of, style
from proximax.runs import METRICS_FILE, load_config, read_metrics

FORMATS = (".png", ".pdf", ".svg")
POINTS, COLUMNS, PANEL = 200, 3, (5.2, 3.6)  # points of a curve, panels in a row, a panel's size in inches


class Curve(NamedTuple):
    """The training returns of one run."""

    label: str
    env: str
    seeds: int
    steps: np.ndarray  # [points], of each seed
    returns: np.ndarray  # [S, points]; NaN before the first episode has ended


def plot(runs: Sequence[str | Path], out: str | Path = "returns.png") -> Path:
    """Draw the training returns of ``runs`` (run directories, finished or not) against steps, mean and 95 % interval.

    ``out``: a .png (200 dpi), .pdf or .svg file. Returns its path. Raises ``UsageError``, ``CheckpointError`` for what
    is no run, ``DependencyError`` without matplotlib, ``StorageError``.
    """
    listed = isinstance(runs, Sequence) and not isinstance(runs, str) and len(runs) > 0
    if not listed:
        raise UsageError(f"runs = {shown(runs)}: must be a list of runs")
    refuse([*(path_problem("runs", run) for run in runs), path_problem("out", out)])
    path = Path(out)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"out = {out}: must end in {', '.join(FORMATS)}")
    plt = require_matplotlib()
    curves = [read_curve(Path(run), label) for run, label in zip(runs, labels([Path(run) for run in runs]))]
    panels = list(dict.fromkeys(curve.env for curve in curves))
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = PANEL[0] * columns + 1.5, PANEL[1] * rows
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    colour_of = {
        label: FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)]
        for i, label in enumerate(dict.fromkeys(curve.label for curve in curves))
    }
    for axis, env in zip(axes.flat, panels):
        draw_panel(axis, env, [curve for curve in curves if curve.env == env], colour_of)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_axis_off()
    save(figure, path, dpi=200)
    plt.close(figure)
    return path


def draw_panel(axis: Any, env: str, curves: list[Curve], colour_of: dict[str, str]) -> None:
    """The curves of one environment."""
    scale, unit = scale_of(max(curve.steps[-1] for curve in curves))
    for curve in curves:
        some = np.isfinite(curve.returns).all(axis=0)
        if not some.any():
            continue
        middle, low, high = band(curve.returns[:, some])
        steps, colour = curve.steps[some] / scale, colour_of[curve.label]
        axis.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        seeds = "1 seed" if curve.seeds == 1 else f"{curve.seeds} seeds"
        axis.plot(steps, middle, color=colour, linewidth=1.8, label=f"{curve.label} ({seeds})")
    axis.set_title(env, fontsize=11, loc="left")
    axis.set_xlabel(unit)
    axis.set_ylabel("return, latest 100 episodes")
    style(axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8)


def read_curve(run: Path, label: str) -> Curve:
    """The curve of one run directory, thinned out to ``POINTS``."""
    config, rows = load_config(run), read_metrics(run / METRICS_FILE)
    if not rows:
        raise CheckpointError(f"{run} has no updates yet")
    seeds = range(config.seed, config.seed + config.seeds)
    try:
        of_seeds = rows_of_seeds(rows, seeds)
        points = thin_out(min(map(len, of_seeds)), POINTS)
        steps = np.array([np.mean([of_seed[i]["steps"] for of_seed in of_seeds]) for i in points])
        returns = np.array([[of_seed[i]["return_last_100"] for i in points] for of_seed in of_seeds], float)
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{run / METRICS_FILE} was not written by a run: {error!r}") from error
    return Curve(label, EnvId.parse(config.env).display, config.seeds, steps, returns)


def rows_of_seeds(rows: list[dict[str, Any]], seeds: range) -> list[list[dict[str, Any]]]:
    """The rows of each seed, by update."""
    return [[row for row in rows if row["seed"] == seed] for seed in seeds]


def thin_out(length: int, most: int) -> np.ndarray:
    """At most so many indices of a curve, evenly, both ends among them."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(int))


def labels(runs: list[Path]) -> list[str]:
    """A name for each run: its directory's, or its whole path where two would have the same."""
    names = [run.resolve().name for run in runs]
    return [name if names.count(name) == 1 else str(run) for run, name in zip(runs, names)]
