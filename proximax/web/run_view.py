"""One run as the page shows it. Everything is read from its files, and kept until they change."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from proximax.config import RunConfig, flatten_dict
from proximax.doctor import last_line, run_checks
from proximax.envs import EnvId
from proximax.errors import CheckpointError, ProximaxError
from proximax.ppo import RATIO_EDGES
from proximax.runs import EVALUATIONS_FILE, MAX_LINE_BYTES, METRICS_FILE, load_config, parse_row
from proximax.runtime import finite_or_none, open_plain, read_json
from proximax.web.media import videos_of
from proximax.web.metrics_reader import MetricsReader
from proximax.web.policies import is_playable
from proximax.web.run_list import FoundRun
from proximax.web.thinning import rounded

Value = TypeVar("Value")
FRESH_S = 0.5  # for which metrics are not looked at again, however many viewers ask
QUIET_S = 120.0  # without a new row, after which a run of another machine is taken to have stopped
CHECK_S = 2.0  # between two looks of the doctor at a run that trains
FEW_SEEDS = 8  # whose evidence is shown
MAX_TAIL, MAX_EVALUATIONS = 2**17, 2**22  # bytes that are read from the ends of the logs
MAX_SEEDS = 2**16
RESULT = (  # of result.json
    *("return_mean", "return_iqm", "return_ci95", "returns", "steps", "wall_s", "compile_s", "steps_per_s"),
    *("eval_episodes", "stopped_by", "notes", "restarts", "version"),
)


class RunView:
    """A run that was found. Its methods may be called from several threads, under ``lock``."""

    def __init__(self, found: FoundRun) -> None:
        self.found, self.lock = found, threading.Lock()
        self.config: RunConfig | None = None
        self.reader = MetricsReader(found.path / METRICS_FILE, range(0))
        self._kept: dict[str, tuple[object, Any]] = {}
        self._findings: list[dict[str, Any]] = []
        self._checked, self._read_at = ("", float("-inf")), float("-inf")

    def summary(self) -> dict[str, Any]:
        """What the list of runs has of it."""
        found, values = self.found, dict[str, Any]()
        try:
            values = self._progress(self._read_config())
        except (ProximaxError, OSError) as error:
            values = {"state": "unreadable", "fault": str(error)}
        return {"id": found.id, "name": found.name, **values}

    def _read_config(self) -> RunConfig:
        config: RunConfig = self._once("config.json", self._load_config)
        return config

    def _load_config(self) -> RunConfig:
        config = load_config(self.found.path)
        if config.seeds > MAX_SEEDS:
            raise CheckpointError(f"config.json names {config.seeds:,} seeds; at most {MAX_SEEDS:,} are read")
        seeds = range(config.seed, config.seed + config.seeds)
        self.config, self.reader = config, MetricsReader(self.found.path / METRICS_FILE, seeds)
        return config

    def _progress(self, config: RunConfig) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self._once(METRICS_FILE, self._last_rows)
        returns = [x for row in rows if isinstance(x := row.get("return_last_100"), (int, float))]
        result = self._result()
        updated, error = self._changed(), self._once("error.log", self._last_error)
        state = "finished" if result else "failed" if error else self._state(updated)
        return {
            "state": state,
            "env": EnvId.parse(config.env).display,
            "algo": config.algo.removeprefix("custom:"),
            "seeds": config.seeds,
            "steps": max((row["steps"] for row in rows), default=0),
            "planned": config.steps,
            "time_s": max((finite_number(row.get("time_s")) or 0.0 for row in rows), default=0.0),
            "training_return": finite_or_none(float(np.mean(returns))) if returns else None,
            "final_return": finite_number(result.get("return_mean")),
            "updated": updated,
            "limits": limits_of(config),
            **({"fault": error} if error and not result else {}),
        }

    def _once(self, name: str, read: Callable[[], Value]) -> Value:
        """What ``read`` gives, or raises, until the file ``name`` changes."""
        signature = signature_of(self.found.path / name)
        if name not in self._kept or self._kept[name][0] != signature:
            value: Any
            try:
                value = read()
            except (ProximaxError, OSError) as error:
                value = error
            self._kept[name] = signature, value
        value = self._kept[name][1]
        if isinstance(value, Exception):
            raise value
        return value

    def _last_rows(self) -> list[dict[str, Any]]:
        """The last row of each seed, of those near the end of the file."""
        rows = rows_at_end(self.found.path / METRICS_FILE, MAX_TAIL)
        config = self.config
        assert config is not None
        allowed = range(config.seed, config.seed + config.seeds)
        return list({row["seed"]: row for row in rows if row["seed"] in allowed}.values())

    def _result(self) -> dict[str, Any]:
        """``result.json``; empty where there is none, or none that can be read."""
        try:
            result: dict[str, Any] = self._once("result.json", lambda: read_json(self.found.path / "result.json", ""))
        except (ProximaxError, OSError):
            return {}
        return result

    def _last_error(self) -> str | None:
        return last_line(self.found.path / "error.log")

    def _changed(self) -> float | None:
        """When the run last wrote something, in seconds since 1970."""
        for name in (METRICS_FILE, "config.json"):
            try:
                return (self.found.path / name).lstat().st_mtime
            except OSError:
                continue
        return None

    def _state(self, updated: float | None) -> str:
        """``training`` or ``stopped``: by the process that has locked the directory, or the age of the latest row."""
        alive = holder_is_alive(self.found.path / ".lock")
        if alive is None:
            alive = updated is not None and time.time() - updated < QUIET_S
        return "training" if alive else "stopped"

    def read_on(self, deadline: float) -> bool:
        """Read more of the metrics; whether all of them are read."""
        if self.reader.complete and time.monotonic() - self._read_at < FRESH_S:
            return True
        try:
            self._read_config()
        except (ProximaxError, OSError):
            return True
        if self.found.in_place:
            self.reader.read(deadline)
        self._read_at = time.monotonic()
        return self.reader.complete

    def details(self) -> dict[str, Any]:
        """What the page shows of the run that is looked at."""
        summary = self.summary()
        if self.config is None or summary["state"] == "unreadable":
            return summary
        config, result = self.config, self._result()
        return summary | {
            "complete": self.reader.complete,
            "metrics_fault": self.reader.fault,
            "updates": self.reader.ratios.updates,
            "planned_updates": config.updates,
            "findings": self._diagnose(config),
            "evaluations": self._evaluations(),
            "result": {name: result[name] for name in RESULT if name in result},
            "settings": settings_of(config),
            "ratios": self._ratios(),
            "playable": self.found.in_place and is_playable(config, self.found.path),
            "videos": [video.to_json() for video in videos_of(self.found.path)] if self.found.in_place else [],
        }

    def _diagnose(self, config: RunConfig) -> list[dict[str, Any]]:
        """The doctor's findings, which are looked for again when there are new rows, but not all the time."""
        version, last = self._checked
        if self.reader.version != version and time.monotonic() - last > CHECK_S:
            rows = {seed: columns.all_columns() for seed, columns in self.reader.seeds.items() if columns.count}
            self._findings = [
                {
                    "name": name,
                    "severity": check.severity,
                    "cause": check.cause,
                    "remedy": check.remedy,
                    "evidence": [{"seed": seed, "text": text} for seed, text in list(evidence.items())[:FEW_SEEDS]],
                    "seeds": len(evidence),
                }
                for name, check, evidence in run_checks(rows, config)
            ]
            self._checked = self.reader.version, time.monotonic()
        return self._findings

    def _evaluations(self) -> list[dict[str, Any]]:
        """The evaluations while training: for each the mean over seeds and what each seed had."""
        try:
            rows: list[dict[str, Any]] = self._once(EVALUATIONS_FILE, self._read_evaluations)
        except (ProximaxError, OSError):
            return []
        by_update: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            by_update.setdefault(row["update"], []).append(row)
        return [evaluation_of(rows) for _, rows in sorted(by_update.items())]

    def _read_evaluations(self) -> list[dict[str, Any]]:
        return rows_at_end(self.found.path / EVALUATIONS_FILE, MAX_EVALUATIONS)

    def _ratios(self) -> dict[str, Any] | None:
        """The histograms of the ratios: of the latest update, and over the whole run."""
        ratios = self.reader.ratios
        if not ratios.used:
            return None
        shares = ratios.counts[: ratios.used] / np.maximum(ratios.counts[: ratios.used].sum(axis=1, keepdims=True), 1)
        return {
            "edges": rounded(RATIO_EDGES),
            "latest": ratios.latest.tolist(),
            "ends": ratios.ends[: ratios.used].tolist(),
            "shares": [rounded(row) for row in shares],
        }


