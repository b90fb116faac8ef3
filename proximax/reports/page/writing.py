"""Reports: one HTML file about runs; and beside it, where it is asked for, its figures and tables as files."""

from collections.abc import Callable
from functools import partial
from importlib.resources import files as package_files
from pathlib import Path

from proximax.config import path_problem, refuse
from proximax.errors import UsageError
from proximax.reports.aggregation import References
from proximax.reports.diagnostics import draw_diagnostics, has_bands
from proximax.reports.figures import Target, require_matplotlib
from proximax.reports.page.background import commands_section, doctor_section, machine_section, settings_section
from proximax.reports.page.contents import Contents, gather_contents
from proximax.reports.page.inline_figures import colour_rules
from proximax.reports.page.markup import Markup, Section, document, join, tag
from proximax.reports.page.pictures import Pictures
from proximax.reports.page.playing import play_section, player_of
from proximax.reports.page.results import (
    curves_section,
    diagnostics_section,
    runs_section,
    scores_section,
    together_section,
)
from proximax.reports.plots import draw_returns
from proximax.reports.run_groups import Runs
from proximax.reports.score_plots import draw_aggregates, draw_improvement, draw_profiles, draw_scores, has_profiles
from proximax.reports.tables import aggregates_of, improvements_of, latex, latex_text, scores_of, table
from proximax.runs import run_name_of
from proximax.runtime import path_named, plural, storing, write_atomically

ENDINGS = (".html", ".htm")
LONGEST_NAMES = 100  # characters of the groups in the header, which are else counted
FORMATS = ("svg", "png")  # of the figures beside the page
# The sections of the page, from top to bottom. One more is a function in this list.
SECTIONS: tuple[Callable[[Contents, Pictures], Section], ...] = (
    runs_section,
    curves_section,
    scores_section,
    together_section,
    diagnostics_section,
    doctor_section,
    settings_section,
    machine_section,
    commands_section,
)
PLAY_AFTER = together_section  # the section in which policies play, and the only one with a script


def report(
    runs: Runs,
    out: str | Path = "report.html",
    *,
    files: str | Path | None = None,
    references: References | None = None,
) -> Path:
    """Write one self-contained HTML file about ``runs``; returns it.

    It has learning curves (IQM over seeds), final scores with intervals, performance profiles, P(X > Y), diagnostics,
    what the doctor finds, settings and what differs, machine and versions, and the command that trains each run again;
    of CartPole-v1, Pendulum-v1, the mountain cars and Acrobot-v1 policies that play.

    ``runs``: run directories, finished or not, or folders with runs below them; or a dict of them under labels. They
    are grouped and labelled as in ``compare``. A run with a damaged file is left out and named in the report.
    ``out``: an .html file, which opens without a network; an existing one is replaced.
    ``files``: a folder for each figure as SVG and PNG, and for the tables as Markdown and LaTeX.
    ``references``: as in ``compare``.

    Raises ``UsageError``, ``CheckpointError`` for what is not a run, or where no run can be read, ``DependencyError``
    without matplotlib, ``StorageError``.
    """
    refuse([path_problem("out", out), "" if files is None else path_problem("files", files)])
    path = path_named(out, "out")
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"out = {out}: must end in {' or '.join(ENDINGS)}")
    require_matplotlib()
    if not runs:
        raise UsageError(f"runs = {runs!r}: must be a list of runs")
    contents = gather_contents(runs, references)
    text = page_of(contents)
    if files is not None:
        write_files(contents, path_named(files, "files"))
    with storing(path):
        write_atomically(path, text.encode())
    return path


def page_of(contents: Contents) -> str:
    """The whole page."""
    pictures, player = Pictures(), player_of(contents)
    sections = [make(contents, pictures) for make in SECTIONS]
    sections.insert(SECTIONS.index(PLAY_AFTER) + 1, play_section(player))
    style = (package_files("proximax.reports.page") / "page.css").read_text(encoding="utf-8")
    rules = f":root {{ {colour_rules()}}}\n{style}\n{pictures.styles.rules()}\n{player.style}"
    title = title_of(contents)
    shown = [section for section in sections if section.body]
    return document(f"{title}: report", header_of(contents, title), shown, rules, player.script)


def title_of(contents: Contents) -> str:
    """The environments, or how many."""
    envs = contents.envs
    return ", ".join(envs) if len(envs) <= 3 else plural(len(envs), "environment")


def header_of(contents: Contents, title: str) -> Markup:
    """The title, and in one line what is in the report."""
    seeds = sum(len(group.seeds) for group in contents.groups)
    ended = sum(record.result is not None for record in contents.records)
    labels = dict.fromkeys(group.label for group in contents.groups)
    counts = [plural(len(contents.records), "run"), plural(seeds, "seed"), f"{ended} finished"]
    names = ", ".join(labels)
    names = names if len(names) <= LONGEST_NAMES else plural(len(labels), "group")
    return tag(
        "header",
        tag("p", "proximax report", class_="kicker"),
        tag("h1", title),
        tag("p", names),
        tag("p", join(counts, " · "), class_="note"),
    )


def figures_of(contents: Contents) -> dict[str, Callable[[Target, Target], None]]:
    """The figures of a report by the names of their files."""
    comparison, figures = contents.comparison, dict[str, Callable[..., None]]()
    if contents.curves:
        envs = list(dict.fromkeys(curve["env"] for curve in contents.curves))
        bands = has_bands(contents.curves)
        figures["returns"] = partial(draw_returns, {"envs": envs, "runs": contents.curves}, middle="IQM", bands=bands)
    if comparison["runs"]:
        figures["scores"] = partial(draw_scores, comparison)
    if comparison["improvement"]:
        figures["improvement"] = partial(draw_improvement, comparison)
    if comparison["runs"] and has_profiles(comparison):
        figures["profiles"] = partial(draw_profiles, comparison, bands=has_bands(comparison["runs"]))
    if comparison["aggregates"]:
        figures["aggregates"] = partial(draw_aggregates, comparison)
    for i, env in enumerate(dict.fromkeys(run["env"] for run in contents.diagnostics), 1):
        figures[f"diagnostics-{i}-{run_name_of(env)}"] = partial(draw_diagnostics, contents.diagnostics, env)
    return figures


def write_files(contents: Contents, folder: Path) -> None:
    """The figures and tables of a report as files. Raises ``StorageError``, which names the file."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, draw in figures_of(contents).items():
        draw(*(folder / f"{name}.{ending}" for ending in FORMATS))
    if contents.comparison["runs"]:
        texts = {"tables.md": table(contents.comparison), "tables.tex": latex_tables(contents)}
        for name, text in texts.items():
            with storing(folder / name):
                write_atomically(folder / name, text.encode())


def latex_tables(contents: Contents) -> str:
    """The tables of a report in LaTeX, each below a comment that says what it is."""
    comparison = contents.comparison
    tables = {
        f"Final scores on {env}": scores_of([run for run in comparison["runs"] if run["env"] == env])
        for env in comparison["envs"]
    }
    if comparison["aggregates"]:
        tables["Normalised scores of all environments"] = aggregates_of(comparison)
    if comparison["improvement"]:
        tables["Probability of improvement"] = improvements_of(comparison["improvement"])
    parts = [f"% {latex_text(title)}. Needs no package." for title in tables]
    return "\n\n".join("\n".join([part, *latex(cells)]) for part, cells in zip(parts, tables.values())) + "\n"
