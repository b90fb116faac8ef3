"""``proximax tune``."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from proximax.cli.arguments import Debug, Device, Env, Quiet
from proximax.cli.device import use_device
from proximax.cli.settings import ENV_KWARGS, RunSettings, overrides
from proximax.errors import UsageError
from proximax.reports import nearby
from proximax.runtime import format_number, printable, write_stderr
from proximax.tuning import (
    FRESH_SEEDS,
    HALVINGS,
    SEARCH_SEED,
    PrunerName,
    SamplerName,
    TuneResult,
    counts_text,
    execute_tuning,
    plan_tuning,
    trial_table,
)


@dataclass(frozen=True)
class Tune:
    """Search settings: many trials side by side in one program. Flags of settings hold for all of them."""

    env: Env
    trials: int = 64
    """How many, those that are pruned included."""
    side_by_side: int = 8
    """How many train at a time."""
    settings: Annotated[RunSettings, tyro.conf.arg(name="")] = field(default_factory=dict)
    space: Path | None = None
    """What is searched: a TOML or JSON file, as [learning_rate] low = 1e-4, high = 1e-2, scale = "log". Default: what
    is printed at the start."""
    sampler: SamplerName = "tpe"
    """Of Optuna: what is tried next."""
    pruner: PrunerName = "halving"
    """halving: of the trials that reach 1/8, 1/4, 1/2 of the steps about the better half continues. none: all do."""
    halvings: int = HALVINGS
    """How often trials are compared before their end."""
    out: Path | None = None
    """For the study, its page and figures; a search in it is continued. Default: runs/ENV-tune-HASH, always the
    same for the same search."""
    storage: str | None = None
    """Where Optuna keeps the study: a URL, a .log journal, or an SQLite file. Default: OUT/study.db"""
    study: str | None = None
    """The study's name in the storage."""
    preset_out: Path | None = None
    """A .toml file for the best settings, which --preset takes. Default: OUT/best.toml"""
    device: Device = "auto"
    quiet: Quiet = False
    debug: Debug = False


def run_tune(command: Tune) -> None:
    """``proximax tune``."""
    use_device(command.device)
    if not command.env:
        raise UsageError("tune: name an environment, as in proximax tune CartPole-v1")
    settings = dict(command.settings)
    names = ("trials", "side_by_side", "space", "sampler", "pruner", "halvings")
    options = {name: getattr(command, name) for name in names} | {"preset": settings.pop("preset", None)}
    plan = plan_tuning(
        command.env,
        {"seed": SEARCH_SEED} | overrides(settings),
        options,
        out=command.out or "auto",
        storage=command.storage,
        study=command.study,
    )
    try:
        result = execute_tuning(plan, command.preset_out, command.quiet)
    except KeyboardInterrupt:
        write_stderr("next: the same command continues the study")
        raise
    print(printable(tuning_report(command.env, result, settings.get("env_kwargs", {}))))


def tuning_report(env: str, result: TuneResult, env_kwargs: dict[str, Any]) -> str:
    """The end of a search: the best trials, where everything is, and what to do with it."""
    best = result.best
    arguments = "".join(f" {ENV_KWARGS}{name} {shlex.quote(repr(value))}" for name, value in env_kwargs.items())
    preset = shlex.quote(str(nearby(result.preset or Path())))
    return "\n".join(
        [
            trial_table(result.trials, result.space),
            counts_text(result.trials),
            f"best      trial {best.number}: mean return {format_number(best.score or 0.0)}, which is partly luck: it "
            f"is the best of {len(result.trials)}",
            *([f"saved in {nearby(result.directory)}"] if result.directory else []),
            f"next: proximax train {shlex.quote(env)}{arguments} --preset {preset} --seeds {FRESH_SEEDS}",
        ]
    )
