"""The figures of training: bands; and that what is drawn can be drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from proximax.evaluation.statistics import summarise_returns
from proximax.ppo import RATIO_EDGES
from proximax.reports import plots
from proximax.reports.plots import add_legend, draw_returns, draw_updates, iqm_band, legend_title, mean_band, wrapped


def run(algo, **other):
    return {
        "env": "X-v0", "label": algo, "algo": algo, "mean": 5.0, "epsilon": None, "kl_bound": None,
        "at_steps": [100, 200, 300],
        "return": [[None, 1.0, 2.0], [0.5, 1.5, 2.5]], "kl": [0.01, 0.0, 0.02], "beta": None,
        "ratio_histogram": [1] * (len(RATIO_EDGES) + 1),
    } | other  # fmt: skip


def test_the_band_is_the_mean_and_its_interval_at_every_point():
    curves = np.random.default_rng(0).normal(size=(8, 5)) + np.arange(5)
    middle, low, high = mean_band(curves)
    np.testing.assert_allclose(middle, curves.mean(axis=0))
    for i in range(5):
        np.testing.assert_allclose((low[i], high[i]), summarise_returns(curves[:, i]).ci95)
    for one in (*mean_band(curves[:1]), *iqm_band(curves[:1])):  # one seed: no width
        np.testing.assert_array_equal(one, curves[0])
    assert (low <= middle).all()
    assert (middle <= high).all()


def figure_of_returns(runs, monkeypatch):
    """The figure of these runs, not written."""
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, _: figures.append(figure))
    draw_returns({"envs": ["X-v0"], "runs": runs}, None)
    return figures[0]


def test_a_run_of_one_update_is_a_dot_with_its_interval(monkeypatch):
    points = [run("clip", at_steps=[100], **{"return": [[1.0], [2.0]]}), run("trpo", **{"return": [[1.0, 2.0, 3.0]]})]
    figure = figure_of_returns(points, monkeypatch)
    (axis,) = figure.axes
    assert [line.get_marker() for line in axis.lines] == ["o", "None"]
    ((low, high),) = (bar.get_segments()[0][:, 1] for bar in axis.collections if hasattr(bar, "get_segments"))
    assert low < 1 < 2 < high


def test_a_panel_without_a_finished_episode_says_so(monkeypatch):
    figure = figure_of_returns([run("clip", at_steps=[100], **{"return": [[None]]})], monkeypatch)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no episode has ended"]


def test_only_several_seeds_have_an_interval_in_the_legend(monkeypatch):
    assert legend_title("3 seeds") == "Mean over 3 seeds, 95 % interval"
    one = [run("clip", **{"return": [[1.0, 2.0, 3.0]]})]
    assert figure_of_returns(one, monkeypatch).legends[0].get_title().get_text() == "1 seed"


def test_long_labels_are_wrapped_not_cut():
    label = "clip (learning_rate=0.000123, num_steps=128, gamma=0.99, hidden=[64, 64], epsilon=0.1) " + "x" * 70
    figure = plt.figure()
    add_legend(figure, {label: plt.Line2D([0], [0])})
    (text,) = (text.get_text() for text in figure.legends[0].get_texts())
    plt.close(figure)
    assert max(map(len, text.split("\n"))) <= plots.LEGEND
    assert text.replace("\n", "").replace(" ", "") == label.replace(" ", "")
    assert wrapped("a b", 10) == "a b"


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
