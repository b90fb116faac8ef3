"""The figures of training: bands; and that what is drawn can be drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from proximax.evaluation.statistics import summarise_returns
from proximax.ppo.update import RATIO_EDGES
from proximax.reports.plots import band, draw_returns, draw_updates


def run(algo, **other):
    return {
        "env": "X-v0", "label": algo, "algo": algo, "mean": 5.0, "epsilon": None, "kl_bound": None,
        "at_steps": [100, 200, 300],
        "return": [[None, 1.0, 2.0], [0.5, 1.5, 2.5]], "kl": [0.01, 0.0, 0.02], "beta": None,
        "ratio_histogram": [1] * (len(RATIO_EDGES) + 1),
    } | other  # fmt: skip


def test_the_band_is_the_mean_and_its_interval_at_every_point():
    curves = np.random.default_rng(0).normal(size=(8, 5)) + np.arange(5)
    middle, low, high = band(curves)
    np.testing.assert_allclose(middle, curves.mean(axis=0))
    for i in range(5):
        np.testing.assert_allclose((low[i], high[i]), summarise_returns(curves[:, i]).ci95)
    for one in band(curves[:1]):  # one seed: no width
        np.testing.assert_array_equal(one, curves[0])
    assert (low <= middle).all()
    assert (middle <= high).all()


@pytest.mark.slow
@pytest.mark.parametrize("algos", [["clip"], ["clip", "penalty", "trpo", "custom:x"]])
def test_pictures_are_drawn_with_gaps_zeros_and_without_a_penalty(algos, tmp_path):
    special = {"penalty": {"beta": [[1.0, 2.0, 1.0]] * 2, "kl_bound": 0.01}, "clip": {"epsilon": 0.2}}
    comparison = {"envs": ["X-v0"], "runs": [run(algo, **special.get(algo, {})) for algo in algos]}
    draw_returns(comparison, tmp_path / "a.png")
    draw_updates(comparison, tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        pixels = plt.imread(tmp_path / name)
        assert pixels.shape[0] > 300
        assert len(np.unique(pixels[::9, ::9].reshape(-1, pixels.shape[-1]), axis=0)) > 20  # not blank
