"""The policy of a run as its page plays it: read from a checkpoint when somebody asks, and kept; nothing is written."""

import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

from proximax.config import RunConfig
from proximax.envs import EnvId
from proximax.errors import CheckpointError, ProximaxError, UsageError
from proximax.exporting import onnx_text, weights_json
from proximax.runs import Checkpoint, checkpoint_names, find_checkpoint, load_agent, load_config
from proximax.runtime import finite_or_none, own_numbers

CANVASES = ("CartPole-v1", "Pendulum-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1")
CHECKPOINTS = ("last", "best")
MAX_KEPT = 32  # policies that are kept


def canvas_problem(config: RunConfig) -> str:
    """Why a page cannot play the policy of a run; "" where it can."""
    env = EnvId.parse(config.env)
    if env.source != "gymnasium" or env.name not in CANVASES:
        return f"{env.display} cannot be played in the page; these can: {', '.join(CANVASES)}"
    if config.env_kwargs:
        return f"the page plays {env.name} as it is, and this run changed its arguments: {', '.join(config.env_kwargs)}"
    if config.hide_velocities or config.show_previous:
        return f"the page plays {env.name} as it is, and this run's policy sees other observations"
    return ""


def is_playable(config: RunConfig, run_dir: Path) -> bool:
    """Whether a page can play the policy of a run, which has been saved."""
    try:
        return not canvas_problem(config) and bool(checkpoint_names(run_dir / "checkpoints"))
    except (ProximaxError, OSError):
        return False


class Key(NamedTuple):
    """Which policy: another one has another key."""

    run_dir: Path
    checkpoint: str
    digest: str
    seed: int | None


class Policies:
    """Policies of runs. May be asked by several threads: one of them makes a policy, the others wait for it."""

    def __init__(self) -> None:
        self._kept, self._lock = OrderedDict[Key, bytes](), threading.Lock()

    def answer(self, run_dir: Path, name: str, which: str, seed: int | None) -> bytes:
        """The policy of a checkpoint of the run that the page calls ``name``, as JSON.

        Raises ``UsageError`` where it cannot be played, ``CheckpointError``.
        """
        config = load_config(run_dir)
        if problem := canvas_problem(config):
            raise UsageError(problem)
        found = find_checkpoint(run_dir, which, read=())[0]
        if found.manifest["network"] != "built-in":
            raise UsageError("this run was trained with a custom network, which only its program has: export it there")
        key = Key(run_dir, found.path.name, found.manifest["sha256"], seed)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = json.dumps(
                    {"name": name, **policy_json(run_dir, found, seed)}, allow_nan=False
                ).encode()
                while len(self._kept) > MAX_KEPT:
                    self._kept.popitem(last=False)
            return self._kept[key]


def policy_json(run_dir: Path, found: Checkpoint, seed: int | None) -> dict[str, Any]:
    """What the page needs to know of one policy: its weights, its ONNX file, and where it comes from."""
    try:
        saved = found.path.stat().st_mtime
    except OSError as error:
        raise CheckpointError(f"{found.path} is gone: {error}") from error
    with own_numbers():
        agent, config, seed = load_agent(run_dir, seed, None, found.path.name)
        weights, onnx = weights_json(agent), onnx_text(agent)
    return {
        "env": EnvId.parse(config.env).name,
        "steps": found.manifest["steps"],
        "evaluation": finite_or_none(value) if isinstance(value := found.manifest.get("evaluation"), float) else None,
        "saved": saved,
        "seed": seed,
        "first_seed": config.seed,
        "seeds": config.seeds,
        "weights": weights,
        "onnx": onnx,
    }
