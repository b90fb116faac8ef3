"""Algorithms side by side, on one environment or several: trained or taken from runs that exist; tables and figures.

Each run has its own directory, and everything shown is read from there. So a run that is finished is not trained again,
and a comparison that was interrupted continues with the first run that is missing.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from proximax.config import COUNT, bool_problem, path_problem, range_problem, refuse, shown
from proximax.envs import EnvLike
from proximax.errors import CheckpointError, UsageError
from proximax.reports.aggregation import References, check_references, put_together
from proximax.reports.figures import FORMATS, check_formats, require_matplotlib
from proximax.reports.plots import draw_returns, draw_updates
from proximax.reports.run_groups import Group, Member, Runs, env_label, find_runs, group_runs, has_runs
from proximax.reports.run_summary import relative, summarise
from proximax.reports.score_plots import draw_aggregates, draw_improvement, draw_profiles, draw_scores, has_profiles
from proximax.reports.tables import table
from proximax.reports.training_plan import (
    DEFAULT_ALGOS,
    Algos,
    State,
    Variant,
    announcement,
    check_environments,
    check_folders,
    directory_name,
    has_result,
    state_of,
    train_variant,
    variants_of,
)
from proximax.runs import run_name_of
from proximax.runtime import (
    PROGRESS,
    path_named,
    proximax_version,
    shorten,
    show_messages,
    storing,
    write_atomically,
    write_json,
)

logger = logging.getLogger(__name__)

FILE, PAGE = "comparison.json", "comparison.md"
FIGURES = ("returns", "scores", "improvement", "profiles", "aggregates", "updates")
DEFAULT_SEEDS = 8
Draw = Callable[..., None]


class Plan(NamedTuple):
    """What a comparison trains and shows."""

    directory: Path
    trainings: list[tuple[Variant, Member]]
    states: dict[Path, State]  # of each of them
    groups: list[Group]
    references: References | None


def compare(
    env: EnvLike | Sequence[EnvLike] | None = None,
    algos: Algos | None = None,
    *,
    runs: Runs = (),
    out: str | Path,
    seeds: int = DEFAULT_SEEDS,
    preset: str | None = None,
    quiet: bool = False,
    formats: Sequence[str] = ("png",),
    references: References | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Train each of ``algos`` on each ``env``, and put them beside ``runs`` that exist; returns all numbers shown.

    ``env``: an environment as in ``train``, a list of them, or None: nothing is trained.
    ``algos``: names of algorithms, or settings under any labels, as in
    ``{"narrow": {"algo": "clip", "epsilon": 0.1}, "wide": {"algo": "clip", "epsilon": 0.3}}``; a setting ``algo`` may
    be a custom ``Algorithm``. By default reinforce, surrogate, penalty, clip and trpo.
    ``preset``, ``overrides``: settings for all of them, as in ``train``.
    ``runs``: run directories, or folders with runs below them; or a dict of them under labels. Those with the same
    settings and other seeds are pooled, others are labelled by what differs.
    ``formats``: of the figures, png, pdf, svg.
    ``quiet``: print only warnings and errors.
    ``out``: directory for ``comparison.json`` (everything that is shown), ``comparison.md``, figures, and the
    directories of the runs that are trained. With the same ``out`` a comparison that was interrupted is continued.
    ``references``: for each environment the scores that are normalised to 0 and 1; by default the lowest and the
    highest of all that are compared.

    Raises ``UsageError``, ``StorageError`` where ``out`` holds other runs, ``CheckpointError`` for what is not a
    finished run, and whatever training raises.
    """
    require_matplotlib()
    refuse([path_problem("out", out), bool_problem("quiet", quiet)])
    endings = check_formats(formats)
    settings = {"seeds": seeds, "preset": preset} | overrides
    return execute_comparison(plan_comparison(env, algos, runs, settings, out, references), quiet, endings)


def plan_comparison(
    env: Any, algos: Algos | None, runs: Runs, settings: dict[str, Any], out: str | Path | None, references: Any
) -> Plan:
    """What ``compare`` does with these arguments, all of them checked.

    ``settings``: its ``seeds``, ``preset`` and overrides. ``out`` None: ``runs/...-compare-...``, always the same for
    the same arguments, so that the same command continues a comparison that was interrupted.
    """
    settings = {"seeds": DEFAULT_SEEDS, "preset": None} | settings
    envs = environments(env, algos, settings)
    seeds, preset = settings.pop("seeds"), settings.pop("preset")
    refuse([range_problem("seeds", seeds, COUNT)])
    variants = variants_of(envs, DEFAULT_ALGOS if algos is None else algos, seeds, preset, settings) if envs else []
    given = finished_only(find_runs(runs)) if runs or not envs else []
    directory = path_named(out if out is not None else Path("runs", directory_name(variants, given)), "out").absolute()
    check_folders(directory, variants, reserved_names())
    trained = [Member(directory / variant.folder, variant.config, variant.label) for variant in variants]
    paths = {member.path.resolve() for member in trained}
    groups = group_runs([*trained, *(run for run in given if run.path.resolve() not in paths)])
    check_references(references, list(dict.fromkeys(group.env for group in groups)))
    states = {member.path: state_of(member.path, member.config) for member in trained}
    return Plan(directory, list(zip(variants, trained)), states, groups, references)


