"""How speeds are measured, compared and published: ``benchmarks/speed``, and the leaderboard, from recorded files."""

import importlib.util
import json
import math
import statistics
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
INF = math.inf


@pytest.fixture
def script(monkeypatch):
    """A script of ``benchmarks``, imported as it is when it runs: beside the others of its folder."""

    def load(name):
        path = BENCHMARKS / f"{name}.py"
        monkeypatch.syspath_prepend(path.parent)
        spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_leaderboard_is_made_from_the_recorded_files(script):
    leaderboard = script("tools/leaderboard")
    page = leaderboard.PAGE.read_text()
    assert page == leaderboard.page(), "python benchmarks/tools/leaderboard.py"
    record = json.loads((BENCHMARKS / "results/speed/cartpole_solved.json").read_text())
    (warm,) = [c for c in record["contestants"] if c["name"] == "proximax, warm"]
    seconds = sorted(run["to_goal_s"] for run in warm["runs"])
    assert f"| {statistics.median(seconds):.3g} ({seconds[0]:.3g} to {seconds[-1]:.3g}) | 500 " in page
    assert page.count("](results/") == len(leaderboard.ENTRIES)


def test_a_record_that_misses_its_score_is_refused(script, monkeypatch):
    leaderboard = script("tools/leaderboard")
    monkeypatch.setitem(leaderboard.TASKS, "CartPole-v1", (500.5, ""))
    with pytest.raises(SystemExit, match=r"cartpole_solved.json: .*the median score is below 500.5"):
        leaderboard.page()


def test_speed_is_the_slope_of_steps_against_time_after_the_first_tenth(script):
    driver = script("speed/driver")
    steady = [0.0, 5.0, *(5.0 + 0.5 * k for k in range(1, 20))]  # the first update compiles for 4.5 s
    values = driver.pace(steady, rows=100)
    expected = {"steps": 2000, "steps_per_s": 200, "compile_s": 4.5, "run_s": 10.0, "seconds": 14.5}
    assert values == pytest.approx(expected)
    late = [*steady[:2], *(x + 3 for x in steady[2:])]  # another pause, in the second of twenty: the first tenth
    assert driver.pace(late, rows=100)["steps_per_s"] == pytest.approx(200)
    # By hand: times 0, 1, 3 and steps 10, 20, 30: slope 10 (-4/3 - 1/3·0 + 5/3) / (16/9 + 1/9 + 25/9).
    assert driver.slope([-9.0, 0.0, 1.0, 3.0], rows=10) == pytest.approx(10 * 3 / (42 / 9))
    with pytest.raises(SystemExit, match="two updates"):
        driver.pace([0.0, 1.0], rows=10)


def test_contestants_run_forth_and_back(script):
    measure = script("speed/measure")
    orders = ["".join(measure.in_turn(list("ABC"), turn)) for turn in range(3)]
    assert orders == ["ABC", "CBA", "ABC"]
    assert "A B, then B A" in measure.METHOD


def test_ratios_are_those_of_pairs_that_followed_one_another(script):
    pairs = script("speed/pairs")
    ours = [{"s": 10.0}, {"s": 40.0}, {"failed": "killed"}, {"s": 9.0}]
    others = [{"s": 5.0}, {"s": 10.0}, {"s": 1.0}, {"s": 3.0}]
    ratio = pairs.pair_ratio(ours, others, "s", inverse=False)
    assert ratio == (3.0, 2.0, 4.0, (2.0, 4.0))  # of medians it would be 10 / 5
    assert pairs.pair_ratio(ours, others, "s", inverse=True)[:3] == pytest.approx((1 / 3, 1 / 4, 1 / 2))
    unsolved = [{"s": None}] * 2
    assert pairs.pair_ratio([{"s": 2.0}] * 2, unsolved, "s", inverse=True) == (INF, INF, INF, (INF, INF))
    assert pairs.pair_ratio(unsolved, unsolved, "s", inverse=True) is None
    assert pairs.pair_ratio(ours[:1], others[:1], "s", inverse=False).interval is None


def test_the_interval_is_the_bootstraps_of_the_median(script):
    pairs = script("speed/pairs")
    # Of two values the resamples' medians are 1, 1.5, 1.5, 2.
    assert pairs.bootstrap_interval([1.0, 2.0]) == (1.0, 2.0)
    values = [1.0 + 0.1 * k for k in range(11)]
    low, high = pairs.bootstrap_interval(values)
    assert (low, high) == pairs.bootstrap_interval(values)  # drawn, but the same each time
    # The median of 11 draws is at most the 3rd smallest value where 6 or more are among these three: 5.1 %.
    chance = sum(math.comb(11, k) * (3 / 11) ** k * (8 / 11) ** (11 - k) for k in range(6, 12))
    assert 0.025 < chance < 0.06
    assert (low, high) == pytest.approx((values[2], values[8]))
    assert low < statistics.median(values) < high


def test_every_row_has_a_target_and_says_how_far_both_sides_are_the_same(script):
    table = script("speed/rows")
    rows = list(table.rows())
    assert {row.id for row in rows} == set(table.TARGETS)
    assert len({row.id for row in rows}) == len(rows)
    kinds = {table.IDENTICAL, table.EQUIVALENT, table.RETUNED}
    for row in rows:
        assert (row.code in kinds) == bool(row.peers), row.id
        assert (BENCHMARKS / "speed" / f"{row.file}.py").exists()


def test_the_page_of_speeds_has_a_line_for_each_recorded_row(script):
    rows, page = list(script("speed/rows").rows()), (BENCHMARKS / "speed" / "speed.md").read_text()
    recorded = {path.stem for path in (BENCHMARKS / "results" / "speed").glob("*.json")}
    for row in rows:
        assert (f"| {row.what} |" in page) == (row.file in recorded), row.id
