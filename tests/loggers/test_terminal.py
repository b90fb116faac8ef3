"""Progress and findings on a terminal and in a file. No test waits: times are the rows' own."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import sys
import termios
from dataclasses import replace

import pytest
from rich.console import Console

from proximax.config import RunConfig
from proximax.loggers.terminal import ASCII_BARS, BARS, TerminalLogger, sparkline
from tests.support.metric_rows import CONFIG, rows


def terminal(width=80):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, legacy_windows=False)


def screen(console):
    """What was written since the last call, without control sequences."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", console.file.getvalue())
    console.file.seek(0)
    console.file.truncate()
    return text


def written_in_a_file(capsys, updates, config=CONFIG, verbose=False, update=0, **more):
    sink = TerminalLogger(config, update, verbose)
    for each in updates:
        sink.write(rows(each, **more))
    sink.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err  # nothing a log file could not hold
    assert "\r" not in err
    return err.splitlines()


def test_in_a_file_the_first_line_says_what_is_trained_then_one_every_30_s_and_the_last(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as CI sets it: no terminal for all that
    lines = written_in_a_file(capsys, range(1, 101))
    assert lines[0] == "x, clip, 2 seeds: 800 steps each in 100 updates of 8"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["0:30", "30%"],
        ["1:00", "60%"],
        ["1:30", "90%"],
        ["1:40", "100%"],
    ]
    assert lines[1] == (
        "    0:30  30%          240 steps   return 1.50      kl 3e-5       entropy 0.25     16 steps/s   1:10 left"
    )


@pytest.mark.parametrize("updates", [1, 3, 25])
def test_a_short_run_has_its_first_line_and_its_last(capsys, updates):
    config = RunConfig("CartPole-v1", steps=updates * 2048)
    lines = written_in_a_file(capsys, range(1, updates + 1), config)
    assert len(lines) == 2
    assert "100%" in lines[1]


def test_a_run_that_ends_early_has_a_last_line_too(capsys):
    lines = written_in_a_file(capsys, range(1, 38))
    assert [line.split()[1] for line in lines[1:]] == ["30%", "37%"]
    assert len(written_in_a_file(capsys, range(1, 31))) == 2  # and not twice
    assert len(written_in_a_file(capsys, [])) == 1


def test_a_run_that_ends_at_its_goal_has_its_last_line_before_it_is_evaluated(capsys):
    sink = TerminalLogger(CONFIG)
    for update in range(1, 38):
        sink.write(rows(update))
    sink.finish_training()
    last = capsys.readouterr().err.splitlines()[-1]
    assert " 37% " in last
    assert "left" not in last
    sink.close()
    assert capsys.readouterr().err == ""  # no line twice


@pytest.mark.parametrize("updates", [0, 37, 100])
def test_after_its_last_update_a_run_is_evaluated_also_one_that_was_complete_before(updates):
    console = terminal()
    sink = TerminalLogger(CONFIG, console=console)
    for update in range(1, updates + 1):
        sink.write(rows(update))
    sink.finish_training()
    sink._view.refresh()
    assert screen(console).rstrip().endswith("evaluating")
    sink.close()


@pytest.mark.filterwarnings("error")
def test_a_resumed_run_says_so_and_counts_from_its_own_start(capsys):
    lines = written_in_a_file(capsys, range(51, 101), update=50)
    assert lines[0].endswith("in 100 updates of 8, resumed after update 50")
    assert [line.split()[1] for line in lines[1:]] == ["81%", "100%"]
    assert "16 steps/s   0:19 left" in lines[1]


def test_verbose_in_a_file_is_a_table_every_30_s_instead_of_the_line(capsys):
    lines = written_in_a_file(capsys, range(1, 101), verbose=True)
    assert [line.split("|")[2].split()[0] for line in lines if "  update " in line] == ["30", "60", "90", "100"]
    assert not [line for line in lines[1:] if "|" not in line and "---" not in line]


