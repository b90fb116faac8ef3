"""Names that are not ours: version 0.1's, for one release, with a warning; other libraries', answered with ours."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

RENAMED: dict[str, str] = {
    "proximax.Rates": "proximax.ScheduledValues",
    "proximax.Signals": "proximax.ObjectiveInputs",
    "proximax.adapters.from_equinox": "proximax.from_equinox",
    "proximax.adapters.from_linen": "proximax.from_linen",
    "proximax.adapters.from_nnx": "proximax.from_nnx",
    "proximax.bench.Measured": "proximax.profiling.ThroughputReport",
    "proximax.bench.bench": "proximax.profiling.bench",
    "proximax.frames.FrameStore": "proximax.spaces.FrameStore",
    "proximax.frames.is_stacked": "proximax.spaces.is_stacked",
    "proximax.keys.host_key": "proximax.runtime.key_from_data",
    "proximax.keys.rolled": "proximax.runtime.as_threefry2x32",
    "proximax.keys.seed_key": "proximax.seed_key",
    "proximax.metrics.METRICS": "proximax.runs.METRICS",
    "proximax.preprocessing.AtariConfig": "proximax.AtariConfig",
    "proximax.presets.PRESETS": "proximax.config.PRESETS",
    "proximax.presets.find_preset": "proximax.config.find_preset",
    "proximax.presets.preset_settings": "proximax.config.preset_settings",
    "proximax.seeds.stack_seeds": "proximax.stack_seeds",
    "proximax.update.Algorithm": "proximax.Algorithm",
    "proximax.update.Rates": "proximax.ScheduledValues",
    "proximax.update.Signals": "proximax.ObjectiveInputs",
}
_ALGORITHM = "proximax.train(ENV, algo={!r}, steps=...) trains, its settings are keywords; it returns a Result"
_VEC_ENV = "proximax.train(ID, num_envs=N) creates the environments; proximax.make_env(ID, N) alone"
_CALLBACK = "callbacks=[...] of proximax.train: functions, or proximax.TrainingCallback objects"
_MONITOR = "returns and lengths of episodes are recorded anyway: metrics.jsonl, result.history"
_NORMALISE = "normalise_obs and scale_reward, settings of proximax.train, are True by default"
# What does the work of other libraries' names.
ELSEWHERE = {
    "PPO": _ALGORITHM.format("clip"),
    "A2C": _ALGORITHM.format("a2c"),
    "TRPO": _ALGORITHM.format("trpo"),
    **dict.fromkeys(("make_vec_env", "make_atari_env", "make", "DummyVecEnv", "SubprocVecEnv", "VecEnv"), _VEC_ENV),
    "evaluate_policy": "proximax.evaluate(RUN or agent, episodes)",
    "EvalCallback": "eval_every=STEPS of proximax.train evaluates and keeps the best checkpoint",
    "CheckpointCallback": "checkpoint_every of proximax.train: seconds, as '60s', or steps, as '100000'",
    "StopTrainingOnRewardThreshold": "stop_at_return=RETURN of proximax.train",
    **dict.fromkeys(("BaseCallback", "Callback", "CallbackList"), _CALLBACK),
    "VecNormalize": _NORMALISE,
    "Monitor": _MONITOR,
    "VecVideoRecorder": "video_every=STEPS of proximax.train, and proximax.video(RUN)",
    "learn": "proximax.train(ENV, steps=...)",
}
MODULES = {old.rpartition(".")[0] for old in RENAMED} - {"proximax"}


def renamed_name(module: str, name: str) -> Any:
    """What ``module.name`` is called today. For the ``__getattr__`` of ``module``: raises ``AttributeError``."""
    new = RENAMED.get(f"{module}.{name}")
    if new is None:
        answer = f": {ELSEWHERE[name]}" if module == "proximax" and name in ELSEWHERE else ""
        raise AttributeError(f"module {module!r} has no attribute {name!r}{answer}")
    text = f"{module}.{name} is now {new}; the old name will be removed in the next release"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    package, _, new_name = new.rpartition(".")
    return getattr(importlib.import_module(package), new_name)


class RenamedModules(MetaPathFinder, Loader):
    """Finds the modules of ``MODULES``, which are empty but for names that are looked up in ``RENAMED``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As ``importlib`` asks every finder."""
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        """Give a new module its names."""
        module.__getattr__ = lambda name: renamed_name(module.__name__, name)  # type: ignore[method-assign]


def install() -> None:
    """Let old modules be imported. This finder is asked first: an installed older version may still have the files."""
    if not any(isinstance(finder, RenamedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, RenamedModules())
