"""Final scores of several algorithms put together over environments, and how tables say it."""

import json
from pathlib import Path

import numpy as np
import pytest

from proximax.errors import UsageError
from proximax.reports.aggregation import EXTREMES, check_references, put_together
from proximax.reports.run_summary import summarise_scores
from proximax.reports.tables import aggregate_table, improvement_table, table


def run(env, label, returns):
    extra = {"kl_percentiles": {"50": 0.01, "95": None}, "steps": 1000, "stopped_by": "steps", "wall_s": 3.2}
    return {"env": env, "label": label, "algo": label, **summarise_scores(returns), **extra}


# On X the scores are 0 to 10, on Y -100 to 100.
RUNS = [
    run("X", "clip", [5.0, 10.0]),
    run("X", "trpo", [0.0, 5.0]),
    run("Y", "clip", [100.0, 0.0]),
    run("Y", "trpo", [-100.0, 0.0]),
]


def page(runs, references=None):
    envs = list(dict.fromkeys(x["env"] for x in runs))
    return {"version": "0", "envs": envs, "runs": runs, **put_together(runs, references)}


def test_scores_are_normalised_by_the_extremes_of_all_runs():
    comparison = page(RUNS)
    assert comparison["normalisation"] == {"by": EXTREMES, "bounds": {"X": [0, 10], "Y": [-100, 100]}}
    aggregates = comparison["aggregates"]
    assert set(aggregates["clip"]) == {"iqm", "median", "mean"}  # no optimality gap
    # Normalised: clip [0.5, 1], [1, 0.5]; trpo [0, 0.5], [0, 0.5].
    assert [aggregates[label]["mean"]["value"] for label in ("clip", "trpo")] == [0.75, 0.25]
    low, high = aggregates["clip"]["mean"]["ci95"]
    assert low < 0.75 < high


def test_scores_are_normalised_by_references():
    comparison = page(RUNS, {"X": (0, 20), "Y": (-100, 300)})
    assert comparison["normalisation"]["by"] == "reference scores"
    # clip [0.25, 0.5], [0.5, 0.25].
    assert comparison["aggregates"]["clip"]["mean"]["value"] == 0.375
    assert comparison["aggregates"]["clip"]["optimality_gap"]["value"] == 0.625


def test_improvement_is_of_each_pair_the_better_one_first():
    (pair,) = page(RUNS)["improvement"]
    # X: (5 > 0) + (5 = 5) / 2 + 2 of 4 = 3.5 / 4; Y: 1 + 1 + 1 + 1/2 of 4.
    assert (pair["x"], pair["y"], pair["envs"], pair["probability"]) == ("clip", "trpo", ["X", "Y"], 0.875)
    assert page(list(reversed(RUNS)))["improvement"][0]["x"] == "clip"
    assert page(RUNS[:1])["improvement"] == []


def test_a_profile_steps_at_every_score():
    profile = page(RUNS)["profiles"]
    curve = profile["curves"]["clip"]
    assert profile["tau"] == pytest.approx([-0.02, 0, 0.5, 1, 1.02])
    assert curve["fraction"] == [1, 1, 0.5, 0, 0]
    assert len(curve["low"]) == 5
    single = page([run("X", "clip", [3.0])])
    assert single["profiles"]["curves"]["clip"]["low"] is None
    assert (single["normalisation"], single["aggregates"]) == (None, None)


def test_what_is_left_out_is_said():
    equal = [run("Z", label, [1.0, 1.0]) for label in ("clip", "trpo")]
    comparison = page([*RUNS, *equal])
    assert list(comparison["normalisation"]["bounds"]) == ["X", "Y"]
    assert "Z: all scores are equal, left out of the aggregates" in comparison["notes"]
    partial = page([*RUNS, run("X", "npg", [4.0, None])])
    assert list(partial["aggregates"]) == ["clip", "trpo"]
    assert "npg on X: no score, as not all evaluation episodes ended" in partial["notes"]
    assert "npg: not on all environments, left out of profiles and aggregates" in partial["notes"]
    several = page([*RUNS[:3], run("Y", "trpo", [1.0, 2.0, 3.0])])
    assert any(note.startswith("numbers of seeds differ") for note in several["notes"])
    nothing = page([run("X", "clip", [None])])
    assert (nothing["profiles"], nothing["aggregates"], nothing["normalisation"]) == (None, None, None)


def test_the_page_has_every_environment_and_what_is_said_of_all():
    text = table(page(RUNS))
    assert text.startswith("# 2 environments\n")
    assert "## X" in text
    assert "| clip | 2 | 7.50 (-24.3 to 39.3) | 7.50 | 5 | 0.01 (n/a) | 1,000 | 3 s |" in text
    assert f"Scores are normalised by {EXTREMES}: 0 and 1 are X 0 and 10, Y -100 and 100." in text
    assert "| trpo | 0.25 (" in text
    assert "| clip | trpo | 0.88 (" in text
    json.dumps(page(RUNS), allow_nan=False)
    one = table(page([run("X", "clip", [None])]))
    assert one.startswith("# X\n")
    assert "| clip | 1 | n/a | n/a | n/a |" in one


def test_equal_scores_on_one_environment_are_shown():
    comparison = page([run("X", "clip", [1.0, 1.0]), run("X", "trpo", [1.0, 1.0])])
    assert comparison["improvement"][0]["probability"] == 0.5
    assert np.ptp(comparison["profiles"]["tau"]) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("references", "text"),
    [
        (7, "must be a dict"),
        ({"X": (0, 1)}, "references lacks Y"),
        ({"X": (0, 1), "Z": (0, 1)}, "'Z', which is not compared; compared: X, Y"),
        ({"X": 3, "Y": (0, 1)}, r"X = 3: must be \(low, high\)"),
        ({"X": "01", "Y": (0, 1)}, r"X = '01': must be \(low, high\)"),
        ({"X": (1, 1), "Y": (0, 1)}, "must be below the second"),
        ({"X": (0, float("nan")), "Y": (0, 1)}, "a score of X = nan"),
        ({"X": (0, "1"), "Y": (0, 1)}, "a score of X = 1: must be a number"),
    ],
)
def test_wrong_references_are_refused(references, text):
    with pytest.raises(UsageError, match=text):
        check_references(references, ["X", "Y"])
    check_references(None, ["X"])
    check_references({"X": (0, np.float32(1))}, ["X"])


def test_the_page_names_its_intervals_as_the_guide_does():
    guide = " ".join((Path(__file__).parents[2] / "docs" / "guides" / "compare.md").read_text().split())
    pair = {"x": "a", "y": "b", "probability": 0.5, "ci95": None}
    aggregates = {
        "aggregates": {"a": {"mean": {"value": 1.0, "ci95": None}}},
        "normalisation": {"by": "x", "bounds": {}},
    }
    for lines in (improvement_table([pair]), aggregate_table(aggregates)):
        method = " ".join(lines).partition("95 % intervals: ")[2].partition(".")[0]
        assert len(method) > 50
        assert method in guide