def test_on_a_terminal_the_line_stays_in_its_place(capsys):
    console = terminal()
    sink = TerminalLogger(CONFIG, console=console)
    sink._view.refresh()
    assert "compiling" in screen(console)
    for update in (1, 2, 50):
        sink.write(rows(update))
    sink._view.refresh()
    assert " 50%  ━" in screen(console)
    for update in (99, 100):
        sink.write(rows(update))
    sink._view.refresh()
    assert screen(console).rstrip().endswith("evaluating")
    sink.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("kind", "is_live"), [("xterm-256color", True), ("dumb", False)])
def test_stderr_itself_says_whether_it_is_a_terminal_that_obeys(kind, is_live, monkeypatch):
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", kind)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(master, "rb", 0) as screen, os.fdopen(slave, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        sink = TerminalLogger(CONFIG)
        sink.write(rows(50))
        sink.close()
        stderr.flush()
        text = b"".join(
            iter(lambda: screen.read(10_000) if select.select([screen], [], [], 0)[0] else b"", b"")
        ).decode()
    assert ["\x1b[" in text, "50%" in text, "in 100 updates of 8" in text] == [is_live, True, not is_live]


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("stderr", ["closed", "none"])
def test_a_stderr_that_is_not_there_ends_no_run(stderr, verbose, monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if stderr == "closed" else None)
    sink = TerminalLogger(CONFIG, verbose=verbose)
    sink.write(rows(50))
    sink.close()


@pytest.mark.parametrize("width", [20, 50, 80, 200])
def test_no_line_on_a_terminal_is_wider_than_it(width):
    console = terminal(width)
    sink = TerminalLogger(CONFIG, console=console)
    for update in range(1, 101):
        sink.write(rows(update, steps=update * 1_000_000, score=None if update < 50 else 12345.678))
        sink._view.refresh()
    sink.close()
    assert 15 <= max(len(line) for line in screen(console).splitlines()) <= width


def test_verbose_on_a_terminal_is_a_table_every_5_s_and_the_last(capsys):
    console = terminal()
    sink = TerminalLogger(replace(CONFIG, steps=10_000 * 8), verbose=True, console=console)
    for update in range(1, 10_001):  # 500 updates a second for 20 s
        sink.write(rows(update, time_s=update / 500))
    sink.close()
    text = screen(console)
    assert [line.split("|")[2].split()[0] for line in text.splitlines() if "  update " in line] == [
        "2,500",
        "5,000",
        "7,500",
        "10,000",
    ]
    assert capsys.readouterr() == ("", "")


def test_updates_between_two_pictures_cost_nothing(monkeypatch):
    """500 updates a second: a picture is made ten times, whatever the number of updates and seeds."""
    console = terminal()
    sink, pictures = TerminalLogger(replace(CONFIG, steps=10_000 * 8), console=console), []
    real = sink._progress
    monkeypatch.setattr(sink, "_progress", lambda: (pictures.append(None), real())[1])
    for update in range(1, 501):
        sink.write(rows(update, time_s=update / 500))
    sink.close()
    assert 10 <= len(pictures) <= 11


def test_an_evaluation_is_shown_with_the_next_line(capsys):
    sink = TerminalLogger(CONFIG)
    evaluation = [{"update": 3, "seed": seed, "steps": 24, "return_mean": 480.0, "episodes": 2} for seed in (3, 4)]
    sink.write_evaluation(evaluation, final=False)
    sink.write(rows(100))
    sink.close()
    assert "evaluation 480   kl" in capsys.readouterr().err.splitlines()[1]


def test_a_terminal_without_those_characters_gets_ascii():
    file = io.TextIOWrapper(io.BytesIO(), "ascii")
    sink = TerminalLogger(CONFIG, console=Console(file=file, force_terminal=True, width=80, color_system=None))
    sink.write(rows(50))
    sink.close()
    file.flush()
    assert b"50%  ########" in file.buffer.getvalue()


def test_in_a_file_a_finding_is_said_once_when_it_first_appears(capsys):
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


def test_on_a_terminal_the_gravest_finding_is_one_line_under_the_bar_and_all_stay_at_the_end(capsys):
    console = terminal()
    sink = TerminalLogger(CONFIG, console=console)
    for update in range(1, 11):
        sink.write(rows(update, first_ratio_error=0.5, line_search_fraction=0.0))
    screen(console)
    sink._view.refresh()
    shown = screen(console)
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
