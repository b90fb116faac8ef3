"""The tables of a comparison, and how they are written: as Markdown, as LaTeX."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from proximax.runtime import format_number

Format = Callable[[float], str]
AGGREGATE_NAMES = {"iqm": "IQM", "median": "median", "mean": "mean", "optimality_gap": "optimality gap"}
SCORE_NOTES = (
    "Returns are of the final evaluation of the last policy. Over seeds: the mean with Student's 95 % interval,",
    "and the interquartile mean (IQM). *KL*: the mean KL(old, new) that an update reached, its median and 95th",
    "percentile over updates. *Wall*: all seeds together.",
)
AGGREGATE_NOTES = (
    "95 % intervals: t s\\* with the standard deviation s\\* of a stratified bootstrap and Welch's degrees of",
    "freedom; none below two seeds.",
)
IMPROVEMENT_NOTES = (
    "P(X > Y): the share of pairs of seeds in which X scores more than Y, ties counted half; mean over",
    "environments. 95 % intervals: Newcombe 2006, method 5 (variance of Hanley and McNeil); none below two seeds.",
)
# What LaTeX would read as more than text.
LATEX = {"\\": r"\textbackslash{}", "<": "$<$", ">": "$>$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


class Table(NamedTuple):
    """Cells as text; the first ``texts`` columns are labels, the others numbers, which are aligned to the right."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: int = 1


def table(comparison: dict[str, Any]) -> str:
    """The comparison as Markdown: a table for each environment, then all together."""
    runs, envs = comparison["runs"], comparison["envs"]
    lines = [f"# {envs[0] if len(envs) == 1 else f'{len(envs)} environments'}", "", *SCORE_NOTES, ""]
    for env in envs:
        lines += [f"## {env}", ""] if len(envs) > 1 else []
        lines += [*score_table([run for run in runs if run["env"] == env]), ""]
    lines += aggregate_table(comparison) if comparison["aggregates"] else []
    lines += improvement_table(comparison["improvement"]) if comparison["improvement"] else []
    lines += [f"- {note}" for note in comparison["notes"]] + ([""] if comparison["notes"] else [])
    return "\n".join([*lines, f"proximax {comparison['version']}.", ""])


def score_table(runs: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of the table of one environment's runs."""
    return markdown(scores_of(runs))


def aggregate_table(comparison: dict[str, Any]) -> list[str]:
    """The lines about all environments together."""
    head = ["## All environments", "", normalisation_note(comparison["normalisation"]), *AGGREGATE_NOTES, ""]
    return [*head, *markdown(aggregates_of(comparison)), ""]


def improvement_table(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of P(X > Y)."""
    return [*IMPROVEMENT_NOTES, "", *markdown(improvements_of(pairs)), ""]


def scores_of(runs: Sequence[dict[str, Any]]) -> Table:
    """One environment's runs."""
    head = ("", "seeds", "return, mean (95 % interval)", "IQM", "worst seed", "KL, median (95 %)")
    rows: list[tuple[str, ...]] = []
    for run in runs:
        kl, kl_95 = ("n/a" if (x := run["kl_percentiles"][q]) is None else f"{x:.2g}" for q in ("50", "95"))
        worst = None if None in run["returns"] else min(run["returns"])
        end = " (diverged)" if "diverged" in run["stopped_by"] else ""
        scores = with_interval(run["mean"], run["ci95"]), format_number(run["iqm"]), format_number(worst)
        cost = f"{run['steps']:,}{end}", f"{run['wall_s']:.0f} s"
        rows.append((run["label"], str(len(run["returns"])), *scores, f"{kl} ({kl_95})", *cost))
    return Table((*head, "steps per seed", "wall"), rows)


def aggregates_of(comparison: dict[str, Any]) -> Table:
    """All environments together."""
    aggregates = comparison["aggregates"]
    names = list(next(iter(aggregates.values())))
    rows = [
        (label, *(with_interval(of[name]["value"], of[name]["ci95"], "{:.2f}".format) for name in names))
        for label, of in aggregates.items()
    ]
    return Table(("", *(AGGREGATE_NAMES[name] for name in names)), rows)


def improvements_of(pairs: Sequence[dict[str, Any]]) -> Table:
    """P(X > Y) of each pair."""
    rows = [(pair["x"], pair["y"], with_interval(pair["probability"], pair["ci95"], "{:.2f}".format)) for pair in pairs]
    return Table(("X", "Y", "P(X > Y)"), rows, texts=2)


def normalisation_note(normalisation: dict[str, Any]) -> str:
    """By what scores are normalised."""
    bounds = ", ".join(f"{env} {low:g} and {high:g}" for env, (low, high) in normalisation["bounds"].items())
    return f"Scores are normalised by {normalisation['by']}: 0 and 1 are {bounds}."


def with_interval(value: float | None, interval: Sequence[float] | None, form: Format = format_number) -> str:
    """``12.0 (10.5 to 13.5)``."""
    if value is None:
        return "n/a"
    return f"{form(value)} ({f'{form(interval[0])} to {form(interval[1])}' if interval else 'n/a'})"


def markdown(cells: Table) -> list[str]:
    """The lines of a table in Markdown."""
    rule = "---|" * cells.texts + "--:|" * (len(cells.head) - cells.texts)
    return [markdown_row(cells.head), f"|{rule}", *map(markdown_row, cells.rows)]


def markdown_row(cells: Sequence[str]) -> str:
    """``| a | b |``; an empty first cell as short as it is."""
    return f"|{''.join(f' {cell} |' if cell else ' |' for cell in cells)}"


def latex(cells: Table) -> list[str]:
    r"""The lines of a table in LaTeX: a plain ``tabular`` with ``\hline``, which needs no package."""
    columns = "l" * cells.texts + "r" * (len(cells.head) - cells.texts)
    head, *rows = (f"{' & '.join(map(latex_text, row))} \\\\" for row in (cells.head, *cells.rows))
    return [rf"\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline", *rows, r"\hline", r"\end{tabular}"]


def latex_text(text: str) -> str:
    """``text`` with nothing in it that LaTeX would obey."""
    return "".join(LATEX.get(character, character) for character in text)
