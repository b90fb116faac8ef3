"""Event files for TensorBoard."""

import struct

from proximax.loggers.tensorboard import TensorBoardLogger, tensorboard_installed
from tests.support.metric_rows import CONFIG, rows


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
