"""What a report says, read from the directories of runs in whatever state they are: each is opened as ``plain_files``.

A run of which a file is damaged is left out and named; one that has not ended has its curves, but no score.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proximax.config import RunConfig
from proximax.doctor import Finding, columns, last_line, run_checks
from proximax.errors import CheckpointError, ProximaxError
from proximax.reports.aggregation import References, check_references, put_together
from proximax.reports.curves import Curve, curve_of
from proximax.reports.diagnostics import Columns, diagnostics_of
from proximax.reports.run_groups import Group, Member, Runs, find_runs, group_runs
from proximax.reports.run_summary import check_result, rows_of_seeds, summarise, summarise_curves
from proximax.runs import METRICS_FILE, read_metrics
from proximax.runtime import plural, proximax_version, read_json, shorten

logger = logging.getLogger(__name__)
MAX_POINTS, MIN_POINTS = 6000, 30  # of all curves of a figure together, and of one of them
LONGEST_CURVE = 150


class RunRecord(NamedTuple):
    """A run directory."""

    member: Member
    columns: Mapping[int, Columns]  # metrics of each seed that has an update
    result: dict[str, Any] | None  # of a run that has ended
    error: str | None  # the last line of error.log
    findings: list[Finding]

    @property
    def config(self) -> RunConfig:
        """Its settings."""
        return self.member.config

    @property
    def started(self) -> bool:
        """Whether each of its seeds has an update."""
        return len(self.columns) == self.config.seeds

    @property
    def steps(self) -> int:
        """Environment steps of each seed so far."""
        return max((int(of_seed["steps"][-1]) for of_seed in self.columns.values()), default=0)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds so far."""
        if self.result is not None:
            return float(self.result["wall_s"])
        ends = [of_seed["time_s"][-1] for of_seed in self.columns.values() if "time_s" in of_seed]
        return float(np.nanmax(ends)) if ends and np.isfinite(ends).any() else float("nan")

    @property
    def speed(self) -> float | None:
        """Environment steps of all seeds together a second, as result.json has it where there is one."""
        stated = (self.result or {}).get("steps_per_s")
        if isinstance(stated, (int, float)):
            return float(stated)
        return self.steps * self.config.seeds / self.seconds if self.seconds > 0 else None


class Contents(NamedTuple):
    """Everything that a report shows, as values."""

    records: list[RunRecord]
    left_out: dict[Path, str]  # run directories that cannot be read, and why
    groups: list[Group]
    comparison: dict[str, Any]  # of the runs that have ended, as ``compare`` has it
    curves: list[Curve]
    diagnostics: list[dict[str, Any]]
    notes: list[str]

    @property
    def envs(self) -> list[str]:
        """The environments."""
        return list(dict.fromkeys(group.env for group in self.groups))


def gather_contents(runs: Runs, references: References | None = None) -> Contents:
    """Read all ``runs``. Raises ``CheckpointError`` where none of them can be read, and for what is not a run."""
    left_out: dict[Path, str] = {}
    records = [record for member in find_runs(runs, left_out) if (record := read_record(member, left_out))]
    for problem in left_out.values():
        logger.warning(f"left out: {problem}")
    if not records:
        raise CheckpointError("no run can be read" + "".join(f"; {problem}" for problem in left_out.values()))
    by_path = {record.member.path: record for record in records}
    groups = group_runs([record.member for record in records])
    check_references(references, list(dict.fromkeys(group.env for group in groups)))
    started = [part for group in groups if (part := part_of(group, [x for x in records if x.started]))]
    ended = [part for group in groups if (part := part_of(group, [x for x in records if x.result is not None]))]
    summaries = [summarise(group) for group in ended]
    comparison = {
        "version": proximax_version(),
        "envs": list(dict.fromkeys(group.env for group in ended)),
        "runs": summaries,
        **put_together(summaries, references),
    }
    most = min(LONGEST_CURVE, max(MIN_POINTS, MAX_POINTS // max(len(started), 1)))
    return Contents(
        records=records,
        left_out=left_out,
        groups=groups,
        comparison=comparison,
        curves=[training_curve(group, by_path, most) for group in started],
        diagnostics=[diagnostics_of(group, columns_of(group, by_path), most) for group in started],
        notes=[*notes_on(groups, by_path), *comparison["notes"]],
    )


def read_record(member: Member, left_out: dict[Path, str]) -> RunRecord | None:
    """A run; None for one with a damaged file, which ``left_out`` then has."""
    path = member.path
    try:
        rows = read_metrics(path / METRICS_FILE) if os.path.lexists(path / METRICS_FILE) else []
        result = read_json(path / "result.json", "") if os.path.lexists(path / "result.json") else None
        error = last_line(path / "error.log")
        if result is not None:
            check_result(result, member)
            summarise_curves(rows_of_seeds(rows, member.seeds))
        by_seed = {seed: of_seed for seed, of_seed in columns(rows).items() if seed in member.seeds}
        findings = run_checks(by_seed, member.config)
    except ProximaxError as problem:
        left_out[path] = str(problem)
        return None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as problem:
        text = f"result.json or metrics.jsonl of {path} was not written by a run"
        left_out[path] = f"{text} ({type(problem).__name__}: {problem})"
        return None
    return RunRecord(member, by_seed, result, error, findings)


def part_of(group: Group, records: Sequence[RunRecord]) -> Group | None:
    """A group with only those of its runs that are among ``records``; None where there are none."""
    paths = {record.member.path for record in records}
    members = tuple((member, seeds) for member, seeds in group.members if member.path in paths)
    return group._replace(members=members) if members else None


def columns_of(group: Group, records: Mapping[Path, RunRecord]) -> list[dict[int, Columns]]:
    """The columns of each seed that is taken from each run of a group."""
    return [{seed: records[member.path].columns[seed] for seed in seeds} for member, seeds in group.members]


def training_curve(group: Group, records: Mapping[Path, RunRecord], most: int) -> Curve:
    """The learning curve of a group, as far as all of its runs have got."""
    seeds = [of_seed for run in columns_of(group, records) for of_seed in run.values()]
    nothing = np.full(max(len(of_seed["steps"]) for of_seed in seeds), np.nan)
    returns = [of_seed.get("return_last_100", nothing) for of_seed in seeds]
    return curve_of(group, [of_seed["steps"] for of_seed in seeds], returns, most)


def notes_on(groups: Sequence[Group], records: Mapping[Path, RunRecord]) -> list[str]:
    """What is not shown of runs that were read, and why."""
    notes = [
        f"{shorten(path)}: no update yet, only its settings are shown"
        for path, record in records.items()
        if not record.started
    ]
    for group in groups:
        members = [records[member.path] for member, _ in group.members]
        ended = sum(record.result is not None for record in members)
        name = f"{group.label} on {group.env}"
        if not ended:
            notes.append(f"{name}: no score, as no run has ended")
        elif ended < len(members):
            notes.append(f"{name}: scores of {ended} of {plural(len(members), 'run')}; the others have not ended")
        lengths = [record.steps for record in members if record.started]
        if lengths and min(lengths) < max(lengths):
            notes.append(f"{name}: curves end at {min(lengths):,} steps, where the shortest of its runs has got to")
    taken = {(member.path, seed) for group in groups for member, seeds in group.members for seed in seeds}
    for path, record in records.items():
        if repeated := [seed for seed in record.member.seeds if (path, seed) not in taken]:
            seeds = f"seed{'s' if len(repeated) > 1 else ''} {', '.join(map(str, repeated))}"
            notes.append(f"{shorten(path)}: left out {seeds}, which another run has with the same settings")
    return notes
