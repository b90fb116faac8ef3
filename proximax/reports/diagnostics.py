"""How updates went, in small panels: KL, clip fraction, entropy, explained variance, speed."""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from proximax.reports.figures import Target, drawing, line_styles, save, scale_of
from proximax.reports.plots import COLUMNS, MIN_KL, Styles, add_legend, legend_height, legend_width, marker_of, wrapped
from proximax.reports.run_groups import Group

if TYPE_CHECKING:  # optional
    from matplotlib.axes import Axes

BINS = 100  # of a curve
SPEED, SPEED_BINS = "steps_per_s", 8
Columns = Mapping[str, np.ndarray]  # metrics of a seed, by update
MAX_BANDS = 10  # in a panel; of more lines none has a band


class Panel(NamedTuple):
    """One of the small panels."""

    title: str
    unit: str
    logarithmic: bool = False
    lowest: float | None = None  # that is shown
    from_zero: bool = False  # whether 0 is shown


PANELS = {
    "kl": Panel("KL of each update", "KL(old, new), nats", logarithmic=True),
    "clip_fraction": Panel("Clip fraction", "share with |r - 1| > ε"),
    "entropy": Panel("Entropy", "nats"),
    "explained_variance": Panel("Explained variance", "1: perfect, 0: a constant", lowest=-1.0),
    SPEED: Panel("Speed", "steps/s, seeds together", from_zero=True),
}


def diagnostics_of(group: Group, runs: Sequence[Mapping[int, Columns]], bins: int = BINS) -> dict[str, Any]:
    """The panels of a group; ``runs``: of each of its runs the columns of each of the seeds that are taken.

    A panel is None where its metric was not logged, else its median, lowest and highest value in each bin of updates.
    """
    seeds = [columns for run in runs for columns in run.values()]
    length = min(len(columns["update"]) for columns in seeds)
    edges = np.unique(np.linspace(0, length, min(bins, length) + 1).round().astype(int))
    steps = np.mean([columns["steps"][:length] for columns in seeds], axis=0)
    panels = {
        name: summarised([columns[name][:length] for columns in seeds if name in columns], edges)
        for name in PANELS
        if name != SPEED
    }
    panels[SPEED] = speeds(runs, edges)
    curve = {"env": group.env, "label": group.label, "algo": group.config.algo}
    return curve | {"at_steps": steps[edges[1:] - 1].tolist(), "panels": panels}


def summarised(values: Sequence[np.ndarray], edges: np.ndarray) -> dict[str, list[float]] | None:
    """(median, low, high) of all finite ``values`` between two ``edges``; NaN where there are none."""
    if not values or not np.isfinite(values).any():
        return None
    table = np.array(values, float)
    parts = [(part := table[:, begin:end])[np.isfinite(part)] for begin, end in itertools.pairwise(edges)]
    measures: dict[str, Callable[[np.ndarray], Any]] = {"median": np.median, "low": np.min, "high": np.max}
    return {
        name: [float(measure(part)) if len(part) else float("nan") for part in parts]
        for name, measure in measures.items()
    }


def speeds(runs: Sequence[Mapping[int, Columns]], edges: np.ndarray) -> dict[str, list[float]] | None:
    """Environment steps of all seeds of a run by the seconds that passed; over the runs of a group.

    Over ``SPEED_BINS`` up to each bin: within a call of the compiled program times are interpolated.
    """
    found: list[np.ndarray] = []
    for run in runs:
        seeds = list(run.values())
        if not all("time_s" in columns for columns in seeds) or len(edges) < 2 or edges[-1] < 2:
            continue
        end = edges[1:] - 1
        begin = np.concatenate([np.zeros(min(SPEED_BINS, len(end)), int), end])[: len(end)]
        steps = np.sum([columns["steps"][: edges[-1]] for columns in seeds], axis=0)
        passed = seeds[0]["time_s"][end] - seeds[0]["time_s"][begin]
        found.append(np.divide(steps[end] - steps[begin], passed, out=np.full(len(end), np.nan), where=passed > 0))
    return summarised(found, np.arange(len(edges)))


def has_bands(runs: Sequence[dict[str, Any]]) -> bool:
    """Whether curves have bands: where no environment has more than ``MAX_BANDS``, which would hide one another."""
    return max(Counter(run["env"] for run in runs).values(), default=0) <= MAX_BANDS


def caption_of(runs: Sequence[dict[str, Any]]) -> str:
    """What lines and bands are."""
    bands = ". Bands: lowest to highest" if has_bands(runs) else ""
    return f"Lines: median over the updates around a point and over seeds{bands}"


def panels_of(runs: Sequence[dict[str, Any]], env: str) -> list[str]:
    """The panels that at least one of the runs of an environment has."""
    return [name for name in PANELS if any(run["env"] == env and run["panels"][name] for run in runs)]


def draw_diagnostics(runs: Sequence[dict[str, Any]], env: str, *targets: Target) -> None:
    """All panels of an environment in one figure, with a legend."""
    styles, names = line_styles(runs), panels_of(runs, env)
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    labels = [run["label"] for run in runs if run["env"] == env]
    with drawing(3.6 * columns + legend_width(labels), max(2.7 * rows + 0.4, legend_height(labels))) as figure:
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        lines: dict[str, Any] = {}
        for axis, name in zip(axes, names):
            lines |= draw_panel(axis, name, [run for run in runs if run["env"] == env], styles, has_bands(runs))
        for axis in axes[len(names) :]:
            axis.set_axis_off()
        figure.suptitle(wrapped(env, 60), x=0.01, ha="left", fontsize=11)
        figure.supxlabel(caption_of(runs), fontsize=8, color="#444444")
        add_legend(figure, lines)
        save(figure, targets)


def draw_panel(
    axis: "Axes", name: str, runs: Sequence[dict[str, Any]], styles: Styles, bands: bool = True
) -> dict[str, Any]:
    """One panel of one environment; returns the line of each label."""
    panel, lines = PANELS[name], dict[str, Any]()
    scale, unit = scale_of(max(run["at_steps"][-1] for run in runs))
    for run in runs:
        values = run["panels"][name]
        if values is None:
            continue
        colour, line = styles[run["label"]]
        steps = np.array(run["at_steps"]) / scale
        floor = MIN_KL if panel.logarithmic else -np.inf
        middle, low, high = (np.maximum(values[key], floor) for key in ("median", "low", "high"))
        if bands:
            axis.fill_between(steps, low, high, color=colour, alpha=0.13, linewidth=0)
        (lines[run["label"]],) = axis.plot(
            steps, middle, color=colour, linestyle=line, linewidth=1.5, marker=marker_of(steps)
        )
    if panel.logarithmic:
        axis.set_yscale("log")
    if panel.from_zero:
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter("{x:,.0f}")
    if panel.lowest is not None and axis.get_ylim()[0] < panel.lowest:
        axis.set_ylim(bottom=panel.lowest)
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel(unit, fontsize=9)
    axis.set_ylabel(panel.unit, fontsize=9)
    axis.tick_params(labelsize=8)
    return lines
