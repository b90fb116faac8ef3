"""What is read of runs in every state."""

import json

import numpy as np
import pytest

from proximax.errors import CheckpointError, UsageError
from proximax.evaluation.statistics import summarise_returns
from proximax.reports.page.contents import gather_contents
from proximax.reports.reliability import probability_of_improvement
from tests.support.finished_runs import finished_run


def test_scores_are_those_of_the_statistics(contents):
    for run in contents.comparison["runs"]:
        summary = summarise_returns(np.array(run["returns"]))
        assert (run["mean"], run["iqm"], run["ci95"]) == (summary.mean, summary.iqm, summary.ci95)
    pair = next(x for x in contents.comparison["improvement"] if {x["x"], x["y"]} == {"clip", "a2c"})
    clip, a2c = np.array([10.0, 20.0, 30.0]), np.array([1.0, 4.0])
    expected = probability_of_improvement([clip, clip], [a2c, a2c])
    assert (pair["x"], pair["probability"], pair["ci95"]) == ("clip", expected.value, expected.ci95)


def test_a_run_that_is_still_training_has_a_curve_and_no_score(contents):
    curve = next(x for x in contents.curves if x["label"] == "clip" and x["env"] == "probe:choice")
    assert curve["seeds"] == [0, 1, 2, 7]
    scored = next(x for x in contents.comparison["runs"] if x["label"] == "clip" and x["env"] == "probe:choice")
    assert scored["seeds"] == [0, 1, 2]
    assert "clip on probe:choice: scores of 1 of 3 runs; the others have not ended" in contents.notes
    assert any("started: no update yet" in note for note in contents.notes)


def test_speed_is_that_of_the_result_or_of_all_seeds_so_far(contents):
    """Three seeds, 100 steps each in half a second."""
    record = contents.records[0]
    assert record._replace(result=None).speed == record.config.seeds * 200
    assert record._replace(result=record.result | {"steps_per_s": 7}).speed == 7
    assert record._replace(result=None, columns={}).speed is None


def test_a_damaged_run_is_left_out_and_named(contents, runs, capsys):
    ((path, problem),) = contents.left_out.items()
    assert path == runs / "damaged"
    assert "line 1: not a row of metrics" in problem
    assert runs / "damaged" not in [record.member.path for record in contents.records]
    gather_contents([runs])
    assert f"left out: {problem}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "result.json", "error.log"])
@pytest.mark.fault(39)
def test_links_in_a_run_are_not_followed(name, tmp_path):
    """What they lead to would be a run that can be read."""
    whole, linked = (finished_run(tmp_path / part, [1.0, 2.0]) for part in ("whole", "linked"))
    (whole / "error.log").write_text("x\n")
    (linked / name).unlink(missing_ok=True)
    (linked / name).symlink_to(whole / name)
    contents = gather_contents([whole, linked])
    assert [record.member.path for record in contents.records] == [whole]
    assert "symbolic link" in contents.left_out[linked]


@pytest.mark.parametrize(
    "result",
    [{}, {"returns": [1.0]}, {"returns": ["a", "b"], "steps": 1, "wall_s": 1, "stopped_by": ""}, [1], "{"],
)
def test_a_result_that_no_run_wrote_is_one_that_cannot_be_read(result, tmp_path):
    run = finished_run(tmp_path / "run", [1.0, 2.0])
    (run / "result.json").write_text(result if isinstance(result, str) else json.dumps(result))
    with pytest.raises(CheckpointError, match=r"no run can be read; .*run"):
        gather_contents([run])


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is not a run directory"):
        gather_contents([tmp_path])
    run = finished_run(tmp_path / "run", [1.0, 2.0])
    with pytest.raises(UsageError, match="references"):
        gather_contents([run], {"Other-v0": (0, 1)})


def test_a_seed_that_was_trained_twice_counts_once_and_the_report_says_so(tmp_path):
    runs = [finished_run(tmp_path / name, [1.0, 2.0]) for name in ("a", "b")]
    contents = gather_contents(runs)
    assert contents.comparison["runs"][0]["seeds"] == [0, 1]
    assert any("left out seeds 0, 1, which another run has with the same settings" in x for x in contents.notes)
