"""The commands of ``proximax`` and their flags."""

import difflib
import functools
import operator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from proximax.cli.arguments import (
    RUNS_HELP,
    TARGETS_HELP,
    WATCHED_HELP,
    AllowImport,
    Checkpoint,
    Debug,
    Deterministic,
    Device,
    Env,
    OtherEnv,
    Quiet,
    References,
    RunDirectory,
    RunOrPolicy,
    Stochastic,
    Verbose,
)
from proximax.cli.demo import Demo
from proximax.cli.settings import REGISTRY, RunSettings, SharedSettings, as_defaults, overrides, take_env_kwargs
from proximax.cli.tuning import Tune
from proximax.config import AtariConfig, RunConfig, is_custom
from proximax.envs import EnvId
from proximax.errors import UsageError
from proximax.exporting import CHECKED, Format, Output
from proximax.reports import DEFAULT_SEEDS, has_runs
from proximax.runs import load_config
from proximax.training import check_may_change, resolve
from proximax.tuning import SEARCH_SEED
from proximax.web import DEFAULT_PORT


@dataclass(frozen=True)
class Train:
    """Train a policy and evaluate it. Settings come from ENV's preset, if there is one; flags override them."""

    env: Env = ""
    settings: Annotated[RunSettings, tyro.conf.arg(name="")] = field(default_factory=dict)
    out: Path | None = None
    """Run directory, which must not exist yet. Default: runs/ENV-ALGO-DATE-TIME."""
    resume: str | None = None
    """Resume this run directory from its last checkpoint; "auto": resume --out, or start there without a checkpoint."""
    device: Device = "auto"
    launch: Literal["local", "ray"] | None = None
    """Train in several processes, which are started again after a failure: of this machine, or by Ray."""
    workers: str | None = None
    """How many processes, with --launch; MIN-MAX under Ray: as many as it has room for. Default: as many as there are
    cores and as share the shards evenly."""
    address: str | None = None
    """HOST:PORT of the Ray cluster, with --launch ray. Default: RAY_ADDRESS, or a Ray of this machine of its own."""
    profile: bool = False
    """Write a trace of some updates to OUT/profile, which opens in https://ui.perfetto.dev"""
    watch: bool = False
    """Show the run in the browser while it trains; prints the address. `proximax watch OUT` shows it again."""
    log: str | None = None
    """Where metrics go besides metrics.jsonl, separated by commas: csv, tensorboard, wandb, trackio; none for nothing.
    Default: tensorboard, where it is installed."""
    quiet: Quiet = False
    verbose: Verbose = False
    allow_import: AllowImport = False
    debug: Debug = False

    @property
    def resumed_run(self) -> str | None:
        """The run directory of ``--resume RUN``."""
        return None if self.resume == "auto" else self.resume


@dataclass(frozen=True)
class Bench:
    """Measure where the time of `proximax train` with the same flags goes, and this machine's ceilings."""

    env: Env
    settings: Annotated[RunSettings, tyro.conf.arg(name="")] = field(default_factory=dict)
    seconds: float = 2.0
    """How long to measure each part."""
    device: Device = "auto"
    debug: Debug = False


@dataclass(frozen=True)
class Compare:
    """Train algorithms on each ENV and put them side by side, with each RUN as it is. Settings hold for all trained."""

    targets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ENV|RUN ...", help=TARGETS_HELP)]
    algos: str | None = None
    """Which algorithms to train, separated by commas; ppo is clip. Default: reinforce,surrogate,penalty,clip,trpo"""
    settings: Annotated[SharedSettings, tyro.conf.arg(name="")] = field(default_factory=dict)
    out: Path | None = None
    """For runs, figures and tables; finished runs in it are reused, interrupted ones continued. Default:
    runs/ENV-compare-HASH, always the same for the same command."""
    format: str = "png"
    """Of the figures: png (200 dpi), pdf, svg; or several, separated by commas."""
    references: References = ()
    device: Device = "auto"
    quiet: Quiet = False
    debug: Debug = False


