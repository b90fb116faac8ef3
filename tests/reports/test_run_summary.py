"""The numbers of a group of runs: scores over seeds, curves thinned out, medians of what is there."""

from pathlib import Path

import numpy as np
import pytest

from proximax.reports.run_summary import relative, rounded, rows_of_seeds, summarise_curves, summarise_scores, thin_out


def curve(seed, updates, **changed):
    """Rows of a seed; its return is ten times the update, the KL a hundredth of it."""
    row = {"seed": seed, "beta": 1.0, "ratio_histogram": [1, 0, 2]}
    return [
        row | {"update": i, "steps": 8 * i, "kl": i / 100, "return_last_100": 10.0 * i} | changed
        for i in range(1, updates + 1)
    ]


def test_a_score_is_the_mean_over_seeds_and_none_where_a_seed_has_none():
    scores = summarise_scores([1.0, 2.0, 6.0])
    assert (scores["returns"], scores["mean"]) == ([1.0, 2.0, 6.0], 3.0)
    low, high = scores["ci95"]  # Student's with two degrees of freedom: 4.3027 sqrt(7 / 3)
    assert (low, high) == pytest.approx((3 - 6.5724, 3 + 6.5724), abs=1e-3)
    partial = summarise_scores([1.0, None])
    assert (partial["returns"], partial["mean"], partial["iqm"]) == ([1.0, None], None, None)


def test_curves_go_as_far_as_the_shortest_seed_and_kl_is_the_median_over_seeds():
    curves = summarise_curves([curve(0, 3), curve(1, 2), curve(2, 3, kl=1.0)])
    assert curves["at_steps"] == [8, 16]
    assert curves["return"] == [[10, 20]] * 3
    assert curves["kl"] == [0.01, 0.02]
    assert curves["kl_percentiles"]["50"] == 0.02  # of 0.01, 0.02 and 1, twice each
    assert curves["beta"] is None
    assert curves["ratio_histogram"] == [8, 0, 16]
    assert summarise_curves([curve(0, 2, beta=0.123456789)], beta=True)["beta"] == [[0.12346, 0.12346]]


@pytest.mark.parametrize(("length", "most"), [(1, 100), (2, 2), (100, 100), (101, 100), (100_000, 100)])
def test_thinned_out_curves_keep_both_ends_and_are_even(length, most):
    points = thin_out(length, most)
    assert (points[0], points[-1], len(points)) == (0, length - 1, min(length, most))
    assert np.ptp(np.diff(points)) <= 1 if len(points) > 1 else length == 1


@pytest.mark.parametrize(
    ("x", "kept"), [(None, None), (float("nan"), None), (float("inf"), None), (123456.7, 123460.0), (-1e-9, -1e-9)]
)
def test_numbers_have_five_digits_and_what_is_not_finite_is_none(x, kept):
    assert rounded(x) == kept


def test_rows_are_sorted_out_by_seed_and_those_of_others_left():
    a, b = curve(5, 2), curve(6, 2)
    assert rows_of_seeds([a[0], b[0], curve(7, 1)[0], a[1], b[1]], range(5, 7)) == [a, b]


def test_a_run_within_the_comparison_is_named_from_there():
    assert relative(Path("/x/out/clip"), Path("/x/out")) == "clip"
    assert relative(Path("/x/other/clip"), Path("/x/out")) == "/x/other/clip"
