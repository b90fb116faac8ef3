"""Several algorithms on one environment, side by side: trained, put in a table, plotted.

Each run has its own directory, and everything shown is read from there. So a run that is finished is not trained again,
and a comparison that was interrupted continues with the first run that is missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proximax.config import RunConfig, bool_problem, path_problem, refuse, shown
from proximax.envs import EnvId, EnvLike, env_name
from proximax.errors import CheckpointError, NumericalError, StorageError, UsageError
from proximax.evaluation import evaluate, summarise_returns
from proximax.ppo import Algorithm
from proximax.reports.curves import rows_of_seeds, thin_out
from proximax.reports.plots import draw_returns, draw_updates, require_matplotlib
from proximax.runs import METRICS_FILE, Resume, is_run_name, load_config, read_metrics
from proximax.runtime import (
    finite_or_none,
    path_named,
    proximax_version,
    read_json,
    refuse_special,
    storing,
    write_atomically,
    write_json,
)
from proximax.training import resolve, run

POINTS = 100  # of each curve, at most
FILE = "comparison.json"
PLOTS = {"returns.png": draw_returns, "updates.png": draw_updates}


def compare(
    env: EnvLike,
    algos: Sequence[str] | Mapping[str, Mapping[str, Any]],
    *,
    out: str | Path,
    seeds: int = 8,
    preset: str | None = None,
    quiet: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Train each of ``algos`` on ``env``; write plots and a table to ``out``; returns the numbers that they show.

    ``algos``: names of algorithms, or settings under any labels, as in
    ``{"narrow": {"algo": "clip", "epsilon": 0.1}, "wide": {"algo": "clip", "epsilon": 0.3}}``; a setting ``algo`` may
    be a custom ``Algorithm``. ``overrides``: settings for all of them, as in ``train``. Writes ``comparison.json``
    (everything that is plotted), ``comparison.md``, ``returns.png``, ``updates.png`` and a run directory for each
    label. Raises ``UsageError``, ``StorageError`` where ``out`` holds other runs, and whatever training raises.
    """
    require_matplotlib()
    listed = isinstance(algos, (Mapping, Sequence)) and not isinstance(algos, str)
    refuse(
        [
            "" if listed else f"algos = {shown(algos)}: must be a list of names, or a dict of settings under labels",
            path_problem("out", out),
            bool_problem("quiet", quiet),
        ]
    )
    variants = algos if isinstance(algos, Mapping) else {name: {"algo": name} for name in algos}
    if not variants:
        raise UsageError("compare needs at least one algorithm")
    resolved = {
        label: resolve(env, preset, {"seeds": seeds} | overrides | dict(settings))
        for label, settings in variants.items()
    }
    for config, _ in resolved.values():
        config.check()
    directory = path_named(out, "out").absolute()  # an environment may change the working directory
    for label in resolved:
        check_label(directory, label)
    for label, (config, custom) in resolved.items():
        if not finished(directory / label, config):
            train_one(directory / label, config, custom, env, quiet)
    comparison = {
        "env": env_name(env),
        "seeds": seeds,
        "version": proximax_version(),
        "runs": [read_run(directory / label, label) for label in resolved],
    }
    write_json(directory / FILE, comparison)
    with storing(directory / "comparison.md"):
        write_atomically(directory / "comparison.md", table(comparison).encode())
    for name, draw in PLOTS.items():
        draw(comparison, directory / name)
    return comparison


def check_label(directory: Path, label: str) -> None:
    """Refuse a label that is no name of a folder in ``directory``, or where that leads elsewhere."""
    if not isinstance(label, str) or not is_run_name(label) or label in (FILE, "comparison.md", *PLOTS):
        raise UsageError(
            f"the label {label!r} names a run's directory: A-Z, a-z, 0-9, '.', '_' and '-', at most 100, the first a "
            "letter or a digit, and not a file of the comparison"
        )
    refuse_special(directory / label)


def finished(directory: Path, config: RunConfig) -> bool:
    """Whether ``directory`` holds a finished run of ``config``; one that was interrupted is to be continued."""
    if not (directory / "config.json").exists():
        return False
    try:
        same = load_config(directory).to_json() == config.to_json()
    except UsageError:  # unknown settings
        same = False
    if not same:
        raise StorageError(f"{directory} holds a run with other settings: move it away, or choose another --out")
    return (directory / "result.json").exists()


