import numpy as np
import pytest

from proximax.web.curves import SPEED, Wish, curves_of, extent_of, step_of
from proximax.web.metrics_reader import MetricsReader
from tests.support.watched_runs import row, text


def reader_of(path, rows):
    (path / "metrics.jsonl").write_text(text(rows))
    reader = MetricsReader(path / "metrics.jsonl", range(4))
    reader.read(float("inf"))
    return reader


@pytest.fixture
def reader(tmp_path):
    rows = [row(u, seed) for u in range(1, 21) for seed in (0, 2)]
    return reader_of(tmp_path, rows[:-1])  # the last update is not written whole


def test_seeds_are_a_mean_with_a_band_over_the_updates_that_all_have(reader):
    curve = curves_of(reader, Wish(("return_last_100",)), 100.0)["return_last_100"]
    assert curve["index"] == list(range(1, 20))
    assert curve["mean"][:2] == [11, 21]
    assert (curve["low"][0], curve["high"][0]) == (10, 12)


def test_seeds_one_by_one(reader):
    curve = curves_of(reader, Wish(("return_last_100",), each_seed=True), 100.0)["return_last_100"]
    assert [seed["mean"][0] for seed in curve["seeds"]] == [10, 12]


def test_time_is_an_axis_too_and_a_part_of_it_has_its_neighbours(reader):
    assert extent_of(reader, "time") == 10.0
    wish = Wish(("kl",), axis="time", begin=2.0, end=4.0)
    assert curves_of(reader, wish, 0.5)["kl"]["index"] == [3, 4, 5, 6, 7, 8, 9]
    assert step_of([10.0], wish._replace(width=4)) == 0.5
    assert curves_of(reader, wish._replace(begin=900.0, end=901.0), 0.5) == {}


def test_speed_is_that_of_all_seeds_together(reader):
    curve = curves_of(reader, Wish((SPEED,)), 100.0)[SPEED]
    assert set(curve["mean"]) == {400.0}  # two seeds, 100 steps each in half a second


def test_what_was_not_logged_is_left_out(reader, tmp_path):
    assert list(curves_of(reader, Wish(("action_std", "kl")), 100.0)) == ["kl"]
    (tmp_path / "empty").mkdir()
    nothing = reader_of(tmp_path / "empty", [])
    assert curves_of(nothing, Wish(("kl",)), 1.0) == {}
    assert extent_of(nothing, "steps") == 0.0
    single = reader_of(tmp_path / "empty", [row(1)])
    assert curves_of(single, Wish((SPEED, "kl")), 1.0)["kl"]["mean"] == [0.01]


def test_rows_that_come_twice_or_out_of_order_do_not_matter(tmp_path):
    reader = reader_of(tmp_path, [row(u) for u in (3, 1, 2, 2)])
    assert np.array(curves_of(reader, Wish(("kl",)), 100.0)["kl"]["index"]).tolist() == [1, 2, 3]