@dataclass(frozen=True)
class Eval:
    """Evaluate the policies of a run, all its seeds."""

    run: RunOrPolicy
    episodes: int = 100
    """Episodes of each seed."""
    seed: int = 0
    """Of the environments, and of the actions with --stochastic."""
    checkpoint: Checkpoint = "last"
    stochastic: Stochastic = False
    deterministic: Deterministic = False
    env: OtherEnv = None
    env_kwargs: tyro.conf.Suppress[dict[str, Any]] = field(default_factory=dict)
    allow_import: AllowImport = False
    debug: Debug = False


@dataclass(frozen=True)
class Video:
    """Record a policy of a run: an evaluation episode, with the return so far."""

    run: RunOrPolicy
    out: Path | None = None
    """An .mp4 or .gif file. Default, of a run: RUN/videos/policy-SEED-episode-SEED.mp4"""
    seed: int = 0
    """Of the environment, and of the actions with --stochastic: the episode that `proximax eval --episodes 1` plays."""
    episodes: int = 1
    """How many episodes, one after the other."""
    stochastic: Stochastic = False
    deterministic: Deterministic = False
    checkpoint: Checkpoint = "last"
    agent_seed: int | None = None
    """Which of the run's seeds; by default the one with the best final evaluation."""
    seconds: float = 300.0
    """End the video after this many seconds of play."""
    env: OtherEnv = None
    env_kwargs: tyro.conf.Suppress[dict[str, Any]] = field(default_factory=dict)
    allow_import: AllowImport = False
    debug: Debug = False


@dataclass(frozen=True)
class Export:
    """Write a policy of a run to one file that runs without JAX, checked against the run."""

    run: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN", help="Run directory, one of its checkpoints, or a file that agent.save wrote."),
    ]
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """An .onnx or .npz file; -o for short. Default: policy.onnx, or of --format."""
    format: Format | None = None
    """onnx: for onnxruntime, C++, browsers. npz: NumPy arrays, for a reader of 30 lines. Default: by the ending of
    --out."""
    output: Output = "action"
    """Of an ONNX file. action: the most likely one. parameters: those of the distribution (logits, mean and log_std,
    alpha and beta) beside it."""
    seed: int | None = None
    """Which of the run's seeds; by default the one with the best final evaluation."""
    checkpoint: Checkpoint = "last"
    check: int = CHECKED
    """Observations on which the file is compared with the run."""
    debug: Debug = False


@dataclass(frozen=True)
class Plot:
    """Plot training returns of runs: a panel for each environment, one curve for the seeds of the same settings."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]", help=RUNS_HELP)]
    out: Path | None = None
    """A .png (200 dpi), .pdf or .svg file. Default: returns.png, or of --format."""
    format: Literal["png", "pdf", "svg"] | None = None
    """Of the figure. Default: by the ending of --out."""
    debug: Debug = False


@dataclass(frozen=True)
class Report:
    """Write one HTML file about runs: curves, scores with intervals, diagnostics, settings, how to train them again."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]", help=RUNS_HELP)]
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report.html")
    """An .html file, which opens without a network; -o for short. An existing one is replaced."""
    files: Path | None = None
    """A folder for each figure as SVG and PNG, and for the tables as Markdown and LaTeX."""
    references: References = ()
    debug: Debug = False


@dataclass(frozen=True)
class Doctor:
    """Report what is wrong with a run, finished or not, the cause and the remedy. Exit code 0 also with findings."""

    run: RunDirectory
    debug: Debug = False


