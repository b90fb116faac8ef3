"""Where rows go: strict JSON lines, TensorBoard, the terminal. Faults 15, 17."""

import json
import struct
import subprocess
import sys

import pytest

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.loggers.jsonl import JsonlLogger
from proximax.loggers.tensorboard import TensorBoardLogger, tensorboard_installed
from proximax.loggers.terminal import ASCII_BARS, BARS, TerminalLogger, sparkline

CONFIG = RunConfig("x", steps=100 * 8, seeds=2, seed=3, num_envs=1, ppo=PPOConfig(num_steps=8, minibatch_size=8))


def rows(update, score=1.5, **more):
    """The rows of both seeds."""
    row = {"update": update, "steps": 8 * update, "return_last_100": score, "entropy": 0.25, **more}
    return [{**row, "seed": 3}, {**row, "seed": 4}]


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


def events(directory):
    """(tag, step, value) of every scalar in a folder's event files."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in directory.glob("events.*"):
        data = path.read_bytes()
        while data:  # a record: length, its checksum, the event, its checksum
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[12 + length + 4 :]
    return found


def test_tensorboard_has_a_folder_per_seed_and_each_number_at_its_steps(tmp_path):
    assert tensorboard_installed()
    sink = TensorBoardLogger(tmp_path, CONFIG)
    sink.write(rows(1, score=None))
    sink.write(rows(2, score=2.5))
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-3", "seed-4"]
    for seed in ("seed-3", "seed-4"):
        assert events(tmp_path / seed) == [("entropy", 8, 0.25), ("return_last_100", 16, 2.5), ("entropy", 16, 0.25)]


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


def test_tensorboard_leaves_out_what_a_resumed_run_makes_again_seed_by_seed(tmp_path):
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    TensorBoardLogger(tmp_path, CONFIG).close()
    for steps in (None, [40, 37]):  # the first ended before its first checkpoint
        sink = TensorBoardLogger(tmp_path, CONFIG, steps=steps)
        sink.write(rows(6))
        sink.close()
    for seed, step in (("seed-3", 41), ("seed-4", 38)):
        starts = []
        for path in (tmp_path / seed).glob("events.*"):
            data = path.read_bytes()
            while data:
                (length,) = struct.unpack("<Q", data[:8])
                event = Event.FromString(data[12 : 12 + length])
                if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                    starts.append(event.step)
                data = data[12 + length + 4 :]
        assert sorted(starts) == [1, step]
