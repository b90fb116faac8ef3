"""What a comparison is going to train, where, and how it says so."""

import json
from pathlib import Path

import pytest

from proximax.cli.dispatch import main
from proximax.errors import CheckpointError, StorageError, UsageError
from proximax.reports.comparison import compare, plan_comparison
from proximax.reports.training_plan import announcement, seeds_text, variants_of
from tests.support.finished_runs import finished_run

SMALL = {"steps": 512, "num_steps": 32, "minibatch_size": None, "epochs": 1}


def planned(env=("probe:choice",), algos=("clip",), runs=(), out=None, **settings):
    return plan_comparison(list(env), algos, runs, {"seeds": 2} | SMALL | settings, out, None)


def test_each_environment_has_a_folder_where_there_are_several():
    one = variants_of(["probe:choice"], ["clip", "trpo"], 2, None, SMALL)
    assert [str(variant.folder) for variant in one] == ["clip", "trpo"]
    two = variants_of(["probe:choice", "probe:matching"], ["clip"], 2, None, SMALL)
    assert [str(variant.folder) for variant in two] == ["probe-choice/clip", "probe-matching/clip"]
    with pytest.raises(UsageError, match="the environment probe:choice is named twice"):
        variants_of(["probe:choice", "probe:choice"], ["clip"], 2, None, SMALL)


def test_the_same_arguments_have_the_same_directory_and_others_another(tmp_path):
    names = [planned(**given).directory.name for given in ({}, {}, {"algos": ["trpo"]}, {"gamma": 0.9}, {"seeds": 3})]
    assert names[0] == names[1]
    assert len(set(names)) == 4
    assert names[0].startswith("probe-choice-compare-")
    several = planned(env=["probe:choice", "probe:matching"])
    assert several.directory.name.startswith("probe-choice-and-1-compare-")
    runs = plan_comparison(None, None, [finished_run(tmp_path / "run", [1.0])], {}, None, None)
    assert runs.directory.name.startswith("compare-")


def test_what_is_trained_continued_and_taken_is_said(tmp_path):
    out = tmp_path / "out"
    old = finished_run(tmp_path / "old", [1.0, 2.0], algo="trpo", steps=9000)
    plan = planned(algos=["clip", "penalty", "npg"], runs=[old], out=out)
    for name, ended in (("penalty", False), ("npg", True)):
        (out / name).mkdir(parents=True)
        config = next(variant.config for variant, _ in plan.trainings if variant.label == name)
        (out / name / "config.json").write_text(json.dumps(config.to_json()))
        if ended:
            (out / name / "result.json").write_text("{}")
    plan = planned(algos=["clip", "penalty", "npg"], runs=[old], out=out)
    lines = announcement(plan.groups, plan.states, Path("out")).splitlines()
    assert lines[:2] == [
        "compare: 1 to train, 1 to continue, 1 finished before, 1 given; results in out",
        "probe:choice",
    ]
    assert [line.split()[0] for line in lines[2:]] == ["train", "continue", "finished", "given"]
    assert lines[2].startswith("  train     clip: seeds 0 to 1, 512 steps each  ")
    assert "kl_control=beta" in lines[3]
    assert f"  from {old}  " in lines[5]
    assert "steps=9000" in lines[5]


def test_a_run_of_the_comparison_that_is_given_too_is_one_run(tmp_path):
    out = tmp_path / "out"
    config = planned(out=out).trainings[0][0].config
    finished_run(out / "clip", [1.0, 2.0])
    (out / "clip" / "config.json").write_text(json.dumps(config.to_json()))
    plan = planned(runs=[out], out=out)
    assert [len(group.members) for group in plan.groups] == [1]
    assert list(plan.states.values()) == ["finished"]
    (out / "clip" / "config.json").write_text(json.dumps(config.to_json() | {"steps": 7}))
    with pytest.raises(StorageError, match="other settings"):
        planned(out=out)


def test_seeds_are_said_shortly():
    assert [seeds_text(seeds) for seeds in ([3], [0, 1, 2], [0, 2])] == ["seed 3", "seeds 0 to 2", "seeds 0, 2"]


def test_a_run_that_has_not_ended_is_refused_if_named_and_else_left_out(tmp_path, caplog):
    finished_run(tmp_path / "a", [1.0])
    unfinished = finished_run(tmp_path / "b", [1.0], seed=1)
    (unfinished / "result.json").unlink()
    with pytest.raises(CheckpointError, match="b has not ended, so it has no score: proximax train --resume"):
        plan_comparison(None, None, [tmp_path / "a", unfinished], {}, None, None)
    assert plan_comparison(None, None, [tmp_path], {}, None, None).groups[0].seeds == [0]
    assert "left out" in caplog.text
    (tmp_path / "a" / "result.json").unlink()
    with pytest.raises(CheckpointError, match="no finished run to compare"):
        plan_comparison(None, None, [tmp_path], {}, None, None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "there is no finished run to compare"),
        ({"algos": ["clip"]}, "algos: only for training, but no environment"),
        ({"steps": 7, "seeds": 3}, "seeds, steps: only for training"),
        ({"env": "probe:choice", "seeds": 0}, "seeds = 0"),
        ({"env": Path("probe")}, r"env = PosixPath\('probe'\): is a directory; runs that exist are given as runs="),
        ({"env": ["probe:choice", 7]}, "env = 7: must be an id"),
        ({"env": "probe:choice", "formats": ["gif"]}, "formats = "),
        ({"env": "probe:choice", "references": {"probe:other": (0, 1)}}, "which is not compared"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(arguments, text, tmp_path):
    with pytest.raises((UsageError, CheckpointError), match=text):
        compare(out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_environment_that_cannot_be_made_is_named_before_others_are_trained(tmp_path, capsys):
    arguments = ["compare", "probe:choice", "Missing-v0", "--algos", "clip", "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*arguments, "--steps", "512", "--ppo.num-steps", "32", "--ppo.minibatch-size", "64"]) == 2
    assert "Missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