@dataclass(frozen=True)
class Watch:
    """Show runs in the browser, while they train and after; until Ctrl-C. The page only reads."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]", help=WATCHED_HELP)] = ()
    port: int = DEFAULT_PORT
    """Of the page; 0 takes a free one. Where it is taken the next free one is used."""
    host: str = "127.0.0.1"
    """Where to serve the page. By default only this machine reaches it; any other host needs --token."""
    token: str = ""
    """What a browser must know to see the page: 16 characters and more. Default: none, or PROXIMAX_TOKEN."""
    debug: Debug = False


@dataclass(frozen=True)
class Presets:
    """List what is tuned, the return to expect, and where the settings come from."""

    debug: Debug = False


COMMANDS: dict[str, type] = {
    "train": Train,
    "bench": Bench,
    "compare": Compare,
    "tune": Tune,
    "eval": Eval,
    "video": Video,
    "export": Export,
    "plot": Plot,
    "report": Report,
    "doctor": Doctor,
    "watch": Watch,
    "presets": Presets,
    "demo": Demo,
}
Command: Any = functools.reduce(
    operator.or_,
    (Annotated[command, tyro.conf.subcommand(name, prefix_name=False)] for name, command in COMMANDS.items()),
)


def parse(arguments: list[str]) -> Any:
    """The command that the arguments say. Exits with code 2 where they do not say one, with 0 after ``--help``.

    Raises ``UsageError`` for a command that does not exist.
    """
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        if arguments and not arguments[0].startswith("-"):
            near = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f". Commands: {', '.join(COMMANDS)}"
            raise UsageError(f"no command {arguments[0]!r}{hint}")
        return _tyro(Command, arguments)
    prog, rest = f"proximax {arguments[0]}", arguments[1:]
    if command in (Train, Bench, Compare, Tune, Eval, Video):
        rest, env_kwargs = take_env_kwargs(rest, command is not Compare)
        if env_kwargs:
            given = parse([arguments[0], *rest])
            if isinstance(given, (Eval, Video)):
                return replace(given, env_kwargs=env_kwargs)
            return replace(given, settings=given.settings | {"env_kwargs": env_kwargs})
    without_help = [argument for argument in rest if argument not in ("--help", "-h")]
    if len(without_help) < len(rest) and command in (Train, Bench, Compare, Tune):
        return _tyro(command, ["--help"], prog, default=_with_defaults(command, without_help))
    return _tyro(command, rest, prog)


def _tyro(command: Any, arguments: list[str], prog: str = "proximax", **options: Any) -> Any:
    config = (tyro.conf.FlagCreatePairsOff,)
    return tyro.cli(command, prog=prog, args=arguments, config=config, registry=REGISTRY, **options)


def _with_defaults(command: Any, arguments: list[str]) -> Any:
    """``command`` with the settings that it would use, for its help; the arguments may be incomplete."""
    try:
        given = _tyro(command, arguments, console_outputs=False)
    except SystemExit:
        given = Compare(targets=()) if command is Compare else command(env="")
    if isinstance(given, Compare):
        env = next((target for target in given.targets if not has_runs(Path(target))), "")
        given = Bench(env, {"seeds": DEFAULT_SEEDS} | given.settings)
    elif isinstance(given, Tune):
        given = Bench(given.env, {"seed": SEARCH_SEED} | given.settings)
    settings = as_defaults(config_of(given))
    if command is Compare:
        settings.pop("algo")
        return Compare(targets=tyro.MISSING, settings=settings)
    return command(env=tyro.MISSING, settings=settings)


def config_of(command: Train | Bench) -> RunConfig:
    """The settings of a run: those of the preset, or of the run to resume, and over them what was given."""
    settings = dict(command.settings)
    run = command.resumed_run if isinstance(command, Train) else None
    config = resumable_config(run) if run else None
    env_id = EnvId.parse(config.env if config is not None and not command.env else command.env)
    if "atari" in settings and not settings["atari"]:
        del settings["atari"]
    if "atari" in settings and not env_id.is_atari:
        flag = next(iter(settings["atari"])).replace("_", "-")
        raise UsageError(f"--atari.{flag}: only for Atari games; {env_id} is not one")
    if config is None:
        return resolve(command.env, settings.pop("preset", None), overrides(settings))[0]
    if settings.get("preset") == "none":  # as it was given to the run
        settings["preset"] = None
    settings |= {"env": str(env_id), "ppo": replace(config.ppo, **settings.get("ppo", {}))}
    if "atari" in settings:
        settings["atari"] = replace(config.atari or AtariConfig(), **settings["atari"])
    asked = replace(config, **settings)
    check_may_change(config, asked, run)  # before their sizes, which may not fit each other
    return asked


def resumable_config(run: str) -> RunConfig:
    """The settings of a run that the command line can resume."""
    config = load_config(run)
    is_object = EnvId.parse(config.env).is_object
    if is_custom(config.algo) or is_object:
        name = config.env if is_object else config.algo
        raise UsageError(f"{run} has {name}, which only Python knows: proximax.train(..., out={run!r}, resume=True)")
    return config
