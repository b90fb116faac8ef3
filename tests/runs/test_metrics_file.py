"""The one reader of metrics.jsonl: rows or a ``CheckpointError`` that names the place, whatever the file is."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximax.errors import CheckpointError
from proximax.runs import metrics_file
from proximax.runs.metrics_file import read_metrics

ROW = {"update": 1, "seed": 0, "steps": 8, "kl": 0.5, "beta": None, "ratio_histogram": [0, 8]}
LINE = json.dumps(ROW).encode() + b"\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


@pytest.mark.parametrize("rest", [b"", LINE[:1], LINE[:40], LINE[:-2], b"\xff"])
def test_complete_lines_are_read_and_a_half_written_last_one_is_skipped(path, rest):
    path.write_bytes(LINE + LINE + rest)
    assert read_metrics(path) == [ROW, ROW]
    path.write_bytes(rest)
    assert read_metrics(path) == []


def test_a_last_line_without_its_end_is_a_row_if_it_is_complete(path):
    path.write_bytes(LINE + LINE[:-1])
    assert read_metrics(path) == [ROW, ROW]


def test_names_of_version_0_1_are_translated(path):
    path.write_text(json.dumps(ROW | {"recent_return": 2.0, "stuck_row": -1}))
    assert read_metrics(path) == [ROW | {"return_last_100": 2.0, "fully_masked_index": -1}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\n", "JSONDecodeError"),
        (b"[1, 2]\n", "AttributeError"),
        (b'{"update": 1, "seed": 0}\n', "KeyError.*steps"),
        (b"[" * 100_000 + b"\n", "RecursionError"),
        (b"\xff\n", "UnicodeDecodeError"),
        (LINE.replace(b"8,", b"true,"), "values must be numbers"),
        (LINE.replace(b"0.5", b"NaN"), "values must be numbers"),
        (LINE.replace(b"0.5", b"1e999"), "values must be numbers"),
        (LINE.replace(b"0.5", b"1" * 400), "values must be numbers"),
        (LINE.replace(b"0.5", b'"much"'), "values must be numbers"),
        (LINE.replace(b"0.5", b"{}"), "values must be numbers"),
    ],
)
def test_any_other_line_is_refused_with_its_place(path, line, message):
    path.write_bytes(LINE + line + LINE)
    with pytest.raises(CheckpointError, match=rf"metrics\.jsonl, line 2: not a row of metrics: .*{message}"):
        read_metrics(path)


def test_a_missing_file_says_what_that_means(path):
    with pytest.raises(CheckpointError, match=r"is missing: .* is not the directory of a run"):
        read_metrics(path)


def test_links_pipes_devices_and_folders_are_refused_and_never_waited_for(path, tmp_path):
    (tmp_path / "secret").write_bytes(LINE)
    for make, message in (
        (lambda: path.symlink_to(tmp_path / "secret"), "symbolic link"),
        (lambda: path.symlink_to("/dev/zero"), "symbolic link"),
        (lambda: os.mkfifo(path), "is not a file"),
    ):
        make()
        with pytest.raises(CheckpointError, match=message):
            read_metrics(path)
        path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="is not a file"):
        read_metrics(path)
    with pytest.raises(CheckpointError, match="is not a file"):
        read_metrics(Path("/dev/zero"), max_bytes=None)


def test_files_and_lines_that_are_too_long_are_refused_before_they_fill_the_memory(path, monkeypatch):
    path.write_bytes(LINE)
    os.truncate(path, 2**40)  # takes no room on the disk
    with pytest.raises(CheckpointError, match=r"has 1,099,511,627,776 bytes; at most 1,073,741,824 are read"):
        read_metrics(path)
    with pytest.raises(CheckpointError, match=r"a line of more than 1,048,576 bytes"):
        read_metrics(path, max_bytes=None)
    monkeypatch.setattr(metrics_file, "MAX_LINE_BYTES", len(LINE))
    path.write_bytes(LINE * 3)
    assert read_metrics(path) == [ROW] * 3


@given(st.binary(max_size=60), st.integers(0, len(LINE)))
def test_whatever_the_bytes_are_there_are_rows_or_a_checkpoint_error(tmp_path_factory, data, place):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(LINE + LINE[:place] + data + LINE[place:])
    try:
        rows = read_metrics(path)
    except CheckpointError:
        return
    assert all(type(row["update"]) is int for row in rows)
