"""Figures of final scores: what is drawn, at every number of labels and environments. They were looked at."""

import numpy as np
import pytest

from proximax.reports import score_plots
from proximax.reports.aggregation import put_together
from proximax.reports.comparison import figures_of
from proximax.reports.run_summary import summarise_scores


def comparison(labels, envs, seeds):
    rng = np.random.default_rng(0)
    runs = [
        {"env": env, "label": label, "algo": label, **summarise_scores(list(i + rng.normal(size=seeds)))}
        for env in envs
        for i, label in enumerate(labels)
    ]
    return {"envs": list(envs), "runs": runs, **put_together(runs)}


@pytest.mark.parametrize(
    ("labels", "envs", "seeds", "names"),
    [
        (1, 1, 1, "scores"),
        (1, 1, 3, "scores profiles"),
        (2, 1, 1, "scores improvement"),
        (2, 1, 2, "scores improvement profiles"),
        (2, 4, 2, "scores improvement profiles aggregates"),
    ],
)
def test_a_comparison_has_the_figures_that_it_has_numbers_for(labels, envs, seeds, names):
    figures = figures_of(comparison([f"x{i}" for i in range(labels)], [f"E{i}-v0" for i in range(envs)], seeds))
    updates = {"updates"} if envs == 1 else {f"updates-E{i}-v0" for i in range(envs)}
    assert set(figures) == {"returns", *names.split()} | updates


def test_dots_are_outlined_and_equal_scores_are_beside_each_other(monkeypatch):
    np.testing.assert_allclose(score_plots.stacked([1.0, 4.0, 4.0, 4.01, 7.0], 0.1), [0, -0.13, 0, 0.13, 0])
    assert np.ptp(score_plots.stacked([3.0] * 50, 0.0)) <= 0.5
    figures = []
    monkeypatch.setattr(score_plots, "save", lambda figure, _: figures.append(figure))
    runs = [
        {"env": "X-v0", "label": "clip", "algo": "clip", **summarise_scores([1.0, 2.0, 2.0])},
        {"env": "X-v0", "label": "trpo", "algo": "trpo", **summarise_scores([5.0])},
    ]
    score_plots.draw_scores({"envs": ["X-v0"], "runs": runs})
    clip, trpo = (line for line in figures[0].axes[0].lines if line.get_marker() == "o")
    assert len({*zip(clip.get_xdata(), clip.get_ydata())}) == 3
    assert clip.get_markeredgecolor() != clip.get_color()
    assert list(trpo.get_ydata()) == [1]


def test_panels_with_other_labels_name_their_own_rows(monkeypatch):
    figures = []
    monkeypatch.setattr(score_plots, "save", lambda figure, _: figures.append(figure))
    rows = {"X-v0": ["clip", "trpo"], "Y-v0": ["trpo", "clip"], "Z-v0": ["a2c"]}
    runs = [
        {"env": env, "label": label, "algo": label, **summarise_scores([float(len(label))])}
        for env, labels in rows.items()
        for label in labels
    ]
    score_plots.draw_scores({"envs": list(rows), "runs": runs})
    assert [[text.get_text() for text in axis.get_yticklabels()] for axis in figures[0].axes] == list(rows.values())
    score_plots.draw_scores({"envs": ["X-v0", "Y-v0"], "runs": runs[:4]})
    for axis in figures[1].axes:  # the same rows in both: clip with 4 letters, then trpo with 4
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        colours = [line.get_color() for line in sorted(dots, key=lambda line: line.get_ydata()[0])]
        assert colours == [score_plots.line_styles(runs)[label][0] for label in ("clip", "trpo")]


@pytest.mark.slow
@pytest.mark.parametrize(("labels", "envs"), [(1, 2), (7, 5)])
def test_every_figure_is_drawn_with_nothing_outside(labels, envs, tmp_path, monkeypatch):
    """No text leaves the figure."""
    drawn = []

    def measure(figure, _):
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        drawn.append((box.x0 > -0.05, box.y0 > -0.05, box.x1 < width + 0.05, box.y1 < height + 0.05))

    monkeypatch.setattr(score_plots, "save", measure)
    names = [f"clip (learning_rate=0.0003, epsilon=0.{i}, hidden=[64, 64])" for i in range(labels)]
    numbers = comparison(names, [f"my_package:Environment{i}-v0 (length=1.0)" for i in range(envs)], 3)
    for name, draw in figures_of(numbers).items():
        if name in ("scores", "improvement", "profiles", "aggregates"):
            draw(numbers, tmp_path / "x.png")
    assert len(drawn) == (3 if labels == 1 else 4)
    assert np.all(drawn)
