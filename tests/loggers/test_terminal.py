"""Progress and findings on a terminal and in a file."""

import pytest

from proximax.config import RunConfig
from proximax.loggers.terminal import ASCII_BARS, BARS, TerminalLogger, sparkline
from tests.support.metric_rows import CONFIG, rows


@pytest.fixture
def no_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_terminal")
def test_without_a_terminal_each_tenth_is_a_line_on_stderr(capsys):
    sink = TerminalLogger(CONFIG)
    for update in range(1, CONFIG.updates + 1):
        sink.write(rows(update, score=None if update < 20 else float(update)))
    sink.close()
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 10
    assert "80 steps   return no episode finished   " in lines[0]
    assert "800 steps   return 100.0   " in lines[-1]
    assert "\x1b" not in err  # nothing a log file could not hold


@pytest.mark.usefixtures("no_terminal")
@pytest.mark.parametrize(("updates", "lines"), [(1, 1), (3, 3), (25, 10)])
def test_a_run_of_few_updates_prints_no_line_twice(capsys, updates, lines):
    sink = TerminalLogger(RunConfig("x", steps=updates * 2048))
    for update in range(1, updates + 1):
        sink.write(rows(update))
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_with_a_terminal_the_bar_is_on_stderr_too(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the captured stream for a terminal
    sink = TerminalLogger(CONFIG)
    for update in (1, 50, 100):
        sink.write(rows(update))
    sink.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "steps/s" in err


@pytest.mark.usefixtures("no_terminal")
def test_without_a_terminal_a_finding_is_said_once_when_it_first_appears(capsys):
    sink = TerminalLogger(CONFIG)
    for update in range(1, CONFIG.updates + 1):
        sink.write(rows(update, first_ratio_error=0.5 if update > 50 else 0.0))
        if update == 50:
            assert "doctor" not in capsys.readouterr().err
    sink.close()
    told = [line for line in capsys.readouterr().err.splitlines() if "doctor" in line]
    assert len(told) == 1
    assert told[0].startswith(
        "proximax: doctor: error first-ratio: |r - 1| up to 0.5, in 5 of 55 updates, from 51 to 55"
    )
    assert "(seed 3 and 1 more)" in told[0]


def test_with_a_terminal_the_gravest_finding_is_one_line_under_the_bar_and_all_stay_at_the_end(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    sink = TerminalLogger(CONFIG)
    for update in range(1, 11):
        sink.write(rows(update, first_ratio_error=0.5, line_search_fraction=0.0))
    capsys.readouterr()
    sink._view.refresh()
    shown = capsys.readouterr().err
    assert shown.count("first-ratio") == 1
    assert "…" in shown  # cut to the width
    assert "line-search" not in shown  # less grave
    sink.close()
    told = [line for line in capsys.readouterr().err.splitlines() if "proximax: doctor: " in line]
    assert ["first-ratio" in told[0], "line-search" in told[1], len(told)] == [True, True, 2]


def test_sparklines_run_from_the_lowest_to_the_highest_value():
    assert sparkline([]) == ""
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BARS
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], encoding="ascii") == ASCII_BARS
    assert sparkline([7, 0]) == "█▁"
    assert sparkline([-5.0]) == "▁"
    assert sparkline([3.0, 3.0, 3.0]) == "▁▁▁"  # a flat curve is no division by zero
    assert sparkline([-1e300, 1e300])[-1] == "█"
    long = sparkline([float(i) for i in range(1000)])
    assert len(long) == 40
    assert (long[0], long[-1]) == ("▁", "█")
    assert list(long) == sorted(long)
    assert len(sparkline([1.0, 2.0, 3.0], width=2)) == 2
