"""Event files for TensorBoard: curves in groups against environment steps, ratios, evaluations, videos, settings."""

import json
import logging
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proximax.config import RunConfig, flatten_dict
from proximax.errors import StorageError
from proximax.evaluation import small_gif
from proximax.loggers.base import LoggedRun, Logger, Rows, group_of
from proximax.loggers.progress import SpeedMeter
from proximax.ppo import RATIO_EDGES
from proximax.runs import Every

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

logger = logging.getLogger(__name__)

TENSORBOARD_ROWS, TENSORBOARD_SECONDS = 1000, 30.0  # updates at most; between flushes
NO_CURVES = ("update", "seed", "steps")
FINAL_RETURN = "eval/final_return_mean"
BAR_WIDTH = RATIO_EDGES[1] - RATIO_EDGES[0]
# Of the bars of the histogram of ratios, the right edges; that of the last, which has no end, as far as the others'.
RIGHT_EDGES = [*RATIO_EDGES.tolist(), float(RATIO_EDGES[-1] + BAR_WIDTH)]


class TensorBoardLogger(Logger):
    """Numbers for TensorBoard, a folder per seed: of a thousand updates at most, since one takes time and room.

    Tags: the names in metrics.jsonl after ``rollout/``, ``train/`` and ``time/`` (``group_of``); ``eval/``, where the
    videos are images; ``config``.

    Event files are written synchronously. ``tensorboardX.SummaryWriter`` uses a thread, which ends at the first write
    that a full disk refuses, and training would wait for it forever. Of a run that is resumed, what had
    been written beyond its checkpoint is dropped.
    """

    def __init__(self, run: LoggedRun) -> None:
        config, steps = run.config, run.steps
        assert run.directory is not None
        directory = run.directory / "tensorboard"
        self._schedule, self._last = Every(-(-config.updates // TENSORBOARD_ROWS)), config.updates
        self._directory, self._files, self._flushed = directory, dict[int, "EventsWriter"](), time.monotonic()
        self._meter = SpeedMeter()
        with self._disabled_on_error():
            for seed, step in zip(range(config.seed, config.seed + config.seeds), steps or [0] * config.seeds):
                self._files[seed] = file = start_events(directory / f"seed-{seed}", step)
                for summary in config_summaries(config, seed):
                    file.write_event(event(step, summary))

    def write(self, rows: Rows) -> None:
        """Add each number under its name, at the row's steps."""
        update = rows[0]["update"]
        if not self._files or not (self._schedule.due(update) or update >= self._last):
            return
        self._meter.add(rows)
        with self._disabled_on_error():
            for row in rows:
                self._files[row["seed"]].write_event(event(row["steps"], metrics_summary(row, self._meter.steps_per_s)))
            if time.monotonic() - self._flushed > TENSORBOARD_SECONDS:
                self._flushed = time.monotonic()
                for file in self._files.values():
                    file.flush()

    def write_evaluation(self, rows: Rows, final: bool) -> None:
        """Add each seed's mean return; with the final one the run counts as finished."""
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.summary import hparams

        tag = FINAL_RETURN if final else "eval/return_mean"
        with self._disabled_on_error():
            for row in rows if self._files else []:
                if row["return_mean"] is not None:
                    value = Summary.Value(tag=tag, simple_value=row["return_mean"])
                    self._files[row["seed"]].write_event(event(row["steps"], Summary(value=[value])))
                if final:
                    self._files[row["seed"]].write_event(event(row["steps"], hparams({}, {})[2]))

    def write_video(self, path: Path, steps: int) -> None:
        """Add the beginning of a video to the first seed, as a moving image: TensorBoard shows no others."""
        if not self._files:
            return
        try:
            summary = image_summary("eval/video", small_gif(path))
        except StorageError as error:
            logger.warning(f"TensorBoard: {error}")
            return
        with self._disabled_on_error():
            self._files[min(self._files)].write_event(event(steps, summary))

    @contextmanager
    def _disabled_on_error(self) -> Iterator[None]:
        """Write nothing more after an event that the disk did not take: readers stop at half an event."""
        try:
            yield
        except OSError as error:
            self._files = {}
            logger.warning(f"{self._directory}: {error.strerror}; TensorBoard logging disabled")

    def close(self) -> None:
        """Flush and close."""
        with self._disabled_on_error():
            for file in self._files.values():
                file.close()


def start_events(folder: Path, steps: int) -> "EventsWriter":
    """A new event file. TensorBoard leaves out what earlier ones in ``folder`` have of steps beyond ``steps``."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    folder.mkdir(parents=True, exist_ok=True)
    earlier = steps or any(folder.iterdir())  # also of a run that ended before its first checkpoint
    file = EventsWriter(str(folder / "events"), f".{steps}")
    if earlier:
        log = SessionLog(status=SessionLog.START)
        file.write_event(Event(wall_time=time.time(), step=steps + 1, session_log=log))
    return file


def event(steps: int, summary: "Summary") -> "Event":
    """An event at these environment steps, which are TensorBoard's x axis."""
    from tensorboardX.proto.event_pb2 import Event

    return Event(wall_time=time.time(), step=steps, summary=summary)


def metrics_summary(row: dict[str, Any], steps_per_s: float | None) -> "Summary":
    """The numbers of a row, and the histogram of its ratios."""
    from tensorboardX.proto.summary_pb2 import Summary

    numbers = {name: x for name, x in row.items() if isinstance(x, (int, float)) and name not in NO_CURVES}
    values = [Summary.Value(tag=f"{group_of(name)}/{name}", simple_value=x) for name, x in numbers.items()]
    if steps_per_s is not None:
        values.append(Summary.Value(tag="time/steps_per_s", simple_value=steps_per_s))
    if counts := row.get("ratio_histogram"):
        values += ratio_histogram(counts).value
    return Summary(value=values)


def ratio_histogram(counts: list[int]) -> "Summary":
    """The bars as they are logged; the moments, which TensorBoard hardly shows, are those of the bars' centres."""
    from tensorboardX.summary import histogram_raw

    weights, centres = np.array(counts, float), np.array(RIGHT_EDGES) - BAR_WIDTH / 2
    return histogram_raw(
        f"{group_of('ratio_histogram')}/ratio_histogram",
        min=RIGHT_EDGES[0] - BAR_WIDTH,
        max=RIGHT_EDGES[-1],
        num=weights.sum(),
        sum=(weights * centres).sum(),
        sum_squares=(weights * centres**2).sum(),
        bucket_limits=RIGHT_EDGES,
        bucket_counts=weights.tolist(),
    )


def image_summary(tag: str, gif: bytes) -> "Summary":
    """An image that moves: a GIF, whose header has its size."""
    from tensorboardX.proto.summary_pb2 import Summary

    width, height = struct.unpack("<HH", gif[6:10])
    image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=gif)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def config_summaries(config: RunConfig, seed: int) -> list["Summary"]:
    """The settings: as text, and with this seed for the page that compares runs by their settings (HPARAMS)."""
    from tensorboardX.summary import hparams, text

    values = config.to_json()
    experiment, session, _ = hparams(flat_settings(values) | {"seed": seed}, {FINAL_RETURN: None})
    lines = json.dumps(values, indent=2).splitlines()
    return [
        text("config", "\n".join(f"    {line}" for line in lines)),
        experiment,
        session,
    ]  # indented: code in Markdown


def flat_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Settings under their full names (``ppo.gamma``): numbers, booleans and strings; None left out."""
    return {
        name: value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
        for name, value in flatten_dict(values).items()
        if value is not None
    }


def tensorboard_installed() -> bool:
    """Whether the ``tensorboard`` extra is installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        return False
    return True
