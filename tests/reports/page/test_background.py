"""The sections on what is behind the results."""

from dataclasses import replace

from proximax.doctor import CHECKS
from proximax.doctor.diagnosis import Finding
from proximax.reports.page.background import (
    MACHINE,
    commands_section,
    differences,
    doctor_section,
    evidence_text,
    machine_section,
    settings_of,
    settings_section,
)
from proximax.reports.page.contents import gather_contents
from proximax.runtime import machine_facts
from tests.support.finished_runs import HOSTILE, finished_run


def test_a_finding_is_said_once_with_the_runs_that_have_it(contents):
    first, second, *rest = contents.records
    found = [Finding("kl-spikes", CHECKS["kl-spikes"], {0: f"KL {HOSTILE}"})]
    records = [first._replace(findings=found), second._replace(findings=found), *rest]
    body = doctor_section(contents._replace(records=records), None).body
    assert body.count("Cause") == body.count(CHECKS["kl-spikes"].cause) == 1
    assert body.count("seed 0: KL") == 2
    assert HOSTILE not in body
    nothing = [record._replace(findings=[]) for record in contents.records]
    assert f"{len(CHECKS)} checks" in doctor_section(contents._replace(records=nothing), None).body


def test_evidence_of_many_seeds_is_cut():
    assert evidence_text(dict.fromkeys(range(6), "x")).endswith("seed 3: x; and 2 more")


def test_what_differs_is_in_a_table_and_the_rest_is_listed_once(tmp_path):
    runs = [finished_run(tmp_path / name, [1.0], algo=name) for name in ("clip", "trpo")]
    body = settings_section(gather_contents(runs), None).body
    differing, shared = body.split("The same in all runs")
    assert '<th scope="row">algo</th><td>clip</td><td>trpo</td>' in differing
    assert "ppo.gamma" not in differing
    assert shared.count("ppo.gamma") == 1
    assert "<b>probe:choice</b>" not in shared  # the environment is not a default that was changed


def test_runs_of_a_group_that_differ_in_what_changes_nothing_are_both_shown():
    table = differences(["eval_every"], [("clip", [{"eval_every": "1"}, {"eval_every": "2"}, {"eval_every": "1"}])])
    assert "1 or 2" in table


def test_every_setting_has_its_dotted_name(contents):
    config = replace(contents.records[0].config, env_kwargs={"size": [1, 2]})
    settings = settings_of(config)
    assert settings["env_kwargs.size"] == "[1, 2]"
    assert settings["ppo.lam"] == "0.95"
    assert settings["algo"] == config.algo


def test_the_machine_of_each_run_is_shown_and_what_was_not_recorded_is_not_made_up(contents):
    assert set(MACHINE) == {"proximax", *machine_facts()}
    facts = machine_facts() | {"processor": "Fast One"}
    record = contents.records[0]._replace(result={"version": "9.9", "machine": facts})
    body = machine_section(contents._replace(records=[record]), None).body
    assert "Fast One" in body
    assert "9.9" in body
    assert "all runs" in body
    assert "not recorded" not in body
    assert "not recorded" in machine_section(contents._replace(records=[record._replace(result=None)]), None).body
    everything = machine_section(contents, None).body
    assert HOSTILE not in everything
    assert "&lt;script&gt;" in everything


def test_every_run_has_its_command_or_the_reason_for_none(contents):
    first, *rest = contents.records
    custom = first.member._replace(config=replace(first.config, algo="custom:mine"))
    body = commands_section(contents._replace(records=[first._replace(member=custom), *rest]), None).body
    assert "proximax train probe:choice" in body
    assert body.count("Only from Python") == 1
    assert HOSTILE not in body
