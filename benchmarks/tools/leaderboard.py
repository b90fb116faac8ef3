"""How soon proximax solves three tasks on 2 cores: ``LEADERBOARD.md``, made from the recorded runs.

python benchmarks/tools/leaderboard.py

Add a record to ``ENTRIES``; it stays there when a faster one follows, so that the page shows how records fell.
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[1]
PAGE = BENCHMARKS / "LEADERBOARD.md"


@dataclass(frozen=True)
class Solved:
    """One run, or the runs of one process, that solved a task: after how long, and what they score."""

    seconds: float
    score: float


@dataclass(frozen=True)
class Entry:
    """One line. ``commit``: where its file does not say, the one that recorded it."""

    task: str
    how: str
    file: str  # in results/
    runs: Callable[[dict[str, Any]], list[Solved]]
    command: str = ""  # where it is not that of the file
    commit: str = ""


def of_contestant(name: str, seconds: str) -> Callable[[dict[str, Any]], list[Solved]]:
    """The runs of one contestant of ``benchmarks/speed``; ``seconds``: the key of their time."""

    def runs(record: dict[str, Any]) -> list[Solved]:
        (contestant,) = [c for c in record["contestants"] if c["name"] == name]
        return [Solved(run[seconds], run["return"]) for run in contestant["runs"] if "failed" not in run]

    return runs


def of_atari(record: dict[str, Any]) -> list[Solved]:
    """Runs of ``benchmarks/learning/atari.py``: seconds until training reached the goal, score of the last policy."""
    return [Solved(run["reached"]["seconds"], statistics.mean(run["scores"]["plain"])) for run in record["runs"]]


def of_preset(record: dict[str, Any]) -> list[Solved]:
    """A preset's seeds, trained side by side: all of them have the time of the whole."""
    return [Solved(record["wall_s"], score) for score in record["returns"]]


TASKS = {
    "CartPole-v1": (475, "from process start until 100 evaluation episodes return 475 on average; their mean"),
    "ALE/Pong-v5": (
        18,
        "from process start until the last games of training return 18 on average, without sticky actions; the mean of "
        "30 games by the policy of 1 M steps",
    ),
    "HalfCheetah-v5": (
        5000,
        "of the whole run, 1 M steps, since the return is measured at its end; the mean of its evaluation episodes",
    ),
}
ENTRIES = (
    Entry(
        "CartPole-v1",
        "preset, programs compiled before (warm)",
        "speed/cartpole_solved.json",
        of_contestant("proximax, warm", "to_goal_s"),
    ),
    Entry(
        "CartPole-v1",
        "preset, compilation included (cold)",
        "speed/cartpole_solved.json",
        of_contestant("proximax, cold", "to_goal_s"),
    ),
    Entry(
        "ALE/Pong-v5", "preset; other jobs ran on the machine", "learning/atari-pong.json", of_atari, commit="5282ec6"
    ),
    Entry(
        "HalfCheetah-v5",
        "by EnvPool, preset with a 64 x 64 network",
        "speed/half_cheetah_million.json",
        of_contestant("proximax, EnvPool, 64 x 64", "process_s"),
    ),
    Entry(
        "HalfCheetah-v5",
        "by EnvPool, preset",
        "speed/half_cheetah_million.json",
        of_contestant("proximax, EnvPool", "process_s"),
    ),
    Entry(
        "HalfCheetah-v5",
        "by Gymnasium, preset, three seeds in one process",
        "learning/presets/half-cheetah.json",
        of_preset,
        commit="0362920",
    ),
)


def line(entry: Entry) -> str:
    """One row of a task's table."""
    record = json.loads((BENCHMARKS / "results" / entry.file).read_text())
    runs = entry.runs(record)
    seconds, scores = [run.seconds for run in runs], [run.score for run in runs]
    goal = TASKS[entry.task][0]
    if statistics.median(scores) < goal:
        raise SystemExit(f"{entry.file}: {entry.how}: the median score is below {goal}")
    name = Path(entry.file).name
    cells = [
        entry.how,
        spread(seconds),
        spread(scores),
        str(len(runs)),
        entry.commit or record["commit"],
        f"`{entry.command or record['command']}`",
        f"[{name}](results/{entry.file})",
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    middle, least, most = (figure(x) for x in (statistics.median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


def figure(x: float) -> str:
    """Three significant digits, or the whole number."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def page() -> str:
    """The Markdown page."""
    text = [
        "# How soon it is solved, on 2 cores",
        "",
        "Made by `python benchmarks/tools/leaderboard.py` from the recorded runs; a line stays when a faster one",
        "follows. Median (least to most) over the seeds, each a run of its own unless the line says otherwise. Commit:",
        "what was run, or where the file does not say, the commit that recorded it. Machines with 2 cores differ",
        "fivefold, and one machine from day to day: compare lines of one file only. Against other libraries:",
        "[speed.md](speed/speed.md).",
    ]
    for task, (goal, how) in TASKS.items():
        text += ["", f"## {task}, {goal:,}", "", f"Seconds: {how.replace('; ', '. Score: ')}.", ""]
        text += ["| | seconds | score | seeds | commit | command | record |", "|---|--:|--:|--:|---|---|---|"]
        text += [line(entry) for entry in ENTRIES if entry.task == task]
    return "\n".join([*text, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
