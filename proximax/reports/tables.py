"""A comparison as Markdown."""

from collections.abc import Callable, Sequence
from typing import Any

from proximax.runtime import format_number

Format = Callable[[float], str]
AGGREGATE_NAMES = {"iqm": "IQM", "median": "median", "mean": "mean", "optimality_gap": "optimality gap"}


def table(comparison: dict[str, Any]) -> str:
    """The comparison as Markdown: a table for each environment, then all together."""
    runs, envs = comparison["runs"], comparison["envs"]
    lines = [
        f"# {envs[0] if len(envs) == 1 else f'{len(envs)} environments'}",
        "",
        "Returns are of the final evaluation of the last policy. Over seeds: the mean with Student's 95 % interval,",
        "and the interquartile mean (IQM). *KL*: the mean KL(old, new) that an update reached, its median and 95th",
        "percentile over updates. *Wall*: all seeds together.",
        "",
    ]
    for env in envs:
        lines += [f"## {env}", ""] if len(envs) > 1 else []
        lines += [*score_table([run for run in runs if run["env"] == env]), ""]
    lines += aggregate_table(comparison) if comparison["aggregates"] else []
    lines += improvement_table(comparison["improvement"]) if comparison["improvement"] else []
    lines += [f"- {note}" for note in comparison["notes"]] + ([""] if comparison["notes"] else [])
    return "\n".join([*lines, f"proximax {comparison['version']}.", ""])


def score_table(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of the table of one environment's runs."""
    lines = [
        "| | seeds | return, mean (95 % interval) | IQM | worst seed | KL, median (95 %) | steps per seed | wall |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for run in runs:
        kl, kl_95 = ("n/a" if (x := run["kl_percentiles"][q]) is None else f"{x:.2g}" for q in ("50", "95"))
        worst = None if None in run["returns"] else min(run["returns"])
        end = " (diverged)" if "diverged" in run["stopped_by"] else ""
        lines.append(
            f"| {run['label']} | {len(run['returns'])} | {with_interval(run['mean'], run['ci95'])} | "
            f"{format_number(run['iqm'])} | {format_number(worst)} | {kl} ({kl_95}) | {run['steps']:,}{end} | "
            f"{run['wall_s']:.0f} s |"
        )
    return lines


def aggregate_table(comparison: dict[str, Any]) -> list[str]:
    """The lines about all environments together."""
    normalisation, aggregates = comparison["normalisation"], comparison["aggregates"]
    names = list(next(iter(aggregates.values())))
    bounds = ", ".join(f"{env} {low:g} and {high:g}" for env, (low, high) in normalisation["bounds"].items())
    lines = [
        "## All environments",
        "",
        f"Scores are normalised by {normalisation['by']}: 0 and 1 are {bounds}.",
        "95 % intervals: t s\\* with the standard deviation s\\* of a stratified bootstrap and Welch's degrees of",
        "freedom; none below two seeds.",
        "",
        f"| | {' | '.join(AGGREGATE_NAMES[name] for name in names)} |",
        f"|---|{'--:|' * len(names)}",
    ]
    for label, of in aggregates.items():
        cells = [with_interval(of[name]["value"], of[name]["ci95"], "{:.2f}".format) for name in names]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, ""]


def improvement_table(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of P(X > Y)."""
    lines = [
        "P(X > Y): the share of pairs of seeds in which X scores more than Y, ties counted half; mean over",
        "environments. 95 % intervals: Newcombe 2006, method 5 (variance of Hanley and McNeil); none below two seeds.",
        "",
        "| X | Y | P(X > Y) |",
        "|---|---|--:|",
    ]
    for pair in pairs:
        cell = with_interval(pair["probability"], pair["ci95"], "{:.2f}".format)
        lines.append(f"| {pair['x']} | {pair['y']} | {cell} |")
    return [*lines, ""]


def with_interval(value: float | None, interval: Sequence[float] | None, form: Format = format_number) -> str:
    """``12.0 (10.5 to 13.5)``."""
    if value is None:
        return "n/a"
    return f"{form(value)} ({f'{form(interval[0])} to {form(interval[1])}' if interval else 'n/a'})"
