"""Percent, speed, time left, and how they fit in a line: by hand numbers."""

from dataclasses import replace

import pytest

from proximax.loggers.progress import Progress, SpeedMeter, file_line, over_seeds, spread, terminal_line
from tests.support.metric_rows import CONFIG, rows, seed_rows

LONG = replace(CONFIG, steps=1_000_000 * 8)


def after(meter, rows, config=CONFIG, evaluation=()):
    meter.add(rows)
    return Progress.after(rows, config, meter, list(evaluation))


def test_speed_is_that_of_the_last_ten_seconds_and_not_since_the_start():
    meter = SpeedMeter()
    for update in range(1, 101):  # two seeds, 8 steps an update: 16 steps/s, for 100 s
        meter.add(rows(update))
    assert meter.steps_per_s == pytest.approx(16)
    for update in range(101, 301):  # ten times as fast, for 20 s
        meter.add(rows(update, time_s=100 + (update - 100) / 10))
    assert meter.steps_per_s == pytest.approx(160)
    assert meter.seconds_left(1300) == pytest.approx(100)  # 1,000 updates at 10 a second
    assert meter.seconds_left(300) == 0


def test_the_first_update_with_its_compilation_is_not_part_of_the_speed():
    meter = SpeedMeter()
    assert (meter.steps_per_s, meter.seconds_left(9)) == (None, None)
    meter.add(rows(1, time_s=60.0))
    assert (meter.steps_per_s, meter.seconds_left(9)) == (None, None)
    meter.add(rows(3, time_s=61.0))
    assert (meter.steps_per_s, meter.seconds_left(9)) == (32, 3)


def test_updates_longer_than_the_window_are_measured_by_the_last_one():
    meter = SpeedMeter()
    for update, time_s in [(1, 0.0), (2, 100.0), (3, 140.0)]:
        meter.add(rows(update, time_s=time_s))
    assert meter.steps_per_s == pytest.approx(16 / 40)


def test_two_rows_of_one_moment_are_no_division_by_zero():
    meter = SpeedMeter()
    meter.add(rows(1, time_s=1.0))
    meter.add(rows(2, time_s=1.0))
    assert (meter.steps_per_s, meter.seconds_left(100)) == (None, None)


def test_a_resumed_run_counts_percent_from_the_whole_and_speed_from_its_own_steps():
    meter = SpeedMeter()
    meter.add(rows(51, time_s=1000.0))
    progress = after(meter, rows(52, time_s=1001.0))
    assert (progress.percent, progress.steps, progress.steps_per_s, progress.seconds_left) == ("52%", 416, 16, 48)


def test_percent_is_rounded_down():
    first = rows(1)
    percents = [after(SpeedMeter(), rows(u), LONG).percent for u in (1, 9_999, 10_000, 999_999, 1_000_000)]
    assert percents == ["0%", "0%", "1%", "99%", "100%"]
    assert after(SpeedMeter(), first, LONG).left == ""
    assert after(SpeedMeter(), rows(1_000_000), LONG).left == "evaluating"


def test_over_seeds_is_their_mean_and_range_without_those_that_have_none():
    assert spread([1.0, None, 4.0]) == (2.5, 1.0, 4.0)
    assert spread([1.0, 4.0]).range == " (1 to 4)"
    assert spread([0.1, 0.10001]).range == ""  # the same, to the digits shown
    assert spread([None, None]) == (None, None, None)
    assert spread([None]).range == ""
    assert over_seeds([{"kl": 1.0}, {}], "kl").mean == 1.0


def line(width, scores, **changes):
    progress = after(SpeedMeter(), seed_rows(43, 10.0, 430_080, scores))
    progress = progress._replace(steps_per_s=12_345.6, seconds_left=83.2, **changes)
    layout = terminal_line(progress, width)
    text = f"{layout.before}  {'=' * layout.bar}{'  ' if layout.bar else ''}{layout.after}"
    assert len(text) <= width
    return text


@pytest.mark.parametrize(
    ("width", "scores", "text"),
    [
        (78, [312.44], " 43%  ================  430,080 steps  return 312.4  12,346 steps/s  1:23 left"),
        (48, [312.44], " 43%  return 312.4  12,346 steps/s  1:23 left"),
        (78, [300.0, 320.0], " 43%  ====================  return 310 (300 to 320)  12,346 steps/s  1:23 left"),
        (48, [300.0, 320.0], " 43%  return 310  12,346 steps/s  1:23 left"),
        (30, [300.0, 320.0], " 43%  return 310  1:23 left"),
        (20, [300.0, 320.0], " 43%  1:23 left"),
        (78, [None, None], " 43%  =========  430,080 steps  no episode finished  12,346 steps/s  1:23 left"),
    ],
)
def test_what_matters_least_is_left_out_of_a_line_that_is_too_long(width, scores, text):
    assert line(width, scores) == text


def test_a_line_of_a_file():
    meter = SpeedMeter()
    meter.add(rows(1))
    progress = after(meter, seed_rows(12, 7384.2, 122_880, [20.1, 40.3]))
    progress = progress._replace(steps_per_s=4096.2, seconds_left=220.0)
    assert file_line(progress) == (
        " 2:03:04  12%      122,880 steps   return 30.2 (20.1 to 40.3)   kl 3e-5       entropy 0.25     4,096 steps/s"
        "   3:40 left"
    )
    evaluated = progress._replace(evaluation=spread([480.0, 500.0]), update=100, steps_per_s=None, ended=True)
    assert file_line(evaluated) == (
        " 2:03:04 100%      122,880 steps   return 30.2 (20.1 to 40.3)   evaluation 490   kl 3e-5       entropy 0.25"
    )
