"""Figures of final scores: each with its interval, and all environments together."""

from pathlib import Path
from typing import Any

import numpy as np

from proximax.reports.figures import drawing, line_styles, save
from proximax.reports.plots import COLUMNS, add_legend, legend_width, wrapped
from proximax.reports.tables import AGGREGATE_NAMES

ROW = 0.34  # inches that a label takes


def draw_scores(comparison: dict[str, Any], *paths: Path) -> None:
    """The final evaluation of each label: mean and 95 % interval over seeds, and every seed."""
    runs, envs = comparison["runs"], comparison["envs"]
    labels = list(dict.fromkeys(run["label"] for run in runs))
    styles = line_styles(runs)
    columns = min(COLUMNS, len(envs))
    rows = -(-len(envs) // columns)
    with drawing(label_width(labels) + 3.4 * columns, rows * (1.2 + ROW * len(labels))) as figure:
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, env in zip(axes.flat, envs):
            for run in (run for run in runs if run["env"] == env):
                y, colour = labels.index(run["label"]), styles[run["label"]][0]
                seeds = [x for x in run["returns"] if x is not None]
                axis.plot(seeds, [y] * len(seeds), "o", color=colour, alpha=0.35, markersize=4, markeredgewidth=0)
                draw_estimate(axis, y, run["mean"], run["ci95"], colour)
            axis.set_title(wrapped(env, 30))
            axis.set_xlabel("return of the final evaluation")
            name_rows(axis, labels)
        for axis in axes.flat[len(envs) :]:
            axis.set_axis_off()
        for axis in axes[:, 1:].flat:
            axis.set_yticklabels([])
        add_caption(figure, "Mean and 95 % interval over seeds; pale dots: single seeds")
        save(figure, paths)


def draw_estimate(axis: Any, y: float, value: float | None, interval: Any, colour: str) -> None:
    """A thick line for the interval, if there is one, and a mark for the value."""
    if value is None:
        return
    if interval is not None:
        axis.plot(interval, [y, y], color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
    axis.plot([value, value], [y - 0.28, y + 0.28], color=colour, linewidth=2.2, solid_capstyle="butt")


def name_rows(axis: Any, labels: list[str]) -> None:
    """Labels from top to bottom along the y axis."""
    axis.set_yticks(range(len(labels)), [wrapped(label, 34) for label in labels])
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def label_width(labels: list[str]) -> float:
    """Inches that the longest label takes."""
    return 0.4 + 0.085 * max(len(line) for label in labels for line in wrapped(label, 34).split("\n"))


def draw_profiles(comparison: dict[str, Any], *paths: Path) -> None:
    """The share of runs that score more than τ, with pointwise 95 % bands."""
    profiles, normalisation = comparison["profiles"], comparison["normalisation"]
    styles = line_styles(comparison["runs"])
    lines: dict[str, Any] = {}
    with drawing(5.6 + legend_width(list(profiles["curves"])), 3.8) as figure:
        axis = figure.subplots()
        for label, curve in profiles["curves"].items():
            colour, line = styles[label]
            if curve["low"] is not None:
                axis.fill_between(
                    profiles["tau"], curve["low"], curve["high"], color=colour, alpha=0.12, linewidth=0, step="post"
                )
            (lines[label],) = axis.plot(
                profiles["tau"], curve["fraction"], color=colour, linestyle=line, linewidth=1.8, drawstyle="steps-post"
            )
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlim(profiles["tau"][0], profiles["tau"][-1])
        axis.set_xlabel("normalised score τ" if normalisation else "return τ of the final evaluation")
        axis.set_ylabel("share of runs with score > τ")
        names = profiles["envs"]
        axis.set_title(names[0] if len(names) == 1 else f"{len(names)} environments")
        add_legend(figure, lines, title="Performance profile, 95 % bands")
        if normalisation:
            add_caption(figure, f"score 0 and 1: {normalisation['by']}, by environment")
        save(figure, paths)


def draw_improvement(comparison: dict[str, Any], *paths: Path) -> None:
    """P(X > Y) of each pair, with its 95 % interval."""
    pairs = comparison["improvement"]
    styles = line_styles(comparison["runs"])
    x_names, y_names = ([pair[side] for pair in pairs] for side in ("x", "y"))
    width = label_width(x_names) + label_width(y_names) + 4.2
    with drawing(width, 1.1 + ROW * len(pairs)) as figure:
        axis = figure.subplots()
        for i, pair in enumerate(pairs):
            draw_estimate(axis, i, pair["probability"], pair["ci95"], styles[pair["x"]][0])
        axis.axvline(0.5, color="#000000", linewidth=1, linestyle="--")
        axis.set_xlim(0, 1.02)
        name_rows(axis, x_names)
        right = axis.twinx()
        name_rows(right, y_names)
        right.spines[:].set_visible(False)
        height = 1 + 0.06 / (ROW * len(pairs))
        axis.text(-0.02, height, "X", transform=axis.transAxes, ha="right", va="bottom", weight="bold")
        axis.text(1.02, height, "Y", transform=axis.transAxes, ha="left", va="bottom", weight="bold")
        most = max(len(pair["envs"]) for pair in pairs)
        axis.set_xlabel("P(X > Y)" + (f", mean over {most} environments" if most > 1 else ""))
        add_caption(figure, "P(X > Y): a run of X scores more than a run of Y. Bars: 95 % interval")
        save(figure, paths)


def draw_aggregates(comparison: dict[str, Any], *paths: Path) -> None:
    """Interquartile mean, median, mean and optimality gap over all environments, each with its 95 % interval."""
    aggregates, styles = comparison["aggregates"], line_styles(comparison["runs"])
    labels = list(aggregates)
    names = list(next(iter(aggregates.values())))
    with drawing(label_width(labels) + 2.3 * len(names), 1.4 + ROW * len(labels)) as figure:
        axes = figure.subplots(1, len(names), squeeze=False)[0]
        for axis, name in zip(axes, names):
            for i, label in enumerate(labels):
                estimate = aggregates[label][name]
                draw_estimate(axis, i, estimate["value"], estimate["ci95"], styles[label][0])
            axis.set_title(AGGREGATE_NAMES[name])
            axis.locator_params(axis="x", nbins=5)
            name_rows(axis, labels if axis is axes[0] else [""] * len(labels))
        normalisation = comparison["normalisation"]
        add_caption(figure, f"score 0 and 1: {normalisation['by']}, by environment. Bars: 95 % interval")
        save(figure, paths)


def add_caption(figure: Any, text: str) -> None:
    """A small line below everything."""
    figure.supxlabel(text, fontsize=8, color="#444444")


def has_profiles(comparison: dict[str, Any]) -> bool:
    """Whether a performance profile says more than the scores: there are several runs of a label."""
    profiles = comparison["profiles"]
    return profiles is not None and bool(np.any([curve["low"] is not None for curve in profiles["curves"].values()]))
