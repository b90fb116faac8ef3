"""What the commands print: tables and texts."""

import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from rich.table import Table

from proximax.config import PRESETS, RunConfig
from proximax.doctor import CHECKS, Diagnosis
from proximax.envs import EnvId
from proximax.evaluation import Summary
from proximax.loggers import sparkline
from proximax.profiling import ThroughputReport
from proximax.runtime import format_number, is_terminal, plural
from proximax.training import Result

SEEDS_SHOWN = 4  # of a finding's evidence
MIN_SOURCE_WIDTH = 30  # columns for where a preset comes from, beside the rest of its line
# What holds a run back, and what helps, by the part that takes longest.
REMEDIES = {
    "environment": "Most time goes to the environments. EnvPool's or a JAX version of them, or more cores, would help.",
    "acting": "Most time goes to acting. More environments (--num-envs) or a smaller network would help.",
    "learning": "Most time goes to learning. Larger minibatches, fewer epochs or a smaller network would help.",
}


def bench_table(measured: ThroughputReport) -> Table:
    """Each part's time, speed and share of the whole."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "ms an update", "steps/s", "of the run"):
        table.add_column(column, justify="right" if column else "left")
    parts = {f"{name} alone": seconds for name, seconds in measured.parts.items()}
    for name, seconds in (parts | {"the run": measured.whole}).items():
        speed, share = measured.steps / seconds, seconds / measured.whole
        table.add_row(name, format_number(seconds * 1e3), format_number(round(speed)), f"{share:.0%}")
    return table


def bottleneck_advice(measured: ThroughputReport) -> str:
    """What the machine could do, and what holds the run back."""
    gflops = measured.operations / measured.parts["learning"] / 1e9
    slowest = max(measured.parts, key=lambda name: measured.parts[name])
    return (
        f"learning reaches {format_number(gflops)} GFLOP/s, {measured.share:.0%} of a large matrix product's "
        f"{format_number(measured.product / 1e9)}\n"
        f"memory: a rollout {format_number(measured.rollout_bytes / 1e6)} MB, learning "
        f"{format_number(measured.learning_bytes / 1e6)} MB beside it\n{REMEDIES[slowest]}"
    )


def report(result: Result, out: Path) -> str:
    """The end of a training run in a few lines; ``out``: its directory as the user named it."""
    config, summary = result.config, result.summary
    curve = mean_curve(result.history)
    sparks = sparkline(curve, encoding=sys.stdout.encoding)
    lines = [
        f"{EnvId.parse(config.env).display}, {config.algo}, {plural(config.seeds, 'seed')}: "
        f"{result.steps:,} steps{' each' if config.seeds > 1 else ''} in {result.wall_s:.1f} s "
        f"({result.compile_s:.1f} s compiling), {result.steps_per_s:,.0f} steps/s",
        f"training  {sparks}" if curve else f"no episode finished in {result.steps:,} steps",
        score_line(summary, config.seeds, config.eval_episodes),
    ]
    if config.preset:
        lines.insert(1, f"settings  from the preset {config.preset}")
    if config.stop_at_return is not None:
        met = result.evaluation.worst >= config.stop_at_return
        lines.append(
            f"goal      {format_number(config.stop_at_return)} {'' if met else 'not '}reached in {result.steps:,} steps"
        )
    lines += [
        f"saved in {out}",
        f"next: proximax eval {run_argument(config, out)}   or, to train another: proximax presets",
    ]
    return "\n".join(lines)


def run_argument(config: RunConfig, out: Path) -> str:
    """A run directory as a command that continues with it takes it, with the consent that its package needs."""
    consent = " --allow-import" if EnvId.parse(config.env).package else ""
    return f"{shlex.quote(str(out))}{consent}"


def mean_curve(history: list[dict[str, Any]]) -> list[float]:
    """Mean over seeds of the recent training return after each update; nothing where a seed has none yet."""
    updates: dict[int, list[float | None]] = {}
    for row in history:
        updates.setdefault(row["update"], []).append(row["return_last_100"])
    return [sum(x for x in each if x is not None) / len(each) for each in updates.values() if None not in each]


def score_line(summary: Summary, seeds: int, episodes: int) -> str:
    """Mean, interquartile mean and interval in one line."""
    if summary.mean != summary.mean:
        return f"return    n/a: not all of the {episodes} evaluation episodes ended"
    text = f"return    mean {format_number(summary.mean)} over {episodes} evaluation episodes"
    if summary.ci95 is None:
        return text + " (one seed: no interval)"
    low, high, iqm = map(format_number, (*summary.ci95, summary.iqm))
    return text + f" of each of {seeds} seeds (95 % {low} to {high}), interquartile mean {iqm}"


def doctor_report(diagnosis: Diagnosis) -> str:
    """What is wrong with a run, each finding in a few lines, most severe first."""
    config, findings, error = diagnosis.config, diagnosis.findings, diagnosis.error
    seeds = plural(config.seeds, "seed")
    updates = f"{diagnosis.updates:,} of {config.updates:,} updates{'' if diagnosis.finished else ', not finished'}"
    lines = [f"{EnvId.parse(config.env).display}, {config.algo}, {seeds}: {updates}"]
    lines += [f"ended by  {error}"] if error else []
    for name, check, evidence in findings:
        lines += ["", f"{check.severity:9} {name}"]
        lines += [f"  seen    seed {seed}: {text}" for seed, text in list(evidence.items())[:SEEDS_SHOWN]]
        if len(evidence) > SEEDS_SHOWN:
            lines.append(f"          and {len(evidence) - SEEDS_SHOWN} more seeds")
        lines += [f"  cause   {check.cause}", f"  remedy  {check.remedy}"]
    if not diagnosis.updates:
        lines.append("no update was made: there is nothing to examine")
    elif not findings:
        lines.append(f"nothing {'else ' if error else ''}wrong: {len(CHECKS)} checks found nothing")
    return "\n".join(lines)


def preset_lines(width: int | None) -> list[str]:
    """The table of presets; a name is never cut or wrapped. ``width``: of the terminal, None for a file or pipe.

    Where the sources do not fit beside the rest, each is below its preset.
    """
    rows = [("preset", "environment", "steps", "return", "settings from")]
    rows += [
        (name, EnvId.parse(preset.env).display, f"{preset.steps:,}", preset.expected, preset.source)
        for name, preset in PRESETS.items()
    ]
    sizes = [max(len(row[i]) for row in rows) for i in range(4)]
    beside = width is None or width >= sum(sizes) + 8 + MIN_SOURCE_WIDTH
    indent = " " * (sum(sizes) + 8 if beside else 2)
    lines: list[str] = []
    for name, env, steps, expected, source in rows:
        columns = name.ljust(sizes[0]), env.ljust(sizes[1]), steps.rjust(sizes[2]), expected.rjust(sizes[3])
        room = max((width or 10**6) - len(indent), MIN_SOURCE_WIDTH)
        first, *rest = textwrap.wrap(source, room)
        lines += ["  ".join([*columns, first])] if beside else ["  ".join(columns), indent + first]
        lines += [indent + line for line in rest]
    return lines


def show_presets() -> None:
    """``proximax presets``."""
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    print("\n".join(preset_lines(width)))
    print("\ntrain one:  proximax train CartPole-v1   (an environment's preset is found by its id)")
