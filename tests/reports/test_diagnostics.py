"""Panels of diagnostics: what is in a bin, and that what was not logged is left out."""

import numpy as np

from proximax.config import RunConfig
from proximax.reports.diagnostics import PANELS, diagnostics_of, panels_of, speeds, summarised
from proximax.reports.run_groups import Group, Member


def columns(updates=8, first=0.0, **metrics):
    count = np.arange(1.0, updates + 1)
    return {"update": count, "steps": 100 * count, "time_s": 2 * count + first, **metrics}


def group(*seeds):
    return Group("X-v0", "clip", ((Member("a", RunConfig("X-v0")), seeds),))


def test_a_bin_has_the_median_and_the_ends_of_all_seeds_in_it():
    values = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, np.nan, 7.0, np.inf])]
    assert summarised(values, np.array([0, 2, 4])) == {"median": [2.0, 4.0], "low": [1.0, 3.0], "high": [5.0, 7.0]}
    assert summarised([np.array([np.nan])], np.array([0, 1])) is None
    (median,) = summarised([np.array([np.nan, 1.0])], np.array([0, 1, 2]))["median"][:1]
    assert np.isnan(median)


def test_speed_is_of_all_seeds_of_a_run_together_by_the_time_that_passed():
    """Seeds with 100 steps in 2 s each; a run that waited before its first update is as fast."""
    alone, late = {0: columns(), 1: columns()}, {2: columns(first=60.0)}
    assert speeds([alone], np.array([0, 4, 8]))["median"] == [100.0, 100.0]
    assert speeds([alone, late], np.array([0, 4, 8])) == {"median": [75.0] * 2, "low": [50.0] * 2, "high": [100.0] * 2}
    assert speeds([{0: {"steps": np.arange(3)}}], np.array([0, 3])) is None


def test_a_panel_without_its_metric_is_left_out():
    seeds = {0: columns(kl=np.full(8, 0.01)), 1: columns(kl=np.full(8, 0.03))}
    run = diagnostics_of(group(0, 1), [seeds], bins=4)
    assert run["at_steps"] == [200.0, 400.0, 600.0, 800.0]
    assert run["panels"]["kl"]["median"] == [0.02] * 4
    assert run["panels"]["clip_fraction"] is None
    assert panels_of([run], "X-v0") == ["kl", "steps_per_s"]
    assert panels_of([run], "Y-v0") == []
    assert {"kl", "clip_fraction", "entropy", "explained_variance", "steps_per_s"} == set(PANELS)


def test_a_group_is_shown_as_far_as_all_of_its_seeds_have_got():
    seeds = {0: columns(8, entropy=np.ones(8)), 1: columns(5, entropy=np.ones(5))}
    run = diagnostics_of(group(0, 1), [seeds], bins=100)
    assert run["at_steps"] == [100.0, 200.0, 300.0, 400.0, 500.0]
    assert run["panels"]["entropy"]["high"] == [1.0] * 5
