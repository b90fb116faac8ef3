"""Figures of training: returns against steps, and what each algorithm's updates did to the policy."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from proximax.evaluation import mean_interval
from proximax.ppo import RATIO_EDGES
from proximax.reports.figures import Target, drawing, line_styles, save, scale_of
from proximax.reports.reliability import aggregate
from proximax.runtime import plural

if TYPE_CHECKING:  # optional
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_KL = 1e-7  # drawn for anything below
COLUMNS, PANEL = 3, (4.3, 3.3)  # panels in a row, a panel's size in inches
LEGEND = 46  # characters of a line in a legend
Styles = dict[str, tuple[str, str]]  # (colour, line) of each label


def mean_band(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, low, high) over seeds at every point of curves ``[S, points]``: 95 % intervals; of one seed no width."""
    mean = curves.mean(axis=0)
    return (mean, mean, mean) if len(curves) == 1 else (mean, *mean_interval(curves.T))


def iqm_band(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of the interquartile mean, with the interval of ``aggregate``."""
    estimates = [aggregate([point], "iqm") for point in curves.T]
    middle, low, high = np.array([(x.value, *(x.ci95 or (x.value, x.value))) for x in estimates]).T
    return middle, low, high


BANDS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]] = {
    "Mean": mean_band,
    "IQM": iqm_band,
}


def draw_returns(comparison: dict[str, Any], *targets: Target, middle: str = "Mean", bands: bool = True) -> None:
    """Training return against steps: a mean over seeds, with its 95 % interval; a panel for each environment.

    ``middle``: one of ``BANDS``; ``bands``: whether its interval is drawn.
    """
    runs, envs = comparison["runs"], comparison["envs"]
    columns = min(COLUMNS, len(envs))
    rows = -(-len(envs) // columns)
    width, height = (6.0, 4.2) if len(envs) == 1 else (PANEL[0] * columns, PANEL[1] * rows)
    styles = line_styles(runs)
    with drawing(width + legend_width(styles), max(height, legend_height(styles))) as figure:
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        drawn: dict[str, Any] = {}
        for axis, env in zip(axes, envs):
            drawn |= draw_curves(axis, env, [run for run in runs if run["env"] == env], styles, middle, bands)
        for axis in axes[len(envs) :]:
            axis.set_axis_off()
        for row in range(rows):
            axes[row * columns].set_ylabel("return, latest 100 episodes")
        names = seed_counts(runs)
        named = {f"{label}{names.get(label, '')}": line for label, line in drawn.items()}
        add_legend(figure, named, title=legend_title(names[""], middle, bands))
        save(figure, targets)


def draw_curves(
    axis: "Axes", env: str, runs: Sequence[dict[str, Any]], styles: Styles, middle: str = "Mean", bands: bool = True
) -> dict[str, Any]:
    """The curves of one environment; returns the line of each label."""
    scale, unit = scale_of(max(run["at_steps"][-1] for run in runs))
    lines: dict[str, Any] = {}
    for run in runs:
        curves = np.array(run["return"], float)  # None becomes NaN
        finite = np.isfinite(curves).all(axis=0)
        colour, line = styles[run["label"]]
        if finite.any():
            centre, low, high = BANDS[middle](curves[:, finite])
            steps = np.array(run["at_steps"])[finite] / scale
            if bands:
                axis.fill_between(steps, low, high, color=colour, alpha=0.16, linewidth=0)
            if bands and len(steps) == 1:
                axis.vlines(steps, low, high, color=colour, alpha=0.45, linewidth=4)
            (lines[run["label"]],) = axis.plot(
                steps, centre, color=colour, linestyle=line, linewidth=1.8, marker=marker_of(steps)
            )
    if not axis.lines:
        axis.text(0.5, 0.5, "no episode has ended", transform=axis.transAxes, ha="center", color="#444444")
    axis.set_title(wrapped(env, 34))
    axis.set_xlabel(unit)
    return lines


def marker_of(points: Iterable[float]) -> str | None:
    """A dot for the curve of a single point, of which a line would show nothing."""
    return "o" if len(list(points)) == 1 else None


def legend_title(seeds: str, middle: str = "Mean", bands: bool = True) -> str:
    """What curves over these seeds are; of one seed there is no interval."""
    return seeds if seeds == "1 seed" else f"{middle} over {seeds}" + (", 95 % interval" if bands else "")


def seed_counts(runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """How many seeds: under "" of all, and where they differ, of each label."""
    counts: dict[str, set[int]] = {}
    for run in runs:
        counts.setdefault(run["label"], set()).add(len(run["return"]))
    everyone = set().union(*counts.values())
    if len(everyone) == 1:
        return {"": plural(everyone.pop(), "seed")}
    texts = {label: f" ({min(n)} to {max(n)})" if len(n) > 1 else f" ({max(n)})" for label, n in counts.items()}
    return texts | {"": "(n) seeds"}


def legend_width(labels: Sequence[str] | Styles) -> float:
    """Inches that a legend of these labels takes beside the panels."""
    return 1.0 + 0.075 * max(24, *(len(line) for label in labels for line in wrapped(label, LEGEND).split("\n")))


def legend_height(labels: Sequence[str] | Styles) -> float:
    """Inches that a legend of these labels takes."""
    return 0.5 + sum(0.07 + 0.15 * len(wrapped(label, LEGEND).split("\n")) for label in labels)


def add_legend(figure: "Figure", lines: dict[str, Any], title: str | None = None) -> None:
    """One legend for all panels, to the right of them."""
    if lines:
        labels = [wrapped(label, LEGEND) for label in lines]
        figure.legend(
            list(lines.values()), labels, title=title, loc="outside right upper", alignment="left", fontsize=9
        ).get_title().set_fontsize(9)


def draw_updates(comparison: dict[str, Any], *targets: Target, env: str | None = None) -> None:
    """Above: the ratios after each update, a histogram for each run. Below: the KL of each update, and β.

    ``env``: which of the environments, where there are several.
    """
    styles = line_styles(comparison["runs"])
    env = env or comparison["envs"][0]
    runs = [run for run in comparison["runs"] if run["env"] == env]
    penalties = [run for run in runs if run["beta"] is not None]
    with drawing(max(2.1 * len(runs), 9), 6.6) as figure:
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.25))[:, 0]
        panels = top.subplots(1, len(runs), sharey=True, squeeze=False)[0]
        for panel, run in zip(panels, runs):
            _draw_histogram(panel, run, styles[run["label"]][0])
        panels[0].set_ylabel("share of transitions")
        title = "Ratio π / π_old of each transition after its update (outermost bars: everything beyond)"
        top.suptitle(f"{env}\n{title}", fontsize=10)
        ratios = (2, 1) if penalties else (1,)
        below = bottom.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
        scale = scale_of(max(run["at_steps"][-1] for run in runs))
        _draw_kl(below[0], runs, styles, scale)
        if penalties:
            _draw_beta(below[1], penalties, styles, scale)
        save(figure, targets)


def _draw_histogram(axis: "Axes", run: dict[str, Any], colour: str) -> None:
    width = RATIO_EDGES[1] - RATIO_EDGES[0]
    centres = np.concatenate([RATIO_EDGES - width / 2, [RATIO_EDGES[-1] + width / 2]])
    counts = np.array(run["ratio_histogram"], float)
    if run["epsilon"] is not None:
        axis.axvspan(1 - run["epsilon"], 1 + run["epsilon"], color="#000000", alpha=0.09, linewidth=0)
        axis.text(1, 1.5, "clip band", ha="center", va="top", fontsize=8, color="#444444")
    axis.bar(centres, np.maximum(counts / counts.sum(), 1e-9), width=width * 0.9, color=colour)
    axis.set_yscale("log")
    axis.set_ylim(1e-5, 2)
    axis.set_title(wrapped(run["label"], 26), fontsize=9)
    axis.set_xlabel("ratio", fontsize=9)
    axis.tick_params(labelsize=8)


def wrapped(label: str, width: int) -> str:
    """A label over several lines, nothing of it left out."""
    return "\n".join(textwrap.wrap(label, width, break_on_hyphens=False))


def _draw_kl(axis: "Axes", runs: Sequence[dict[str, Any]], styles: Styles, steps: tuple[float, str]) -> None:
    for run in runs:
        kl = np.maximum(np.array(run["kl"], float), MIN_KL)
        colour, line = styles[run["label"]]
        at_steps = np.array(run["at_steps"]) / steps[0]
        axis.plot(
            at_steps,
            kl,
            color=colour,
            linestyle=line,
            linewidth=1.6,
            marker=marker_of(kl),
            label=wrapped(run["label"], LEGEND),
        )
    for bound in sorted({run["kl_bound"] for run in runs if run["kl_bound"] is not None}):
        labels = ", ".join(run["label"] for run in runs if run["kl_bound"] == bound)
        text = wrapped(f"{bound:g}: bound or target of {labels}", 40)
        axis.axhline(bound, color="#000000", linewidth=1, linestyle="--", label=text)
    axis.set_yscale("log")
    axis.set_xlabel(steps[1])
    axis.set_ylabel("mean KL(old, new) of an update (nats)")
    axis.set_title("KL of each update (median over seeds)", fontsize=10)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_beta(axis: "Axes", runs: Sequence[dict[str, Any]], styles: Styles, steps: tuple[float, str]) -> None:
    for run in runs:
        for curve in np.array(run["beta"], float):
            colour, line = styles[run["label"]]
            at_steps = np.array(run["at_steps"]) / steps[0]
            marker = marker_of(curve)
            axis.plot(at_steps, curve, color=colour, linestyle=line, linewidth=1, alpha=0.7, marker=marker)
    axis.set_yscale("log")
    axis.set_xlabel(steps[1])
    axis.set_ylabel("β")
    axis.set_title("The penalty's weight β, each seed", fontsize=10)
