"""The commands about runs that exist: plot, report, eval, video, export, watch."""

import os
import shlex
from contextlib import suppress
from pathlib import Path

import numpy as np

from proximax.cli.commands import Eval, Export, Plot, Report, Video, Watch
from proximax.cli.output import run_argument, score_line
from proximax.cli.targets import references_named, runs_named
from proximax.errors import UsageError
from proximax.evaluation import evaluate, video
from proximax.reports import plot
from proximax.reports import report as write_report
from proximax.runs import export, exported_config, load_file
from proximax.runtime import format_number, printable
from proximax.web import watch


def run_plot(command: Plot) -> None:
    """``proximax plot``."""
    if not command.runs:
        raise UsageError("plot: name runs, as in proximax plot runs/NAME")
    ending = f".{command.format or 'png'}"
    out = command.out or Path(f"returns{ending}")
    if command.format is not None and out.suffix.lower() != ending:
        if out.suffix:
            raise UsageError(f"--format {command.format}: --out {out} ends in {out.suffix}")
        out = out.with_name(f"{out.name}{ending}")
    print(printable(f"saved in {plot(runs_named(command.runs), out)}"))


def run_report(command: Report) -> None:
    """``proximax report``."""
    if not command.runs:
        raise UsageError("report: name runs, as in proximax report runs/NAME")
    references = references_named(command.references)
    path = write_report(runs_named(command.runs), command.out, files=command.files, references=references)
    beside = f"; figures and tables in {command.files}" if command.files else ""
    print(printable(f"saved in {path}{beside}"))


def run_export(command: Export) -> None:
    """``proximax export``."""
    out = command.out or Path(f"policy.{command.format or 'onnx'}")
    path = export(
        command.run,
        out,
        seed=command.seed,
        checkpoint=command.checkpoint,
        output=command.output,
        format=command.format,
        check=command.check,
    )
    print(printable(f"{path}: {path.stat().st_size:,} bytes, acts as the run on {command.check:,} random observations"))
    config = exported_config(load_file(path))
    argument = run_argument(config, path) if config is not None else f"{shlex.quote(str(path))} --env ID"
    print(printable(f"next: proximax eval {argument}"))


def run_eval(command: Eval) -> None:
    """``proximax eval``."""
    sample = sample_of(command)
    result = evaluate(
        command.run,
        command.episodes,
        seed=command.seed,
        env=command.env,
        env_kwargs=command.env_kwargs,
        sample=sample,
        checkpoint=command.checkpoint,
        allow_import=command.allow_import,
    )
    seeds = result.returns.shape[0]
    print(score_line(result.summary, seeds, command.episodes))
    for seed, returns in zip(result.seeds, result.returns) if seeds > 1 else []:
        print(f"  seed {seed}: mean {format_number(returns.mean())}")
    low, median, high = np.percentile(result.returns, [0, 50, 100])
    shown = f"lowest {format_number(low)}, median {format_number(median)}, highest {format_number(high)}"
    print(f"episodes  {shown}")


def sample_of(command: Eval | Video) -> bool | None:
    """Whether to sample actions; None: as the run's own evaluations do."""
    if command.stochastic and command.deterministic:
        raise UsageError("--stochastic and --deterministic: give one of them, or none")
    return command.stochastic if command.stochastic or command.deterministic else None


def run_video(command: Video) -> None:
    """``proximax video``."""
    recorded = video(
        command.run,
        command.out,
        episodes=command.episodes,
        seed=command.seed,
        env=command.env,
        env_kwargs=command.env_kwargs,
        sample=sample_of(command),
        agent_seed=command.agent_seed,
        checkpoint=command.checkpoint,
        seconds=command.seconds,
        allow_import=command.allow_import,
    )
    last = len(recorded.returns) - 1
    for i, (total, length) in enumerate(zip(recorded.returns, recorded.lengths)):
        note = ", truncated there: --seconds records more" if recorded.cut and i == last else ""
        print(f"return {format_number(total)} in {length:,} steps{note}")
    print(f"{recorded.path}: {recorded.frames / recorded.fps:.1f} s at {recorded.fps:.3g} frames per second")


def run_watch(command: Watch) -> None:
    """``proximax watch``: until Ctrl-C, which is how it ends well."""
    token = command.token or os.environ.get("PROXIMAX_TOKEN", "")
    with (
        suppress(KeyboardInterrupt),
        watch(*command.runs, host=command.host, port=command.port, token=token, in_thread=True) as watcher,
    ):
        watcher.wait()
