import json
import os
import time

import numpy as np
import pytest

from proximax.runs import MAX_LINE_BYTES
from proximax.web.metrics_reader import SPANS, MetricsReader
from tests.support.watched_runs import BUCKETS, row, text

LATE = float("inf")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def read(reader, deadline=LATE):
    reader.read(deadline)
    return reader


def test_it_reads_on_from_where_it_got_to_and_waits_for_the_rest_of_a_line(path):
    line = text([row(2)])
    path.write_text(text([row(1)]) + line[:30])
    reader = read(MetricsReader(path, range(2)))
    assert (reader.rows, reader.complete) == (1, True)
    with path.open("a") as file:
        file.write(line[30:] + text([row(2, 1)]))
    assert read(reader).seeds[0].column("update").tolist() == [1, 2]
    assert reader.seeds[1].column("return_last_100").tolist() == [21]
    assert reader.generation == 2  # that of the first look, and none more


def test_steps_are_exact_and_what_was_not_logged_is_nan(path):
    path.write_text(text([row(1, steps=2**24 + 1, entropy=None), row(2)]))
    columns = read(MetricsReader(path, range(1))).seeds[0]
    assert columns.column("steps")[0] == 2**24 + 1
    assert np.isnan(columns.column("entropy")[0])
    assert np.isnan(columns.column("action_std")).all()
    assert "entropy" in columns.all_columns()
    assert "action_std" not in columns.all_columns()


@pytest.mark.parametrize("change", ["shorter", "replaced", "rewritten"])
def test_it_begins_again_where_the_file_is_no_longer_what_was_read(path, change):
    path.write_text(text([row(u) for u in (1, 2, 3)]))
    reader = read(MetricsReader(path, range(1)))
    before = reader.version
    new = text([row(u, return_last_100=7.5) for u in (1, 2, 3, 4)])
    if change == "shorter":  # resumed from an earlier checkpoint
        os.truncate(path, len(text([row(1)])))
    elif change == "replaced":
        path.unlink()
        path.write_text(new)
    else:  # truncated, and grown again beyond the place between two looks
        path.write_text(new)
    updates = read(reader).seeds[0].column("update").tolist()
    assert updates == ([1] if change == "shorter" else [1, 2, 3, 4])
    assert reader.version != before
    path.unlink()
    assert (read(reader).rows, reader.complete) == (0, True)


def test_a_deadline_ends_a_look_which_goes_on_with_the_next(path):
    lines = text([row(u) for u in range(1, 400)])
    path.write_text(lines * 10)
    reader = MetricsReader(path, range(1))
    assert len(lines) * 10 > MAX_LINE_BYTES
    looks = 0
    while not reader.complete:
        reader.read(time.monotonic() - 1)
        looks += 1
    assert looks > 1
    assert reader.rows == 3990


@pytest.mark.parametrize(
    "bad",
    [b"[]\n", b'{"update": 1}\n', b"not json\n", b'{"update":1,"seed":0,"steps":1e999}\n', b"[" * 200_000 + b"\n"],
)
def test_what_is_no_row_is_a_fault_and_ends_reading(path, bad):
    path.write_bytes(text([row(1)]).encode() + bad + text([row(2)]).encode())
    reader = read(MetricsReader(path, range(1)))
    assert "not a row of metrics" in reader.fault
    assert read(reader).complete


def test_a_line_without_an_end_links_and_pipes_are_refused(path, tmp_path):
    path.write_bytes(b" " * (MAX_LINE_BYTES + 1))
    assert "a line of more than" in read(MetricsReader(path, range(1))).fault
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in read(MetricsReader(path, range(1))).fault
    path.unlink()
    os.mkfifo(path)
    assert "is not a file" in read(MetricsReader(path, range(1))).fault


def test_rows_of_seeds_that_the_run_does_not_have_are_not_kept(path):
    path.write_text(text([row(1, seed) for seed in range(-50, 50)]))
    assert sorted(read(MetricsReader(path, range(3, 5))).seeds) == [3, 4]


def test_ratios_are_those_of_the_latest_update_and_of_spans_of_the_run(path):
    path.write_text(text([row(u, seed) for u in range(1, 2 * SPANS + 2) for seed in (0, 1)]))
    ratios = read(MetricsReader(path, range(2))).ratios
    assert ratios.latest.sum() == 6  # three of each seed
    assert ratios.updates_per_span == 4
    assert ratios.used == SPANS // 2 + 1
    assert ratios.counts.sum() == 6 * (2 * SPANS + 1)
    assert ratios.ends[ratios.used - 1] == 100 * (2 * SPANS + 1)


@pytest.mark.parametrize(
    "histogram",
    [
        None,
        3,
        [1],
        ["x"] * BUCKETS,
        [-1] * BUCKETS,
        [[1]] * BUCKETS,
        [1, float("nan"), *[2] * (BUCKETS - 2)],
        [1e300] * BUCKETS,
    ],
)
def test_a_histogram_that_is_none_is_left_out(path, histogram):
    path.write_text(json.dumps(row(1, ratio_histogram=histogram)) + "\n")
    reader = read(MetricsReader(path, range(1)))
    assert (reader.rows, reader.fault, reader.ratios.used) == (1, "", 0)


def test_a_list_in_the_place_of_a_number_is_no_number(path):
    path.write_text(text([row(1), row(2, kl=[1, 2], entropy=[])]))
    columns = read(MetricsReader(path, range(1))).seeds[0]
    assert columns.column("kl")[0] == np.float32(0.01)
    assert np.isnan(columns.column("kl")[1])
    assert columns.column("entropy").tolist()[0] == np.float32(0.6)


def test_updates_and_steps_beyond_all_bounds_do_no_harm(path):
    path.write_text(text([row(1), row(10**300, steps=10**300)]))
    reader = read(MetricsReader(path, range(1)))
    assert (reader.rows, reader.fault, reader.ratios.used) == (2, "", 1)
