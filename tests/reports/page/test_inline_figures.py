"""Figures within the page: nothing is loaded, nothing clashes, colours follow the page."""

import re
from xml.etree import ElementTree

import pytest

from proximax.reports.figures import COLOURS, InPage, drawing, save
from proximax.reports.page.inline_figures import SHADES, StyleSheet, colour_rules, figure


@pytest.fixture(scope="module")
def drawn():
    """A line, a band and a label that would be markup."""
    target = InPage()
    with drawing(2, 2) as canvas:
        axis = canvas.subplots()
        axis.plot([0, 1], [0, 1 / 3], color=COLOURS["clip"], marker="o")
        axis.set_title("a < b & <script>")
        save(canvas, [target])
    return target


def test_its_text_is_text_and_its_markup_is_escaped(drawn):
    markup = figure(drawn, "one", 'A "line"', StyleSheet())
    assert "a &lt; b &amp; &lt;script&gt;" in markup
    assert "<script" not in markup
    assert 'aria-label="A &quot;line&quot;"' in markup
    svg = ElementTree.fromstring(re.search("<svg.*</svg>", markup, re.DOTALL)[0])
    assert svg.get("width") is None


def test_it_names_no_address_no_style_attribute_and_no_background(drawn):
    markup = figure(drawn, "one", "x", StyleSheet())
    assert not re.search(r"http|xmlns|style=|<metadata|<style|#ffffff", markup)
    assert not re.search(r"\d\.\d{3}", markup)


def test_two_figures_share_styles_but_no_names(drawn):
    styles = StyleSheet()
    first = figure(drawn, "one", "x", styles)
    rules = styles.rules()
    second = figure(drawn, "two", "x", styles)
    assert styles.rules() == rules
    ids = [set(re.findall(r'\bid="([^"]*)"', markup)) for markup in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for markup, own in zip((first, second), ids):
        used = re.findall(r'(?:href="#|url\(#)([^")]*)', markup)
        assert used
        assert set(used) == own


def test_every_colour_of_a_figure_is_one_of_the_page(drawn):
    styles = StyleSheet()
    figure(drawn, "one", "x", styles)
    assert not re.search(r"#[0-9a-f]{6}", styles.rules())
    assert "var(--ink-0072b2)" in styles.rules()
    for colour in (*COLOURS.values(), "#000000"):
        light, dark = SHADES[colour.lower()]
        assert f"--ink-{colour[1:].lower()}: light-dark({light}, {dark})" in colour_rules()


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_of_data_stand_out_from_the_page(scheme):
    """WCAG 2.1, 1.4.11, asks for 3:1 of graphics; Okabe and Ito's yellow and sky blue have 2:1 on white."""
    page = ("#ffffff", "#12161f")[scheme]
    ratios = {name: contrast(SHADES[colour.lower()][scheme], page) for name, colour in COLOURS.items()}
    assert min(ratios.values()) > (2, 5)[scheme]


def contrast(first, second):
    """The ratio of WCAG 2.1 of two colours."""
    light, dark = sorted(map(luminance, (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear))