def execute_comparison(plan: Plan, quiet: bool, formats: Sequence[str]) -> dict[str, Any]:
    """Train what is missing, and write everything; returns the numbers."""
    missing = [(v, member) for v, member in plan.trainings if plan.states[member.path] != "finished"]
    with show_messages(quiet):
        PROGRESS.info(announcement(plan.groups, plan.states, nearby(plan.directory)))
        check_environments([variant for variant, _ in missing])
        for i, (variant, member) in enumerate(missing, 1):
            verb = "continuing" if plan.states[member.path] == "continue" else "training"
            PROGRESS.info(f"[{i}/{len(missing)}] {verb} {variant.label} on {env_label(variant.config)}")
            train_variant(member.path, variant, quiet)
    comparison = gather(plan)
    write(comparison, plan.directory, formats)
    return comparison


def nearby(path: Path) -> Path:
    """``path`` as a user would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def reserved_names() -> list[str]:
    """Names in the directory of a comparison that are not those of runs."""
    return [FILE, PAGE, *(f"{name}.{ending}" for name in FIGURES for ending in FORMATS)]


def environments(env: Any, algos: Any, settings: dict[str, Any]) -> list[EnvLike]:
    """The environments to train on. Raises ``UsageError`` where there are settings for none."""
    envs: list[Any] = list(env) if isinstance(env, (list, tuple)) else [] if env is None else [env]
    defaults = {"algos": None, "seeds": DEFAULT_SEEDS, "preset": None}
    given = {"algos": algos} | settings
    names = [name for name, value in given.items() if name not in defaults or value != defaults[name]]
    if not envs and names:
        raise UsageError(f"{', '.join(names)}: only for training, but no environment to train on is named")
    for named in envs:
        is_path = isinstance(named, Path)
        if is_path or (isinstance(named, str) and has_runs(Path(named))):
            raise UsageError(f"env = {shown(named)}: is a directory; runs that exist are given as runs=[...]")
    return envs


def finished_only(members: list[Member]) -> list[Member]:
    """The runs that have ended; of others one that was named is refused, one that was found is left out."""
    kept: list[Member] = []
    for member in members:
        if has_result(member):
            kept.append(member)
        elif member.named:
            raise CheckpointError(
                f"{shorten(member.path)} has not ended, so it has no score: proximax train --resume {member.path}"
            )
        else:
            logger.warning(f"left out {shorten(member.path)}: it has not ended")
    if not kept:
        raise CheckpointError("there is no finished run to compare")
    return kept


def gather(plan: Plan) -> dict[str, Any]:
    """Everything that is shown, as plain values."""
    runs = []
    for group in plan.groups:
        places = [relative(member.path, plan.directory) for member, _ in group.members]
        runs.append(summarise(group) | {"directories": places})
    return {
        "version": proximax_version(),
        "envs": list(dict.fromkeys(run["env"] for run in runs)),
        "runs": runs,
        **put_together(runs, plan.references),
    }


def write(comparison: dict[str, Any], directory: Path, formats: Sequence[str]) -> None:
    """The record, the page and the figures. Raises ``StorageError``, which names the file."""
    with storing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / FILE, comparison)
    with storing(directory / PAGE):
        write_atomically(directory / PAGE, table(comparison).encode())
    for name, draw in figures_of(comparison).items():
        draw(comparison, *(directory / f"{name}.{ending}" for ending in formats))


def files_of(comparison: dict[str, Any], formats: Sequence[str]) -> list[str]:
    """The names of the files that ``write`` writes."""
    return [FILE, PAGE, *(f"{name}.{ending}" for name in figures_of(comparison) for ending in formats)]


def figures_of(comparison: dict[str, Any]) -> dict[str, Draw]:
    """The figures of a comparison, by the names of their files."""
    envs = comparison["envs"]
    figures: dict[str, Draw] = {"returns": draw_returns, "scores": draw_scores}
    if comparison["improvement"]:
        figures["improvement"] = draw_improvement
    if has_profiles(comparison):
        figures["profiles"] = draw_profiles
    if comparison["aggregates"]:
        figures["aggregates"] = draw_aggregates
    if len(envs) == 1:
        return figures | {"updates": draw_updates}
    names: list[str] = []
    for env in envs:
        name = run_name_of(env)
        names.append(next(x for x in [name, *(f"{name}-{i}" for i in range(2, len(envs) + 2))] if x not in names))
    return figures | {f"updates-{name}": partial(draw_updates, env=env) for name, env in zip(names, envs)}
