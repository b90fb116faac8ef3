"""The figures of a page, and their legends."""

import re

import numpy as np

from proximax.reports.page.pictures import Pictures, draw_curve_panel, draw_diagnostic_panel
from proximax.reports.plots import iqm_band

CURVES = [
    {"env": "X", "label": "clip", "at_steps": [10.0, 20.0], "return": [[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]},
    {"env": "Y", "label": "clip", "at_steps": [10.0, 20.0], "return": [[7.0, 7.0]]},
]
STYLES = {"clip": ("#0072B2", "--")}


def test_a_legend_has_each_label_once_as_text_with_its_line():
    pictures = Pictures()
    legend = pictures.legend(STYLES, ["clip", "clip"])
    assert legend.count("clip</li>") == 1
    assert "stroke: var(--ink-0072b2); stroke-width: 3; stroke-dasharray: 7 4" in pictures.styles.rules()


def test_panels_show_one_environment_and_name_their_axes():
    pictures = Pictures()
    figure = pictures.figure(lambda target: draw_curve_panel(CURVES, "X", (3, 2), STYLES, target), "Curves", "Below")
    assert "return, latest 100 episodes" in figure
    assert ">X<" in figure
    assert ">Y<" not in figure
    assert "<figcaption>Below</figcaption>" in figure
    runs = [
        {
            "env": "X",
            "label": "clip",
            "at_steps": [10.0],
            "panels": {"kl": {x: [0.01] for x in ("median", "low", "high")}},
        }
    ]
    panel = pictures.figure(lambda target: draw_diagnostic_panel(runs, "X", "kl", STYLES, target), "KL")
    assert "KL(old, new), nats" in panel
    assert not set(re.findall(r'\bid="([^"]*)"', figure)) & set(re.findall(r'\bid="([^"]*)"', panel))


def test_the_line_is_the_interquartile_mean_and_one_seed_has_no_band():
    middle, low, high = iqm_band(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 10.0], [100.0, 90.0]]))
    assert middle.tolist() == [2.5, 15.0]  # without the lowest and the highest of four
    assert (low < middle).all()
    assert (middle < high).all()
