"""The commands of ``proximax`` and their flags."""

from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from proximax.config import (
    CUSTOM,
    AlgorithmName,
    AtariConfig,
    Autoreset,
    NetworkName,
    PPOConfig,
    RunConfig,
    find_preset,
    preset_settings,
)
from proximax.envs import ale_id, atari_id, env_name
from proximax.errors import UsageError
from proximax.runs import load_config


@dataclass(frozen=True)
class Train:
    """Train a policy and evaluate it. Settings come from ENV's preset, if there is one; flags override them."""

    env: Annotated[str, tyro.conf.Positional]
    """Any Gymnasium id (CartPole-v1), package:Env-v0, or an id with its source: gymnasium: envpool: gymnax: probe:"""
    preset: str | None = None
    """A name from `proximax presets`; by default the one tuned for ENV; "none" for the plain defaults."""
    algo: AlgorithmName = "clip"
    """Which algorithm of the road from REINFORCE to PPO."""
    steps: int = 1_000_000
    """Environment steps of each seed."""
    seeds: int = 1
    """How many seeds train side by side."""
    seed: int = 0
    """The first seed; the others follow."""
    num_envs: int = 8
    """Environments of each seed."""
    env_groups: int = 1
    """Groups of environments, one stepping while the policy acts for the next; for cores to spare."""
    out: Path | None = None
    """Run directory, which must be new. Default: runs/ENV-ALGO-DATE-TIME."""
    resume: str | None = None
    """Go on with this run directory from its last checkpoint; "auto": with --out, or start there if it holds none."""
    checkpoint_every: str = "60s"
    """How often to save the whole run: 60s (seconds), 100000 (steps of each seed), or end."""
    keep_checkpoints: int = 3
    """The newest so many checkpoints are kept, and the best by evaluation."""
    eval_every: int | None = None
    """Evaluate after every so many steps: OUT/evaluations.jsonl, and the best checkpoint is kept."""
    stop_at_return: float | None = None
    """Stop as soon as the mean evaluation return of every seed reaches this."""
    eval_episodes: int = 100
    """Episodes of each seed in an evaluation."""
    eval_stochastic: tyro.conf.FlagConversionOff[bool] = False
    """Draw actions from the policy in evaluations, instead of taking its likeliest ones."""
    video_every: int | None = None
    """Film an episode after every so many steps, and at the end: OUT/videos/STEPS.mp4"""
    network: NetworkName = "auto"
    """mlp: a perceptron; the others are convolutional. auto: blocks for images, else mlp."""
    autoreset: Autoreset = "auto"
    """Autoreset mode, for vector environments that do not state theirs."""
    env_restarts: int = 0
    """How often an environment that crashes is made anew, instead of ending the run."""
    env_timeout: float = 300.0
    """Seconds that a call of an environment in a worker process may take; then it counts as crashed."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""
    profile: bool = False
    """Write a trace of some updates to OUT/profile, which opens in https://ui.perfetto.dev"""
    quiet: bool = False
    """Show no progress."""
    allow_import: bool = False
    """With --resume: let the run's config.json name a package to import (package:Env-v0)."""
    debug: bool = False
    """Show the traceback of an error."""
    atari: tyro.conf.FlagConversionOff[AtariConfig] = field(default_factory=AtariConfig)
    ppo: tyro.conf.FlagConversionOff[PPOConfig] = field(default_factory=PPOConfig)


