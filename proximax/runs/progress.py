"""What a checkpoint keeps of a run beside its ``TrainState``: counters, clocks, and how far its logs have got."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proximax.errors import CheckpointError
from proximax.runs.directory import METRICS_FILE
from proximax.runs.metrics import History

Tree = dict[str, Any]  # what ``pytree_json`` can write: plain values and arrays under names


class LogPosition(NamedTuple):
    """How much of a log is on disk (bytes), and the rows that still wait for room there."""

    size: int = 0
    waiting: str = ""


class LoggerState(NamedTuple):
    """What a run's logs need to be continued without a gap and without a row twice."""

    history: Tree  # ``History.to_tree``
    logs: dict[str, LogPosition]  # by file name


class RunProgress(NamedTuple):
    """A run's own memory between two updates. Only ``to_tree`` spells the names that are on disk."""

    logger: LoggerState
    time_s: float = 0.0  # wall-clock seconds of training so far
    compile_s: float = 0.0
    evaluated: int = 0  # the update of the last evaluation logged
    reached: bool = False  # whether that one ended the run by reaching ``stop_at_return``
    restarts: int = 0  # of environments that crashed

    @classmethod
    def start(cls, first_seed: int, seeds: int) -> "RunProgress":
        """Of a run that has done nothing yet."""
        return cls(LoggerState(History(first_seed, seeds).to_tree(), {}))

    def to_tree(self) -> Tree:
        """As plain values and arrays, under the names that are on disk."""
        logs = {name: position._asdict() for name, position in self.logger.logs.items()}
        recorder = {"history": self.logger.history, "logs": logs}
        return {"recorder": recorder, **{name: getattr(self, name) for name in self._fields if name != "logger"}}

    @classmethod
    def from_tree(cls, tree: object, seeds: range, path: Path) -> "RunProgress":
        """What ``to_tree`` gave, of a run of these ``seeds``. Raises ``CheckpointError``, which names ``path``."""
        no_history = History(seeds.start, len(seeds)).to_tree()
        example: Tree = cls(LoggerState(no_history, {METRICS_FILE: LogPosition()})).to_tree()
        tree = {"restarts": 0, **tree} if isinstance(tree, dict) else {}  # the first checkpoints have no restarts
        mismatch = first_mismatch(tree, example)
        if not mismatch:
            logs = tree["recorder"]["logs"]
            mismatch = first_mismatch(logs, dict.fromkeys(logs, LogPosition()._asdict()), "progress.recorder.logs")
        if mismatch:
            raise CheckpointError(f"{path}: cannot resume: {mismatch} has an unexpected type")
        positions = {name: LogPosition(log["size"], log["waiting"]) for name, log in logs.items()}
        counters: Tree = {name: value for name, value in tree.items() if name in cls._fields}
        return cls(LoggerState(tree["recorder"]["history"], positions), **counters)

    @property
    def update(self) -> int:
        """The updates that the logs have."""
        return int(self.logger.history["update"])

    @property
    def settled_evaluation(self) -> int:
        """The last update that need not be evaluated again when the run is resumed.

        One that reached the goal is evaluated again: the run ends by it again, unless it has another goal.
        """
        return self.evaluated - 1 if self.reached else self.evaluated


def first_mismatch(value: object, example: object, name: str = "progress") -> str:
    """The first part of ``value`` that is of another type than in ``example``; "" if there is none.

    Sizes of arrays may differ. Numbers must be finite and not negative; a value may have keys that the example lacks.
    """
    if isinstance(example, dict):
        if not isinstance(value, dict) or not example.keys() <= value.keys():
            return name
        parts = (first_mismatch(value[key], part, f"{name}.{key}") for key, part in example.items())
        return next(filter(None, parts), "")
    if isinstance(example, np.ndarray):
        same = isinstance(value, np.ndarray) and (value.dtype, value.ndim) == (example.dtype, example.ndim)
    elif isinstance(example, (bool, str)):
        same = isinstance(value, type(example))
    else:
        types = int if isinstance(example, int) else (int, float)
        same = isinstance(value, types) and not isinstance(value, bool) and 0 <= value < float("inf")
    return "" if same else name
