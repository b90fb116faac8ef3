"""Figures of final scores: each with its interval, and all environments together."""

from typing import TYPE_CHECKING, Any

import numpy as np

from proximax.reports.figures import Target, drawing, line_styles, save
from proximax.reports.plots import COLUMNS, Styles, add_legend, legend_width, wrapped
from proximax.reports.tables import AGGREGATE_NAMES

if TYPE_CHECKING:  # optional
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, LINE = 0.34, 0.17  # inches that a label takes, and each further line of it
NAME = 34  # characters of a line of a label


def draw_scores(comparison: dict[str, Any], *targets: Target) -> None:
    """The final evaluation of each label: mean and 95 % interval over seeds, and every seed."""
    runs, envs = comparison["runs"], comparison["envs"]
    rows_of = {env: list(dict.fromkeys(run["label"] for run in runs if run["env"] == env)) for env in envs}
    labels = list(dict.fromkeys(run["label"] for run in runs))
    shared = all(len(of) == len(labels) for of in rows_of.values())  # else each panel names its own
    styles = line_styles(runs)
    columns = min(COLUMNS, len(envs))
    rows = -(-len(envs) // columns)
    width = 3.4 * columns + label_width(labels) * (1 if shared else columns)
    height = 1.2 + max(map(rows_height, rows_of.values()))
    with drawing(width, rows * height) as figure:
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis, env in zip(axes.flat, envs):
            names = labels if shared else rows_of[env]
            _draw_scores_on(axis, env, sorted_by([run for run in runs if run["env"] == env], names), styles)
            name_rows(axis, names)
        for axis in axes.flat[len(envs) :]:
            axis.set_axis_off()
        for axis in axes[:, 1:].flat if shared else []:
            axis.set_yticklabels([])
        single = all(len(run["returns"]) == 1 for run in runs)
        add_caption(figure, "Single seeds" if single else "Mean and 95 % interval over seeds; dots: single seeds")
        save(figure, targets)


def sorted_by(runs: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """``runs`` in the order that ``names`` has their labels in."""
    return sorted(runs, key=lambda run: names.index(run["label"]))


def _draw_scores_on(axis: "Axes", env: str, runs: list[dict[str, Any]], styles: Styles) -> None:
    """The rows of one environment, one for each of its runs."""
    known = [x for run in runs for x in run["returns"] if x is not None]
    radius = 0.02 * (max(known) - min(known)) if known else 0.0
    for y, run in enumerate(runs):
        colour = styles[run["label"]][0]
        draw_estimate(axis, y, run["mean"], run["ci95"], colour)
        seeds = sorted(x for x in run["returns"] if x is not None)
        heights = y + stacked(seeds, radius)
        axis.plot(seeds, heights, "o", color=colour, markersize=4.5, markeredgecolor="#000000", markeredgewidth=0.6)
    axis.set_title(wrapped(env, 30))
    axis.set_xlabel("return of the final evaluation")


def stacked(values: list[float], radius: float) -> np.ndarray:
    """Offsets from a row, within ±0.25, at which no dot of the sorted ``values`` hides another within ``radius``."""
    groups: list[list[float]] = []
    for x in values:
        if groups and x - groups[-1][0] <= radius:
            groups[-1].append(x)
        else:
            groups.append([x])
    gaps = [min(0.13, 0.5 / max(len(group) - 1, 1)) for group in groups]
    return np.concatenate([[], *(gap * (np.arange(len(g)) - (len(g) - 1) / 2) for g, gap in zip(groups, gaps))])


def draw_estimate(axis: "Axes", y: float, value: float | None, interval: Any, colour: str) -> None:
    """A thick line for the interval, if there is one, and a mark for the value."""
    if value is None:
        return
    if interval is not None:
        axis.plot(interval, [y, y], color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
    axis.plot([value, value], [y - 0.28, y + 0.28], color=colour, linewidth=2.2, solid_capstyle="butt")


def name_rows(axis: "Axes", labels: list[str]) -> None:
    """Labels from top to bottom along the y axis."""
    axis.set_yticks(range(len(labels)), [wrapped(label, NAME) for label in labels])
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def rows_height(*columns: list[str]) -> float:
    """Inches that rows with these labels take, each as high as the highest; ``columns``: at the left, at the right."""
    labels = [label for column in columns for label in column]
    lines = max(wrapped(label, NAME).count("\n") for label in labels)
    return (ROW + LINE * lines) * max(map(len, columns))


def label_width(labels: list[str]) -> float:
    """Inches that the longest label takes."""
    return 0.4 + 0.085 * max(len(line) for label in labels for line in wrapped(label, NAME).split("\n"))


def draw_profiles(comparison: dict[str, Any], *targets: Target, bands: bool = True) -> None:
    """The share of runs that score more than τ, with pointwise 95 % bands."""
    profiles, normalisation = comparison["profiles"], comparison["normalisation"]
    styles = line_styles(comparison["runs"])
    lines: dict[str, Any] = {}
    with drawing(5.6 + legend_width(list(profiles["curves"])), 3.8) as figure:
        axis = figure.subplots()
        for label, curve in profiles["curves"].items():
            colour, line = styles[label]
            if bands and curve["low"] is not None:
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
        add_legend(figure, lines, title=f"Performance profile{', 95 % bands' if bands else ''}")
        if normalisation:
            add_caption(figure, f"score 0 and 1: {normalisation['by']}, by environment")
        save(figure, targets)


def draw_improvement(comparison: dict[str, Any], *targets: Target) -> None:
    """P(X > Y) of each pair, with its 95 % interval."""
    pairs = comparison["improvement"]
    styles = line_styles(comparison["runs"])
    x_names, y_names = ([pair[side] for pair in pairs] for side in ("x", "y"))
    width = label_width(x_names) + label_width(y_names) + 4.2
    with drawing(width, 1.1 + rows_height(x_names, y_names)) as figure:
        axis = figure.subplots()
        for i, pair in enumerate(pairs):
            draw_estimate(axis, i, pair["probability"], pair["ci95"], styles[pair["x"]][0])
        axis.axvline(0.5, color="#000000", linewidth=1, linestyle="--")
        axis.set_xlim(0, 1.02)
        name_rows(axis, x_names)
        right = axis.twinx()
        name_rows(right, y_names)
        right.spines[:].set_visible(False)
        height = 1 + 0.06 / rows_height(x_names, y_names)
        axis.text(-0.02, height, "X", transform=axis.transAxes, ha="right", va="bottom", weight="bold")
        axis.text(1.02, height, "Y", transform=axis.transAxes, ha="left", va="bottom", weight="bold")
        most = max(len(pair["envs"]) for pair in pairs)
        axis.set_xlabel("P(X > Y)" + (f", mean over {most} environments" if most > 1 else ""))
        add_caption(figure, "P(X > Y): a run of X scores more than a run of Y. Bars: 95 % interval")
        save(figure, targets)


def draw_aggregates(comparison: dict[str, Any], *targets: Target) -> None:
    """Interquartile mean, median, mean and optimality gap over all environments, each with its 95 % interval."""
    aggregates, styles = comparison["aggregates"], line_styles(comparison["runs"])
    labels = list(aggregates)
    names = list(next(iter(aggregates.values())))
    with drawing(label_width(labels) + 2.3 * len(names), 1.4 + rows_height(labels)) as figure:
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
        save(figure, targets)


def add_caption(figure: "Figure", text: str) -> None:
    """A small line below everything."""
    figure.supxlabel(text, fontsize=8, color="#444444")


def has_profiles(comparison: dict[str, Any]) -> bool:
    """Whether a performance profile says more than the scores: there are several runs of a label."""
    profiles = comparison["profiles"]
    return profiles is not None and bool(np.any([curve["low"] is not None for curve in profiles["curves"].values()]))