@dataclass(frozen=True)
class Bench:
    """Measure what the time of `proximax train` with the same flags goes to, and this machine's ceilings."""

    env: Annotated[str, tyro.conf.Positional]
    """As in `proximax train`."""
    preset: str | None = None
    """A name from `proximax presets`; by default the one tuned for ENV; "none" for the plain defaults."""
    algo: AlgorithmName = "clip"
    """Which algorithm of the road from REINFORCE to PPO."""
    seeds: int = 1
    """How many seeds train side by side."""
    num_envs: int = 8
    """Environments of each seed."""
    env_groups: int = 1
    """Groups of environments, one stepping while the policy acts for the next."""
    seconds: float = 2.0
    """How long to measure each part."""
    network: NetworkName = "auto"
    """mlp: a perceptron; the others are convolutional. auto: blocks for images, else mlp."""
    autoreset: Autoreset = "auto"
    """Autoreset mode, for vector environments that do not state theirs."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""
    debug: bool = False
    """Show the traceback of an error."""
    atari: tyro.conf.FlagConversionOff[AtariConfig] = field(default_factory=AtariConfig)
    ppo: tyro.conf.FlagConversionOff[PPOConfig] = field(default_factory=PPOConfig)


@dataclass(frozen=True)
class Compare:
    """Train several algorithms on ENV and draw them side by side. Settings of --ppo hold for all of them."""

    env: Annotated[str, tyro.conf.Positional]
    """As in `proximax train`."""
    algos: str = "reinforce,surrogate,penalty,clip,trpo"
    """Which algorithms, separated by commas."""
    preset: str | None = None
    """A name from `proximax presets`; by default the one tuned for ENV; "none" for the plain defaults."""
    steps: int | None = None
    """Environment steps of each seed. Default: the preset's."""
    seeds: int = 8
    """How many seeds train side by side."""
    seed: int = 0
    """The first seed; the others follow."""
    num_envs: int | None = None
    """Environments of each seed. Default: the preset's."""
    out: Path | None = None
    """For runs, pictures and table; runs that it holds already are taken. Default: runs/ENV-compare-DATE-TIME."""
    eval_episodes: int = 100
    """Episodes of each seed in the final evaluation."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""
    quiet: bool = False
    """Show no progress."""
    debug: bool = False
    """Show the traceback of an error."""
    ppo: tyro.conf.FlagConversionOff[PPOConfig] = field(default_factory=PPOConfig)


@dataclass(frozen=True)
class Eval:
    """Evaluate the policies of a run, all its seeds."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    episodes: int = 100
    """Episodes of each seed."""
    seed: int = 0
    """Of the environments, and of the actions with --stochastic."""
    checkpoint: str = "last"
    """Which: last, best (by the evaluations of --eval-every and --stop-at-return), or a name in RUN/checkpoints."""
    stochastic: bool = False
    """Sample actions. Without --stochastic and --deterministic: as the run's own evaluations do."""
    deterministic: bool = False
    """Take the most likely actions (the mode)."""
    allow_import: bool = False
    """Let the run's config.json name a package to import (package:Env-v0)."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Video:
    """Film a policy of a run: an evaluation episode, with the return so far."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    out: Path | None = None
    """An .mp4 or .gif file. Default: RUN/videos/policy-SEED-episode-SEED.mp4"""
    seed: int = 0
    """Of the environment, and of the actions with --stochastic: the episode that `proximax eval --episodes 1` plays."""
    episodes: int = 1
    """How many episodes, one after the other."""
    stochastic: bool = False
    """Sample actions. Without --stochastic and --deterministic: as the run's own evaluations do."""
    deterministic: bool = False
    """Take the most likely actions (the mode)."""
    checkpoint: str = "last"
    """Which: last, best (by the evaluations of --eval-every and --stop-at-return), or a name in RUN/checkpoints."""
    agent_seed: int | None = None
    """Which of the run's seeds; by default the one with the best final evaluation."""
    seconds: float = 300.0
    """End the video after so many seconds of play."""
    allow_import: bool = False
    """Let the run's config.json name a package to import (package:Env-v0)."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Doctor:
    """Say what is wrong with a run, finished or not, the cause and the remedy. Exit code 0 also with findings."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Presets:
    """List what is tuned, the return to expect, and where the settings come from."""

    debug: bool = False
    """Show the traceback of an error."""


Command: Any = (
    Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
    | Annotated[Bench, tyro.conf.subcommand("bench", prefix_name=False)]
    | Annotated[Compare, tyro.conf.subcommand("compare", prefix_name=False)]
    | Annotated[Eval, tyro.conf.subcommand("eval", prefix_name=False)]
    | Annotated[Video, tyro.conf.subcommand("video", prefix_name=False)]
    | Annotated[Doctor, tyro.conf.subcommand("doctor", prefix_name=False)]
    | Annotated[Presets, tyro.conf.subcommand("presets", prefix_name=False)]
)


def parse(arguments: list[str]) -> Any:
    """The command. ``train`` and ``bench`` are parsed twice: environment and preset decide defaults, also of --help."""
    if arguments[:1] == ["train"] and (run := resumed_run(arguments)) is not None:
        return _tyro(Train, arguments[1:], "proximax train", resumed(run))
    names = [a for a in arguments if a not in ("--help", "-h")]
    command = {"train": Train, "bench": Bench}.get(names[0]) if len(names) > 1 else None
    if command is None:
        return _tyro(Command, arguments)
    prog = f"proximax {names[0]}"
    if len(names) == len(arguments):
        first = _tyro(command, names[1:], prog)
        env, preset, algo = first.env, first.preset, str(first.algo)
    else:  # help: the rest may be incomplete
        env = next((a for a in names[1:2] if not a.startswith("-")), "")
        preset = next((b for a, b in pairwise(names) if a == "--preset"), None)
        algo = next((b for a, b in pairwise(names) if a == "--algo"), "clip")
    return _tyro(command, arguments[1:], prog, defaults(command, env, preset, algo))


def resumed_run(arguments: list[str]) -> str | None:
    """The run directory of ``--resume RUN``, if there is one."""
    given = [a.partition("=")[2] for a in arguments if a.startswith("--resume=")]
    given += [b for a, b in pairwise(arguments) if a == "--resume"]
    return given[0] if given and given[0] != "auto" else None


def resumed(run: str) -> Train:
    """The command as the run's config has it: flags change single settings, where they may."""
    config = load_config(run)
    if config.algo.startswith(CUSTOM) or config.env.startswith("object:"):
        what = config.env if config.env.startswith("object:") else config.algo
        raise UsageError(f"{run} has {what}, which only Python knows: proximax.train(..., out={run!r}, resume=True)")
    names = {f.name for f in fields(Train)} & {f.name for f in fields(RunConfig)}
    values = {name: getattr(config, name) for name in names} | {"out": Path(run), "resume": run}
    return Train(**values | ({} if config.atari else {"atari": AtariConfig()}))


def _tyro(what: Any, arguments: list[str], prog: str = "proximax", default: Any = None) -> Any:
    given = {} if default is None else {"default": default}
    return tyro.cli(what, prog=prog, args=arguments, config=(tyro.conf.FlagCreatePairsOff,), **given)


def defaults(command: Any, env: str, preset: str | None, algo: str) -> Any:
    """``command`` as preset and algorithm have it."""
    name = env_name(env)
    settings, ppo = preset_settings(find_preset(ale_id(name), preset), algo)
    names = {f.name for f in fields(command)} - (set() if atari_id(name) else {"atari"})
    return command(env=env, ppo=ppo, **{name: value for name, value in settings.items() if name in names})