def train_one(directory: Path, config: RunConfig, custom: Algorithm | None, env: EnvLike, quiet: bool) -> None:
    """Train, or continue; a run that diverges is evaluated with its last good policies and stays in the comparison."""
    resume: Resume = "auto" if directory.exists() else False
    try:
        run(config, env, custom_algorithm=custom, out=directory, quiet=quiet, resume=resume)
    except NumericalError as error:
        evaluation = evaluate(directory, config.eval_episodes, env=env)
        returns = [finite_or_none(x) for x in evaluation.returns.mean(axis=1)]
        rows = read_metrics(directory / METRICS_FILE)
        write_json(
            directory / "result.json",
            {
                "returns": returns,
                "steps": rows[-1]["steps"],
                "wall_s": rows[-1]["time_s"],
                "stopped_by": "diverged",
                "notes": [str(error)],
            },
        )


def read_run(directory: Path, label: str) -> dict[str, Any]:
    """The numbers that table and plots show of one run, curves thinned out to ``POINTS``."""
    config, result = load_config(directory).to_json(), read_json(directory / "result.json", "the run has not ended")
    rows = read_metrics(directory / METRICS_FILE)
    try:
        return {"label": label, **summarise_run(config, result, rows)}
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise CheckpointError(
            f"result.json or metrics.jsonl of {directory} was not written by a run ({type(error).__name__}: {error}). "
            "Move the directory away, and the run is trained again"
        ) from error


def summarise_run(config: dict[str, Any], result: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Numbers and curves of one run."""
    seeds = range(config["seed"], config["seed"] + config["seeds"])
    curves = rows_of_seeds(rows, seeds)
    length = min(map(len, curves))
    points = thin_out(length, POINTS)
    kl = np.array([[curve[i]["kl"] for curve in curves] for i in range(length)], float)
    returns = np.array([np.nan if x is None else float(x) for x in result["returns"]])
    summary = summarise_returns(returns)
    ppo = config["ppo"]
    return {
        "algo": config["algo"],
        "returns": [finite_or_none(x) for x in returns],
        "mean": finite_or_none(summary.mean),
        "iqm": finite_or_none(summary.iqm),
        "ci95": summary.ci95,
        "steps": int(result["steps"]),
        "wall_s": float(result["wall_s"]),
        "stopped_by": str(result["stopped_by"]),
        "epsilon": ppo["epsilon"] if config["algo"] == "clip" else None,
        "kl_bound": ppo["max_kl"] if config["algo"] in ("npg", "trpo") else ppo["target_kl"],
        "at_steps": [int(np.mean([curve[i]["steps"] for curve in curves])) for i in points],
        "return": [[_rounded(curve[i]["return_last_100"]) for i in points] for curve in curves],
        "kl": [_rounded(x) for x in np.nanmedian(kl, axis=1)[points]],
        "kl_percentiles": {str(q): _rounded(float(np.nanpercentile(kl, q))) for q in (50, 95)},
        "beta": (
            [[_rounded(curve[i]["beta"]) for i in points] for curve in curves] if config["algo"] == "penalty" else None
        ),
        "ratio_histogram": np.sum([row["ratio_histogram"] for row in rows], axis=0).tolist(),
    }


def _rounded(x: float | None) -> float | None:
    """Five significant digits; None for what is not finite."""
    return None if x is None else finite_or_none(float(f"{x:.5g}"))


def table(comparison: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    lines = [
        f"# {EnvId.parse(comparison['env']).display}, {comparison['seeds']} seeds",
        "",
        "Returns are of the final evaluation: deterministic actions, last policy. *KL*: the mean KL(old, new) that an",
        "update reached, its median and 95th percentile over updates. *Wall*: all seeds together.",
        "",
        "| | return, mean (95 % interval) | IQM | worst seed | KL, median (95 %) | steps per seed | wall |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for r in comparison["runs"]:
        kl, kl_95 = ("n/a" if (x := r["kl_percentiles"][q]) is None else f"{x:.2g}" for q in ("50", "95"))
        low, high = (_format_return(x) for x in r["ci95"] or (None, None))
        worst = _format_return(None if None in r["returns"] else min(r["returns"]))
        end = " (diverged)" if r["stopped_by"] == "diverged" else ""
        lines.append(
            f"| {r['label']} | {_format_return(r['mean'])} ({low} to {high}) | {_format_return(r['iqm'])} | {worst} | "
            f"{kl} ({kl_95}) | {r['steps']:,}{end} | {r['wall_s']:.0f} s |"
        )
    return "\n".join([*lines, "", f"proximax {comparison['version']}.", ""])


def _format_return(x: float | None) -> str:
    return "n/a" if x is None else f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}"
