"""The plots of a comparison: returns against steps, and what each algorithm's updates did to the policy.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every algorithm has a fixed one.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from proximax.envs import EnvId
from proximax.errors import DependencyError
from proximax.evaluation import mean_interval
from proximax.ppo import RATIO_EDGES
from proximax.runtime import storing, write_atomically

COLOURS = {
    "reinforce": "#999999",
    "a2c": "#E69F00",
    "npg": "#56B4E9",
    "trpo": "#009E73",
    "surrogate": "#D55E00",
    "penalty": "#CC79A7",
    "clip": "#0072B2",
}
FALLBACK_COLOURS = [*reversed(COLOURS.values()), "#000000"]
MIN_KL = 1e-7  # drawn for anything below


def require_matplotlib() -> Any:
    """``matplotlib.pyplot`` without a screen. Raises ``DependencyError`` with the line that installs it."""
    try:
        import matplotlib
    except ImportError as error:
        raise DependencyError('plots need matplotlib: pip install "proximax[plots]"') from error
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


def colours(runs: list[dict[str, Any]]) -> list[str]:
    """A colour for each run: its algorithm's, unless several runs share an algorithm."""
    algos = [run["algo"] for run in runs]
    if len(set(algos)) == len(algos):
        return [COLOURS.get(algo, "#000000") for algo in algos]
    return [FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)] for i in range(len(runs))]


def scaled_steps(runs: list[dict[str, Any]]) -> tuple[float, str]:
    """(divisor, label) of the steps axis."""
    return scale_of(max(max(run["at_steps"]) for run in runs))


def scale_of(last: float) -> tuple[float, str]:
    """(divisor, label) of an axis of so many steps."""
    return (1e6, "environment steps (millions)") if last >= 9e5 else (1e3, "environment steps (thousands)")


def band(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, low, high) over seeds at every point of curves ``[S, points]``: 95 % intervals; of one seed no width."""
    mean = curves.mean(axis=0)
    return (mean, mean, mean) if len(curves) == 1 else (mean, *mean_interval(curves.T))


def draw_returns(comparison: dict[str, Any], path: Path) -> None:
    """Training return against steps: mean over seeds, with its 95 % interval."""
    plt = require_matplotlib()
    runs = comparison["runs"]
    scale, unit = scaled_steps(runs)
    figure, axis = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for run, colour in zip(runs, colours(runs)):
        curves = np.array(run["return"], float)  # None becomes NaN
        finite = np.isfinite(curves).all(axis=0)
        if not finite.any():
            continue
        middle, low, high = band(curves[:, finite])
        steps = np.array(run["at_steps"])[finite] / scale
        axis.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        final = "n/a" if run["mean"] is None else f"{run['mean']:,.0f}"
        axis.plot(steps, middle, color=colour, linewidth=2, label=f"{run['label']}  ({final})")
    axis.set_xlabel(unit)
    axis.set_ylabel("return per episode, while training")
    style(axis)
    seeds = comparison["seeds"]
    name = EnvId.parse(comparison["env"]).display
    axis.set_title(f"{name}: mean of {seeds} seeds, 95 % intervals", fontsize=11, loc="left")
    title = "final evaluation in brackets"
    axis.legend(title=title, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), alignment="left")
    save(figure, path)
    plt.close(figure)


def draw_updates(comparison: dict[str, Any], path: Path) -> None:
    """Above: the ratios after each update, a histogram for each run. Below: the KL of each update, and β."""
    plt = require_matplotlib()
    runs = comparison["runs"]
    penalties = [run for run in runs if run["beta"] is not None]
    figure = plt.figure(figsize=(max(2.2 * len(runs), 8), 6.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    panels = top.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for panel, run, colour in zip(panels, runs, colours(runs)):
        _draw_histogram(panel, run, colour)
    panels[0].set_ylabel("share of transitions")
    top.suptitle("Ratio π / π_old of each transition after its update (outermost bars: everything beyond)", fontsize=10)
    below = bottom.subplots(1, 2 if penalties else 1, squeeze=False, width_ratios=(2, 1) if penalties else (1,))[0]
    _draw_kl(below[0], runs)
    if penalties:
        _draw_beta(below[1], penalties, dict(zip((run["label"] for run in runs), colours(runs))), scaled_steps(runs))
    save(figure, path)
    plt.close(figure)


def _draw_histogram(axis: Any, run: dict[str, Any], colour: str) -> None:
    width = RATIO_EDGES[1] - RATIO_EDGES[0]
    centres = np.concatenate([RATIO_EDGES - width / 2, [RATIO_EDGES[-1] + width / 2]])
    counts = np.array(run["ratio_histogram"], float)
    if run["epsilon"] is not None:
        axis.axvspan(1 - run["epsilon"], 1 + run["epsilon"], color="#000000", alpha=0.09, linewidth=0)
        axis.text(1, 1.5, "clip band", ha="center", va="top", fontsize=8, color="#444444")
    axis.bar(centres, np.maximum(counts / counts.sum(), 1e-9), width=width * 0.9, color=colour)
    axis.set_yscale("log")
    axis.set_ylim(1e-5, 2)
    axis.set_title(run["label"], fontsize=10)
    axis.set_xlabel("ratio", fontsize=9)
    axis.tick_params(labelsize=8)
    style(axis)


def _draw_kl(axis: Any, runs: list[dict[str, Any]]) -> None:
    scale, unit = scaled_steps(runs)
    for run, colour in zip(runs, colours(runs)):
        kl = np.maximum(np.array(run["kl"], float), MIN_KL)
        axis.plot(np.array(run["at_steps"]) / scale, kl, color=colour, linewidth=1.6, label=run["label"])
    for bound in sorted({run["kl_bound"] for run in runs if run["kl_bound"] is not None}):
        labels = ", ".join(run["label"] for run in runs if run["kl_bound"] == bound)
        text = f"{bound:g}: bound or target of {labels}"
        axis.axhline(bound, color="#000000", linewidth=1, linestyle="--", label=text)
    axis.set_yscale("log")
    axis.set_xlabel(unit)
    axis.set_ylabel("mean KL(old, new) of an update (nats)")
    axis.set_title("KL of each update (median over seeds)", fontsize=10, loc="left")
    axis.legend(fontsize=8, frameon=False, ncols=2, loc="lower left")
    style(axis)


def _draw_beta(axis: Any, runs: list[dict[str, Any]], colour: dict[str, str], steps: tuple[float, str]) -> None:
    for run in runs:
        for curve in np.array(run["beta"], float):
            axis.plot(np.array(run["at_steps"]) / steps[0], curve, color=colour[run["label"]], linewidth=1, alpha=0.7)
    axis.set_yscale("log")
    axis.set_xlabel(steps[1])
    axis.set_ylabel("β")
    axis.set_title("The penalty's weight β, each seed", fontsize=10, loc="left")
    style(axis)


def save(figure: Any, path: Path, dpi: int = 130) -> None:
    """Write a figure, the whole file or none. Raises ``StorageError``."""
    data = BytesIO()
    figure.savefig(data, format=path.suffix[1:].lower(), dpi=dpi)
    with storing(path):
        write_atomically(path, data.getvalue())


def style(axis: Any) -> None:
    """A light grid and two spines."""
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
