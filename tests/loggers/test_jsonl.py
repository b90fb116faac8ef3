"""Strict JSON lines: whole or not there. Faults 15, 17."""

import json
import subprocess
import sys

import pytest

from proximax.loggers.jsonl import JsonlLogger
from tests.support.metric_rows import rows


def test_json_lines_parse_strictly_and_are_on_disk_at_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    sink = JsonlLogger(path)
    sink.write(rows(1))
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows(1)  # before it is closed
    sink.write(rows(2, score=None))
    with pytest.raises(ValueError, match="not JSON compliant"):
        sink.write(rows(3, entropy=float("nan")))
    sink.close()

    def refuse(word):
        raise AssertionError(word)

    read = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert read == rows(1) + rows(2, score=None)  # and not half a line of the third


@pytest.mark.fault(24)
def test_rows_wait_for_room_and_none_is_cut_in_two(tmp_path, monkeypatch, capsys):
    """A disk that takes 100 bytes more, then none, then all."""
    path = tmp_path / "metrics.jsonl"
    sink = JsonlLogger(path)
    sink.write(rows(1))
    whole, real, room = path.read_bytes(), sink._file, [100]

    class Full:
        def write(self, data):
            if room[0] <= 0:
                raise OSError(28, "No space left on device")
            taken = real.write(data[: room[0]])
            room[0] -= taken
            return taken

        def __getattr__(self, name):
            return getattr(real, name)

    sink._file = Full()
    for update in (2, 3):
        sink.write(rows(update))
        assert path.read_bytes() == whole
    assert capsys.readouterr().err.count("No space left on device; buffering metrics until the disk has space") == 1
    saved = sink.position
    room[0] = 10**6
    sink.write(rows(4))
    sink.close()
    assert [json.loads(line) for line in path.open()] == [*rows(1), *rows(2), *rows(3), *rows(4)]
    again = JsonlLogger(path, saved)  # rows that waited when the checkpoint was made are in none of its files
    assert again.read() == [*rows(1), *rows(2), *rows(3)]
    again.close()


@pytest.mark.fault(24)
def test_a_file_system_in_trouble_cuts_no_row_and_ends_no_run(tmp_path):
    """It takes half of a row, and then for a while nothing, not even that the half is removed."""
    path = tmp_path / "metrics.jsonl"
    sink, trouble = JsonlLogger(path), [True]
    real = sink._file

    class Stale:
        def write(self, data):
            if trouble[0]:
                real.write(data[:9])
                raise OSError(116, "Stale file handle")
            return real.write(data)

        def truncate(self, size):
            if trouble[0]:
                raise OSError(116, "Stale file handle")
            return real.truncate(size)

        def close(self):
            real.close()

    sink._file = Stale()
    sink.write(rows(1))
    trouble[0] = False
    sink.write(rows(2))
    sink.close()
    assert [json.loads(line) for line in path.open()] == [*rows(1), *rows(2)]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.fault(24)
def test_rows_the_disk_never_takes_are_an_error_at_the_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    limited = f"""
import resource, signal, sys
sys.path[:0] = {[*map(str, sys.path)]!r}
from pathlib import Path
from proximax.errors import StorageError
from proximax.loggers.jsonl import JsonlLogger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = JsonlLogger(Path({str(path)!r}))
sink.write([{{"a": 1}}])
resource.setrlimit(resource.RLIMIT_FSIZE, (12, 12))
sink.write([{{"b": 2}}])
try:
    sink.close()
except StorageError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=100)
    assert ran.stdout.strip() == f"{path} lacks its last 9 bytes: the disk did not take them", ran.stderr
    assert path.read_text() == '{"a": 1}\n'


def test_of_a_log_only_what_the_checkpoint_knows_of_is_kept(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    sink = JsonlLogger(path)
    sink.write(rows(1))
    saved = sink.position
    sink.write(rows(2))
    sink.close()
    again = JsonlLogger(path, saved)
    again.write(rows(3))
    again.close()
    assert [json.loads(line) for line in path.open()] == [*rows(1), *rows(3)]
    path.write_bytes(path.read_bytes()[:-3])  # someone cut it: what is whole stays, the run goes on, and it is said
    longer = JsonlLogger(path, saved._replace(size=saved.size + 1000))
    longer.write(rows(4))
    longer.close()
    assert [json.loads(line) for line in path.open()] == [*rows(1), *rows(3)[:-1], *rows(4)]
    assert "bytes that were written: those rows are lost" in capsys.readouterr().err
