"""The sections of a report on what is behind the results: the doctor, settings, the machine, commands."""

import json
from collections.abc import Sequence
from typing import Any

from proximax.config import RunConfig, flatten_dict
from proximax.doctor import CHECKS
from proximax.reports.page.contents import Contents, RunRecord
from proximax.reports.page.markup import Markup, Section, html_table, join, tag
from proximax.reports.page.pictures import Pictures
from proximax.reports.reproduction import command_of
from proximax.reports.run_groups import value_text
from proximax.reports.tables import Table
from proximax.runtime import shorten

COLUMNS = 4  # groups beside each other in a table
DIGITS = 12  # of numbers
EVIDENCE = 4  # seeds of a finding in a run
MACHINE = {
    "proximax": "proximax",
    "python": "Python",
    "jax": "JAX",
    "jaxlib": "jaxlib",
    "numpy": "NumPy",
    "optax": "Optax",
    "gymnasium": "Gymnasium",
    "system": "system",
    "processor": "processor",
    "cores": "cores",
    "devices": "devices",
}
UNKNOWN = "not recorded"
SEEDS = ("seed", "seeds")  # which the table of runs has


def doctor_section(contents: Contents, _: Pictures) -> Section:
    """Each finding once, with the runs that have it."""
    body = []
    for name, check in CHECKS.items():
        entries = [
            tag("li", tag("b", shorten(record.member.path)), ": ", evidence_text(finding.evidence))
            for record in contents.records
            for finding in record.findings
            if finding.name == name
        ]
        if entries:
            title = tag("h3", tag("span", check.severity, class_=f"badge {check.severity}"), " ", name)
            about = join([tag("p", tag("b", "Cause: "), check.cause), tag("p", tag("b", "Remedy: "), check.remedy)])
            body.append(tag("div", title, about, tag("ul", join(entries), class_="notes"), class_="finding"))
    if not body:
        body = [tag("p", f"{len(CHECKS)} checks of each run found nothing.")]
    return Section("doctor", "Doctor", join(body))


def evidence_text(evidence: dict[int, str]) -> str:
    """What was seen, of the first seeds that have it."""
    shown = [f"seed {seed}: {text}" for seed, text in list(evidence.items())[:EVIDENCE]]
    more = len(evidence) - EVIDENCE
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def settings_section(contents: Contents, _: Pictures) -> Section:
    """What differs between the groups of runs, and what is the same in all."""
    by_path = {record.member.path: settings_of(record.config) for record in contents.records}
    names = [name for name in dict.fromkeys(name for of in by_path.values() for name in of) if name not in SEEDS]
    values = {name: list(dict.fromkeys(of.get(name, "") for of in by_path.values())) for name in names}
    body: list[Markup] = []
    if different := [name for name in names if len(values[name]) > 1]:
        groups = [
            (f"{group.label}, {group.env}", [by_path[member.path] for member, _ in group.members])
            for group in contents.groups
        ]
        body.append(tag("h3", "What differs"))
        body += [differences(different, groups[i : i + COLUMNS]) for i in range(0, len(groups), COLUMNS)]
        body.append(tag("h3", "The same in all runs"))
    defaults = settings_of(RunConfig(contents.records[0].config.env))
    entries = [
        tag(
            "li", tag("span", name), " ", tag("b" if defaults.get(name) != values[name][0] else "span", values[name][0])
        )
        for name in names
        if len(values[name]) == 1
    ]
    note = tag("p", "Bold: not the default.", class_="note")
    return Section("settings", "Settings", join([*body, tag("ul", join(entries), class_="settings"), note]))


def settings_of(config: RunConfig) -> dict[str, str]:
    """Every setting under its dotted name, as text."""
    flat = flatten_dict(json.loads(json.dumps(config.to_json())))
    return {name: value_text(value, DIGITS) for name, value in flat.items()}


def differences(names: Sequence[str], groups: Sequence[tuple[str, list[dict[str, str]]]]) -> Markup:
    """A table of settings, with a column for each of some groups."""
    rows = [
        (name, *(" or ".join(dict.fromkeys(of.get(name, "not set") for of in runs)) for _, runs in groups))
        for name in names
    ]
    return html_table(Table(("setting", *(title for title, _ in groups)), rows, texts=1 + len(groups)))


def machine_section(contents: Contents, _: Pictures) -> Section:
    """On what runs were computed, and with which versions: a column for each combination."""
    combinations: dict[tuple[str, ...], list[str]] = {}
    for record in contents.records:
        combinations.setdefault(facts_of(record), []).append(shorten(record.member.path))
    columns = list(combinations)
    heads = [", ".join(runs) if len(columns) > 1 else "all runs" for runs in combinations.values()]
    rows = [(title, *(facts[i] for facts in columns)) for i, title in enumerate(MACHINE.values())]
    note = f"This report is of proximax {contents.comparison['version']}."
    body = [html_table(Table(("", *heads), rows, texts=1 + len(heads))), tag("p", note, class_="note")]
    return Section("machine", "Machine and versions", join(body))


def facts_of(record: RunRecord) -> tuple[str, ...]:
    """The values of ``MACHINE`` of a run, which has them once it has ended."""
    result: dict[str, Any] = record.result or {}
    machine = result.get("machine")
    facts = {"proximax": result.get("version", UNKNOWN), **(machine if isinstance(machine, dict) else {})}
    values = [facts.get(name, UNKNOWN) for name in MACHINE]
    return tuple(", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values)


def commands_section(contents: Contents, _: Pictures) -> Section:
    """The command that trains each run again."""
    entries = []
    for record in contents.records:
        path, command = shorten(record.member.path), command_of(record.config)
        if command is None:
            name = "its environment, algorithm or arguments are Python objects"
            body = tag("p", f"Only from Python: {name}. Settings: config.json in the run's directory.")
        else:
            body = tag("pre", tag("code", command))
        entries.append(join([tag("h3", path), body]))
    note = "With the same versions on the same CPU they train the same policies, to the bit."
    return Section("commands", "Train them again", join([tag("p", note, class_="note"), *entries]))
