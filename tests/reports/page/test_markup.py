"""HTML that only its writer can make more than text."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximax.reports.page.markup import LONGEST, Markup, Section, document, html_table, tag, text
from proximax.reports.tables import Table


class Tags(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@given(st.text(max_size=60))
def test_any_text_is_shown_and_nothing_else(value):
    parsed = Tags(tag("p", value, title=value))
    assert [name for name, _ in parsed.tags] == ["p"]
    if value.isprintable():
        assert (parsed.text, parsed.tags[0][1]["title"]) == (value, value)


@pytest.mark.parametrize("value", ["\x1b[31m", "a\u202eb", "\udc80", "\x00"])
def test_characters_that_are_obeyed_or_no_text_are_escaped(value):
    assert text(value).encode().isascii()
    assert not set(text(value)) & set(value) - set("[31mab")


def test_markup_is_kept_and_long_text_is_cut():
    assert tag("p", tag("b", "a<b"), " & ", 3) == "<p><b>a&lt;b</b> &amp; 3</p>"
    assert len(text("x" * 10**6)) == LONGEST + 3
    assert tag("td", "", class_="number", aria_label="x") == '<td class="number" aria-label="x"></td>'


def test_a_table_names_its_rows_and_aligns_its_numbers():
    parsed = Tags(html_table(Table(("run", "mean"), [("a", "1"), ("b", "2")]), "Scores"))
    cells = [(name, attributes.get("class")) for name, attributes in parsed.tags if name in ("td", "th")]
    assert cells == [("th", None), ("th", "number"), *[("th", None), ("td", "number")] * 2]
    assert parsed.text == "Scoresrunmeana1b2"


def test_the_policy_allows_the_one_style_and_nothing_else():
    page = document("A & B", tag("h1", "A"), [Section("a", "First", tag("p", "x"))], "p { color: red }\n")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "<title>A &amp; B</title>" in page
    assert '<a href="#first">' not in page
    assert '<a href="#a">First</a>' in page
    assert '<section id="a"><h2>First</h2><p>x</p></section>' in page


def test_only_markup_is_markup():
    assert isinstance(tag("p", Markup("<b>x</b>") + "<i>"), Markup)
    assert tag("p", Markup("<b>x</b>") + "<i>") == "<p>&lt;b&gt;x&lt;/b&gt;&lt;i&gt;</p>"
