"""Weights & Biases and trackio, which have one interface: a run of theirs for each seed, in a group."""

import contextlib
import importlib
import logging
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from proximax.errors import CheckpointError, describe
from proximax.loggers.base import LoggedRun, Logger, Rows, group_of
from proximax.runs import Every
from proximax.runtime import open_plain, write_atomically

logger = logging.getLogger(__name__)

PROJECT = "proximax"  # where the tracker's own environment variable names none
UPDATES = 10_000  # that are sent at most
ID_FILE, ID_BYTES = "id", 100
NO_CURVES = ("seed",)


class TrackerLogger(Logger):
    """Numbers, evaluations, videos and settings for ``wandb`` or ``trackio``.

    The names are those of TensorBoard: ``rollout/``, ``train/``, ``time/`` and ``eval/``; the x axis is ``steps``. Of a
    resumed run the same runs continue: steps beyond the checkpoint are sent again. Projects, accounts
    and whether to stay offline are set as these programs say (``WANDB_MODE=offline``, ``WANDB_PROJECT``). A tracker
    that fails is left alone from then on, with a warning: no training ends because of it.
    """

    def __init__(self, tracker: Literal["wandb", "trackio"], run: LoggedRun) -> None:
        self._name, self._module = tracker, importlib.import_module(tracker)
        self._schedule, self._last = Every(-(-run.config.updates // UPDATES)), run.config.updates
        self._runs = dict[int, Any]()
        with self._left_alone_on_error():
            for seed in range(run.config.seed, run.config.seed + run.config.seeds):
                self._runs[seed] = self._start(run, seed)

    def _start(self, run: LoggedRun, seed: int) -> Any:
        """The tracker's run of one seed."""
        label = run.directory.name if run.directory else run.config.env
        settings: dict[str, Any] = {"config": run.config.to_json() | {"seed": seed}, "group": label}
        identity = run_identity(run.directory / self._name / ID_FILE) if run.directory else uuid.uuid4().hex[:8]
        if self._name == "trackio":
            project = os.environ.get("TRACKIO_PROJECT", PROJECT)
            name = f"{label}-{identity}-seed-{seed}"
            return self._module.init(project=project, name=name, resume="allow", **settings)
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        quiet = self._module.Settings(silent=True, console="off", save_code=False)
        tracked = self._module.init(
            project=project,
            name=f"{label}-seed-{seed}",
            id=f"{identity}-{seed}",
            resume="allow",
            reinit="create_new",
            dir=run.directory,
            settings=quiet,
            **settings,
        )
        tracked.define_metric("*", step_metric="steps")
        return tracked

    def write(self, rows: Rows) -> None:
        """Send the numbers of each seed's row."""
        update = rows[0]["update"]
        if not (self._schedule.due(update) or update >= self._last):
            return
        with self._left_alone_on_error():
            for row in rows if self._runs else []:
                numbers = {name: x for name, x in row.items() if isinstance(x, (int, float)) and name not in NO_CURVES}
                steps = numbers.pop("steps")
                grouped = {f"{group_of(name)}/{name}": x for name, x in numbers.items()}
                self._runs[row["seed"]].log(grouped | {"steps": steps})

    def write_evaluation(self, rows: Rows, final: bool) -> None:
        """Send each seed's mean return."""
        name = "eval/final_return_mean" if final else "eval/return_mean"
        with self._left_alone_on_error():
            for row in rows if self._runs else []:
                if row["return_mean"] is not None:
                    self._runs[row["seed"]].log({name: row["return_mean"], "steps": row["steps"]})

    def write_video(self, path: Path, steps: int) -> None:
        """Send a video, which is of the first seed."""
        with self._left_alone_on_error():
            for seed in sorted(self._runs)[:1]:
                video = self._module.Video(str(path), format="mp4")
                self._runs[seed].log({"eval/video": video, "steps": steps})

    @contextmanager
    def _left_alone_on_error(self) -> Iterator[None]:
        """Send nothing more after an error; what the tracker prints goes to stderr."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except Exception as error:
            self._runs = {}
            logger.warning(f"{self._name}: {describe(error)}; nothing more is sent to it")

    def close(self) -> None:
        """Tell the tracker that its runs have ended, and wait until it has what was sent."""
        with self._left_alone_on_error():
            for run in self._runs.values():
                run.finish()


def run_identity(path: Path) -> str:
    """What the tracker calls this run: drawn when it begins, and kept in its directory."""
    try:
        with open_plain(path) as file:
            identity = file.read(ID_BYTES).decode()
    except FileNotFoundError:
        identity = uuid.uuid4().hex[:8]
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, identity.encode())
    if not identity.isalnum():
        raise CheckpointError(f"{path} is not an id: delete it")
    return identity
