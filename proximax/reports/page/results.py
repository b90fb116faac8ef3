"""The sections of a report on results: which runs, their curves, their scores, how updates went."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from proximax.reports.diagnostics import PANELS, caption_of, has_bands, panels_of
from proximax.reports.figures import line_styles
from proximax.reports.page.contents import Contents, RunRecord
from proximax.reports.page.markup import Markup, Section, html_table, join, tag
from proximax.reports.page.pictures import Pictures, draw_curve_panel, draw_diagnostic_panel
from proximax.reports.run_groups import env_label
from proximax.reports.score_plots import draw_aggregates, draw_improvement, draw_profiles, draw_scores, has_profiles
from proximax.reports.tables import (
    AGGREGATE_NOTES,
    IMPROVEMENT_NOTES,
    SCORE_NOTES,
    Table,
    aggregates_of,
    improvements_of,
    normalisation_note,
    scores_of,
)
from proximax.runtime import format_duration, format_number, shorten

LINE_NOTE = "Line: interquartile mean (IQM) over seeds of the training return, actions sampled; up to three, the mean."
BAND_NOTE = (
    "Band: its 95 % interval, t s\\* with the standard deviation s\\* of a bootstrap over seeds; one seed has none."
)
MAX_SEEDS, LONGEST_ERROR = 500, 200  # that are listed; characters of the line that ended a run
MATRIX_NOTE = "Rows: X. Columns: Y, by the numbers of the rows. Bold: the 95 % interval does not hold 0.5."
MAX_PAIRS = 28  # that are drawn and listed, those of 8 labels; more are in a matrix


def runs_section(contents: Contents, _: Pictures) -> Section:
    """Which runs there are, how far they have got, what is left out."""
    group_of = {member.path: group for group in contents.groups for member, _ in group.members}
    rows: list[tuple[str, ...]] = []
    for record in contents.records:
        path, config = record.member.path, record.config
        group = group_of.get(path)
        place = (shorten(path), env_label(config), group.label if group else "", state_of(record))
        first, last = config.seed, config.seed + config.seeds - 1
        seeds = str(first) if first == last else f"{first} to {last}"
        speed = record.speed
        amounts = f"{record.steps:,}", format_duration(record.seconds), format_number(speed and round(speed))
        rows.append((*place, seeds, *amounts))
    head = ("run", "environment", "group", "state", "seeds", "steps per seed", "time", "steps/s")
    body = [html_table(Table(head, rows, texts=4)), *bullet_list("Notes", contents.notes)]
    body += bullet_list("Left out, as they cannot be read", contents.left_out.values())
    return Section("runs", "Runs", join(body))


def bullet_list(title: str, items: Iterable[str]) -> list[Markup]:
    """A titled list; nothing where it is empty."""
    entries = [tag("li", item) for item in items]
    return [tag("h3", title), tag("ul", join(entries), class_="notes")] if entries else []


def state_of(record: RunRecord) -> str:
    """How a run ended, or how far it has got."""
    if record.result is not None:
        stopped_by = str(record.result["stopped_by"])
        return "finished" if stopped_by == "steps" else f"finished ({stopped_by})"
    share = f"{record.steps / record.config.steps:.0%}"
    error = record.error or ""
    return f"not finished, {share}" + (f": {error[:LONGEST_ERROR]}" if error else "")


def curves_section(contents: Contents, pictures: Pictures) -> Section:
    """Learning curves: a figure for each environment."""
    curves = contents.curves
    if not curves:
        return Section("curves", "Learning curves", tag("p", "No run has an update yet."))
    styles = line_styles(curves)
    envs = list(dict.fromkeys(curve["env"] for curve in curves))
    size = (7.2, 4.2) if len(envs) == 1 else (4.6, 3.4)
    figures = [
        pictures.figure(partial(draw_curve_panel, curves, env, size, styles), f"Learning curves on {env}")
        for env in envs
    ]
    legend = pictures.legend(styles, (curve["label"] for curve in curves))
    remark = note(LINE_NOTE, *([BAND_NOTE] if has_bands(curves) else []))
    return Section("curves", "Learning curves", join([legend, tag("div", join(figures), class_="grid"), remark]))


def note(*lines: str) -> Markup:
    """A remark below a figure or table; the marks of Markdown are left out."""
    return tag("p", " ".join(lines).replace("\\*", "∗").replace("*", "").replace("∗", "*"), class_="note")


def scores_section(contents: Contents, pictures: Pictures) -> Section:
    """Final scores with their intervals, and those of each seed."""
    comparison = contents.comparison
    if not comparison["runs"]:
        return Section("scores", "Final scores", tag("p", "No run has ended, so there are no scores."))
    body = [note(*SCORE_NOTES)]
    for env in comparison["envs"]:
        runs = [run for run in comparison["runs"] if run["env"] == env]
        body.append(html_table(scores_of(runs), env))
    body.append(pictures.figure(partial(draw_scores, comparison), "Final scores, each seed, with 95 % intervals"))
    rows = [
        (run["label"], run["env"], str(seed), format_number(score))
        for run in comparison["runs"]
        for seed, score in zip(run["seeds"], run["returns"])
    ]
    of_seeds = html_table(Table(("", "environment", "seed", "return"), rows[:MAX_SEEDS], texts=2))
    title = "Score of each seed" + (f", the first {MAX_SEEDS} of {len(rows):,}" if len(rows) > MAX_SEEDS else "")
    body.append(tag("details", tag("summary", title), of_seeds))
    return Section("scores", "Final scores", join(body))


def together_section(contents: Contents, pictures: Pictures) -> Section:
    """Who is better, by how much, how sure: where there are several algorithms or environments."""
    comparison, body = contents.comparison, list[Markup]()
    if pairs := comparison["improvement"]:
        drawn = partial(draw_improvement, comparison)
        body.append(tag("h3", "Probability of improvement"))
        if len(pairs) > MAX_PAIRS:
            body += [html_table(improvement_matrix(pairs), dense=True), note(MATRIX_NOTE)]
        else:
            body.append(pictures.figure(drawn, "P(X > Y) of each pair, with 95 % intervals"))
            body.append(html_table(improvements_of(pairs)))
        body.append(note(*IMPROVEMENT_NOTES))
    several = len(comparison["envs"]) > 1 or bool(comparison["improvement"])
    if several and has_profiles(comparison):
        bands = has_bands(comparison["runs"])
        drawn = partial(draw_profiles, comparison, bands=bands)
        body.append(tag("h3", "Performance profiles"))
        body.append(pictures.figure(drawn, "The share of runs that score more than τ"))
        body += [note("Bands: Wilson's 95 % interval at each τ.")] if bands else []
    if comparison["aggregates"]:
        body += [
            tag("h3", "All environments"),
            html_table(aggregates_of(comparison)),
            pictures.figure(partial(draw_aggregates, comparison), "Aggregates over environments, 95 % intervals"),
            note(normalisation_note(comparison["normalisation"]), *AGGREGATE_NOTES),
        ]
    return Section("together", "Comparison", join(body))


def improvement_matrix(pairs: Sequence[dict[str, Any]]) -> Table:
    """P(X > Y) of many labels: a row for each X, a column for each Y."""
    labels = list(dict.fromkeys(label for pair in pairs for label in (pair["x"], pair["y"])))
    cells: dict[tuple[str, str], Markup] = {}
    for pair in pairs:
        value, (low, high) = pair["probability"], pair["ci95"] or (0.0, 1.0)
        name = "span" if low <= 0.5 <= high else "b"
        cells[pair["x"], pair["y"]] = tag(name, f"{value:.2f}")
        cells[pair["y"], pair["x"]] = tag(name, f"{1 - value:.2f}")
    rows = [(f"{i} {x}", *(cells.get((x, y), Markup("")) for y in labels)) for i, x in enumerate(labels, 1)]
    return Table(("", *(str(i) for i in range(1, len(labels) + 1))), rows)


def diagnostics_section(contents: Contents, pictures: Pictures) -> Section:
    """How updates went, in small panels for each environment."""
    runs = contents.diagnostics
    if not runs:
        return Section("diagnostics", "Diagnostics", Markup(""))
    styles, body = line_styles(runs), list[Markup]()
    envs = list(dict.fromkeys(run["env"] for run in runs))
    for env in envs:
        panels = [
            pictures.figure(partial(draw_diagnostic_panel, runs, env, name, styles), f"{PANELS[name].title} on {env}")
            for name in panels_of(runs, env)
        ]
        body += [tag("h3", env)] if len(envs) > 1 else []
        body.append(pictures.legend(styles, (run["label"] for run in runs if run["env"] == env)))
        body.append(tag("div", join(panels), class_="grid small"))
    return Section("diagnostics", "Diagnostics", join([*body, note(f"{caption_of(runs)}.")]))