def signature_of(path: Path) -> object:
    """Something that changes when a file does."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def rows_at_end(path: Path, most: int) -> list[dict[str, Any]]:
    """The rows in the last ``most`` bytes of a log; what is not a whole row is left out. None where there is no log."""
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most))
            data = file.read(most)
    except FileNotFoundError:
        return []
    lines = data.split(b"\n")[(size > most) : -1]
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            if len(line) <= MAX_LINE_BYTES:
                rows.append(parse_row(line, str(path)))
        except CheckpointError:
            continue
    return rows


def evaluation_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One evaluation of all seeds."""
    returns = {row["seed"]: row.get("return_mean") for row in rows}
    known = [x for x in returns.values() if isinstance(x, (int, float))]
    return {
        "update": rows[0]["update"],
        "steps": float(np.mean([row["steps"] for row in rows])),
        "mean": finite_or_none(float(np.mean(known))) if known else None,
        "low": min(known, default=None),
        "high": max(known, default=None),
        "episodes": rows[0].get("episodes"),
        "seeds": len(rows),
    }


def finite_number(value: object) -> float | None:
    """A number that may be shown; None for anything else that a file may hold."""
    return finite_or_none(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def settings_of(config: RunConfig) -> list[dict[str, Any]]:
    """Every setting under its dotted name, as JSON, and whether it is another than the default."""
    defaults = flatten_dict(json.loads(json.dumps(RunConfig(config.env).to_json())))
    values = flatten_dict(json.loads(json.dumps(config.to_json())))
    return [
        {
            "name": name,
            "value": value if isinstance(value, str) else json.dumps(value),
            "changed": name not in defaults or defaults[name] != value,
        }
        for name, value in values.items()
    ]


def limits_of(config: RunConfig) -> dict[str, Any]:
    """What the charts draw lines at: ε of the clip, the target of the KL."""
    ppo = config.ppo
    return {
        "epsilon": ppo.epsilon if config.algo in ("clip", "spo") else None,
        "kl": ppo.max_kl if config.algo in ("npg", "trpo") else ppo.target_kl,
        "stop_at_return": config.stop_at_return,
    }


def holder_is_alive(path: Path) -> bool | None:
    """Whether the process that a lock names lives; None where it cannot be known: no lock, or of another machine.

    Nothing is locked here, not even for a moment: a run that starts just then would be refused.
    """
    try:
        with open_plain(path) as file:
            host, _, number = file.read(300).decode(errors="replace").strip().rpartition(" ")
    except (CheckpointError, OSError):
        return None
    if os.name != "posix" or host != socket.gethostname() or not number.isdecimal() or not 1 < int(number) < 2**31:
        return None
    try:
        os.kill(int(number), 0)  # sends nothing
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
        return True
    return True
