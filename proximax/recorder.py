"""What a run leaves behind: its directory, rows of metrics, the policies, the result, or the traceback of a fault."""

import shutil
import traceback
from pathlib import Path
from typing import Any

from proximax.checkpoint import save_agents, write_json
from proximax.config import RunConfig
from proximax.envs import HostEnv, JaxEnv
from proximax.errors import StorageError
from proximax.metrics import History
from proximax.sinks import JsonLines, Sink, TensorBoard, Terminal, tensorboard_installed
from proximax.types import Metrics


class RunDirectory:
    """A new, writable directory; found not to be so before anything else is done."""

    def __init__(self, path: Path) -> None:
        if (path / "config.json").exists():
            raise StorageError(f"{path} already holds a run: choose another --out, or move it away")
        missing = [p for p in (path, *path.parents) if not p.exists()]
        self.path, self._made = path, missing[-1] if missing else None
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / ".probe").touch()
            (path / ".probe").unlink()
        except OSError as error:
            self.discard()
            raise StorageError(f"cannot write to {path}: {error.strerror}. Choose another --out") from error

    def discard(self) -> None:
        """Remove what the constructor made."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


class Recorder:
    """What a run leaves behind: rows for the sinks, and in its directory the config, the policies, the result."""

    def __init__(
        self, config: RunConfig, directory: RunDirectory | None, env: JaxEnv | HostEnv, quiet: bool, network: str
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.history = History(config.seed, config.seeds)
        self.state: Any = None  # the latest good one
        self._config, self._directory, self._env, self._network = config, directory, env, network
        self._sinks: list[Sink] = [] if quiet else [Terminal(config)]
        if directory:
            write_json(directory.path / "config.json", config.to_json())
            self._sinks.append(JsonLines(directory.path / "metrics.jsonl"))
            if tensorboard_installed():
                self._sinks.append(TensorBoard(directory.path / "tensorboard", config))

    def write(self, metrics: Metrics, time_s: float) -> list[dict[str, Any]]:
        """Send one update's rows everywhere."""
        rows = self.history.add(metrics, time_s)
        self.rows += rows
        for sink in self._sinks:
            sink.write(rows)
        return rows

    def finish(self, result: dict[str, Any]) -> None:
        """Write ``result.json``."""
        if self._directory:
            write_json(self._directory.path / "result.json", result)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Save the policies, also after a fault; then the fault's traceback."""
        for sink in self._sinks:
            sink.close()
        if self._directory:
            path, state = self._directory.path, self.state
            spaces = self._env.observation_space, self._env.action_space
            save_agents(path, state.params, state.obs_moments, *spaces, self._network)
            if kind is not None:
                (path / "error.log").write_text(traceback.format_exc())
