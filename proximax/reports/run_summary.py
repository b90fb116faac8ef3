"""The numbers that tables and figures show of a group of runs, read from their directories."""

from pathlib import Path
from typing import Any

import numpy as np

from proximax.errors import CheckpointError
from proximax.evaluation import summarise_returns
from proximax.reports.run_groups import Group, Member
from proximax.runs import METRICS_FILE, read_metrics
from proximax.runtime import finite_or_none, read_json, shorten

POINTS = 100  # of each curve, at most
Rows = list[dict[str, Any]]


def summarise(group: Group) -> dict[str, Any]:
    """Scores, curves and updates of a group, curves thinned out to ``POINTS``. Raises ``CheckpointError``."""
    returns: list[float | None] = []
    results, curves = list[dict[str, Any]](), list[Rows]()
    for member, seeds in group.members:
        try:
            result = read_json(member.path / "result.json", f"the run has not ended: --resume {shorten(member.path)}")
            check_result(result, member)
            rows = rows_of_seeds(read_metrics(member.path / METRICS_FILE), member.seeds)
            kept = [seed - member.config.seed for seed in seeds]
            returns += [result["returns"][i] for i in kept]
            curves += [rows[i] for i in kept]
            results.append(result)
            summarise_curves(curves[-len(kept) :])  # what is wrong is reported of this run
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise CheckpointError(
                f"result.json or metrics.jsonl of {member.path} was not written by a run "
                f"({type(error).__name__}: {error}). Move the directory away; a run of this comparison is trained again"
            ) from error
    config, ppo = group.config, group.config.ppo
    return {
        "env": group.env,
        "label": group.label,
        "algo": config.algo,
        "seeds": group.seeds,
        **summarise_scores(returns),
        "steps": max(int(result["steps"]) for result in results),
        "wall_s": sum(float(result["wall_s"]) for result in results),
        "stopped_by": ", ".join(dict.fromkeys(str(result["stopped_by"]) for result in results)),
        "epsilon": ppo.epsilon if config.algo in ("clip", "spo") else None,
        "kl_bound": ppo.max_kl if config.algo in ("npg", "trpo") else ppo.target_kl,
        **summarise_curves(curves, beta=config.algo == "penalty"),
    }


def check_result(result: dict[str, Any], member: Member) -> None:
    """Whether a result.json has the numbers that are shown of it: ``LookupError``, ``TypeError``, ``ValueError``."""
    if len(result["returns"]) != member.config.seeds:
        raise ValueError(f"{len(result['returns'])} returns of {member.config.seeds} seeds")
    _ = int(result["steps"]), float(result["wall_s"]), str(result["stopped_by"])
    _ = [x if x is None else float(x) for x in result["returns"]]


def summarise_scores(returns: list[float | None]) -> dict[str, Any]:
    """Mean with its interval and interquartile mean of the final scores, one of each seed."""
    scores = np.array([np.nan if x is None else float(x) for x in returns])
    summary = summarise_returns(scores)
    return {
        "returns": [finite_or_none(x) for x in scores],
        "mean": finite_or_none(summary.mean),
        "iqm": finite_or_none(summary.iqm),
        "ci95": summary.ci95,
    }


def summarise_curves(curves: list[Rows], beta: bool = False) -> dict[str, Any]:
    """Learning curves of all seeds, and the KL and the ratios of their updates; ``curves``: the rows of each seed."""
    length = min(map(len, curves))
    points = thin_out(length, POINTS)
    kl = np.array([[curve[i]["kl"] for curve in curves] for i in range(length)], float)
    return {
        "at_steps": [int(np.mean([curve[i]["steps"] for curve in curves])) for i in points],
        "return": [[rounded(curve[i]["return_last_100"]) for i in points] for curve in curves],
        "kl": [rounded(x) for x in np.nanmedian(kl, axis=1)[points]],
        "kl_percentiles": {str(q): rounded(float(np.nanpercentile(kl, q))) for q in (50, 95)},
        "beta": [[rounded(curve[i]["beta"]) for i in points] for curve in curves] if beta else None,
        "ratio_histogram": np.sum([row["ratio_histogram"] for curve in curves for row in curve], axis=0).tolist(),
    }


def rounded(x: float | None) -> float | None:
    """Five significant digits; None for what is not finite."""
    return None if x is None else finite_or_none(float(f"{x:.5g}"))


def rows_of_seeds(rows: Rows, seeds: range) -> list[Rows]:
    """The rows of each seed, by update."""
    by_seed: dict[int, Rows] = {seed: [] for seed in seeds}
    for row in rows:
        if row["seed"] in by_seed:
            by_seed[row["seed"]].append(row)
    return list(by_seed.values())


def thin_out(length: int, most: int) -> np.ndarray:
    """At most so many indices of a curve, evenly, both ends among them."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(int))


def relative(path: Path, directory: Path) -> str:
    """A run's directory for the record: within the comparison's own from there."""
    inside = path.absolute()
    return str(inside.relative_to(directory) if inside.is_relative_to(directory) else path)
