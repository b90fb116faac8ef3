"""A report as a user gets it: one file, which loads nothing, and in which no run can put more than text."""

import re

import pytest

import proximax
from proximax.errors import UsageError
from proximax.reports.page.writing import SECTIONS, figures_of, latex_tables, title_of
from tests.support.browser import Browser, chromium
from tests.support.finished_runs import HOSTILE, finished_run

MEGABYTE = 10**6


def test_the_page_loads_nothing_and_names_no_address(page):
    assert not re.search(r"https?:|//|@import|url\((?!#)", page)
    tags = " ".join(re.findall(r"<[^>]*>", page))
    assert not re.search(r"<(script|link|img|iframe|object|embed|base|form)|\bsrc=|\bon\w+=", tags)
    assert "default-src 'none'" in page
    assert set(re.findall(r'\bhref="(.)', page)) == {"#"}


def test_hostile_names_and_settings_are_text(page):
    assert page.count("alert(1)") == page.count("&lt;script&gt;alert(1)&lt;") > 3
    assert HOSTILE not in page


def test_every_section_is_there_and_in_the_list_of_contents(page):
    names = re.findall(r'<section id="([^"]*)"', page)
    assert names == ["runs", "curves", "scores", "together", "diagnostics", "doctor", "settings", "machine", "commands"]
    assert len(names) == len(SECTIONS)
    assert re.findall(r'<a href="#([^"]*)"', page) == names


def test_the_names_of_its_figures_are_used_once(page):
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(ids)
    assert page.count('role="img"') == 2 + 1 + 3 + 2 * 5  # curves, scores, the comparison, diagnostics


def test_the_title_names_a_few_environments_or_counts_them(contents):
    assert title_of(contents) == "probe:choice, probe:matching"
    groups = [contents.groups[0]._replace(env=f"X-v{i}") for i in range(5)]
    assert title_of(contents._replace(groups=groups)) == "5 environments"


def test_tables_in_latex_need_no_package_and_obey_no_name(contents):
    text = latex_tables(contents)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(contents.comparison["envs"]) + 2
    assert {"toprule", "<script>"} & set(re.findall(r"\w+|<script>", text)) == set()
    assert all(row.count(" & ") in (2, 3, 7) for row in rows)
    assert r"20 (-4.84 to 44.8)" in text
    assert r"95 \% interval" in text


def test_the_figures_beside_the_page_are_those_that_there_is_enough_for(contents):
    names = list(figures_of(contents))
    assert names[:5] == ["returns", "scores", "improvement", "profiles", "aggregates"]
    assert names[5:7] == ["diagnostics-1-probe-choice", "diagnostics-2-probe-matching"]


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (["a"], {"out": "x.pdf"}, "must end in .html"),
        ([], {}, "must be a list of runs"),
        ("run", {}, "list of runs"),
        (["a"], {"files": 3}, "files"),
        (["a"], {"out": ""}, "empty"),
    ],
)
def test_wrong_arguments_are_refused(given, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        proximax.report(given, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_files_beside_the_page_are_figures_and_tables_and_the_page_is_the_same_each_time(tmp_path):
    runs = [finished_run(tmp_path / name, [1.0, 2.0, 3.0], algo=name) for name in ("clip", "trpo")]
    first = proximax.report(runs, tmp_path / "a.html", files=tmp_path / "deep" / "beside").read_bytes()
    assert proximax.report(runs, tmp_path / "a.html").read_bytes() == first  # replaced
    names = {path.name for path in (tmp_path / "deep" / "beside").iterdir()}
    figures = {"returns", "scores", "improvement", "profiles", "diagnostics-1-probe-choice"}
    assert names == {f"{name}.{ending}" for name in figures for ending in ("svg", "png")} | {"tables.md", "tables.tex"}
    assert "| clip | 3 | 2 (-0.484 to 4.48) |" in (tmp_path / "deep" / "beside" / "tables.md").read_text()


@pytest.mark.slow
def test_a_report_of_twenty_runs_of_many_updates_is_below_two_megabytes(tmp_path):
    for i in range(20):
        finished_run(tmp_path / f"run-{i}", [1.0, 2.0, 3.0], updates=160, ppo={"gamma": 0.9 + i / 1000})
    assert proximax.report([tmp_path], tmp_path / "report.html").stat().st_size < 2 * MEGABYTE


@pytest.mark.process
@pytest.mark.skipif(chromium() is None, reason="there is no Chromium: apt-get install chromium")
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_it_from_disk_in_light_and_dark_without_a_complaint(page, tmp_path, dark):
    (tmp_path / "report.html").write_text(page)
    browser = Browser()
    try:
        browser.open((tmp_path / "report.html").as_uri(), width=390, dark=dark)
        browser.wait_for("document.readyState === 'complete' && document.querySelector('#commands')")
        assert browser.problems == []
        colour = browser.value("getComputedStyle(document.body).backgroundColor")
        assert colour == ("rgb(18, 22, 31)" if dark else "rgb(255, 255, 255)")
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
        assert browser.value("[...document.querySelectorAll('svg[role=img]')].every(x => x.clientWidth > 200)")
        assert browser.value("document.querySelectorAll('script, img').length") == 0
    finally:
        browser.close()
