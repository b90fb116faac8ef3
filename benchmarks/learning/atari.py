"""Atari from the screen: a preset trained from process start, seed by seed, then scored on 30 whole games.

python benchmarks/learning/atari.py pong --seeds 3 --goal 18
python benchmarks/learning/atari.py breakout --seeds 2 --goal 60
python benchmarks/learning/atari.py pong-reinforce --seeds 1 --algos reinforce surrogate clip

The goal is a mean of the last 40 training games. Scores are of fresh games without and with sticky actions (a repeated
action with probability 0.25, Machado et al. 2018), with actions sampled from the policy. Writes atari-NAME.json and
atari-NAME.png to results/learning, and atari.md from all of them.

python benchmarks/learning/atari.py --report      atari.md from the recorded files
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "learning"
GAMES = 40  # of which the mean counts
CURVE_POINTS = 200
PONG = "two stacked frames, minibatches of 64, no reward scaling, pixels normalised."
PONG_REINFORCE = "two stacked frames of 80 x 80, two actions, 16 x 128, no critic, for 1 M steps."
BREAKOUT = "two stacked frames of 84 x 84, 8 x 128, 4 epochs, pixels normalised, for 2 M steps."
TRAIN = """
import sys
from proximax.cli import main
sys.exit(main(sys.argv[1:]))
"""
SCORE = """
import json, sys
from dataclasses import replace
import proximax
from proximax.runs import load_agents
from proximax.envs import Game
_, config = load_agents(sys.argv[1])
scores = {}
for name, sticky in (("plain", 0.0), ("sticky", 0.25)):
    game = Game(config.env, replace(config.atari, sticky_actions=sticky))
    scores[name] = proximax.evaluate(sys.argv[1], episodes=30, env=game, seed=7).returns[0].tolist()
print(json.dumps(scores))
"""


def train(env: str, arguments: list[str], goal: float | None) -> dict[str, Any]:
    """One run by the command line: its curve, when it reached the goal, its scores."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.time()
        command = [sys.executable, "-c", TRAIN, "train", env, "--out", str(out), "--eval-episodes", "1", *arguments]
        subprocess.run([*command, "--quiet"], check=True)
        config = json.loads((out / "config.json").read_text())
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        finished, wall_s = (
            (out / "result.json").stat().st_mtime,
            json.loads((out / "result.json").read_text())["wall_s"],
        )
        started = finished - wall_s - began  # of the clock of the rows
        ran = subprocess.run([sys.executable, "-c", SCORE, str(out)], check=True, capture_output=True, text=True)
    curve, reached = progress(rows, started, goal)
    scores = json.loads(ran.stdout.splitlines()[-1])
    end = {"steps": rows[-1]["steps"], "seconds": started + rows[-1]["time_s"]}
    return {"config": config, "curve": curve, "reached": reached, "end": end, "scores": scores}


def progress(rows: list[dict[str, Any]], started: float, goal: float | None) -> tuple[list[Any], dict[str, Any] | None]:
    """(points [steps, seconds, mean of the last games], when that mean first reached ``goal``)."""
    recent: deque[float] = deque(maxlen=GAMES)
    curve, reached = [], None
    for row in rows:
        recent.extend([row["episode_return"]] * int(row["episodes"]))
        if len(recent) < GAMES:
            continue
        mean, seconds = sum(recent) / GAMES, started + row["time_s"]
        curve.append([row["steps"], round(seconds, 1), round(mean, 2)])
        if reached is None and goal is not None and mean >= goal:
            reached = {"steps": row["steps"], "seconds": round(seconds, 1)}
    every = max(1, len(curve) // CURVE_POINTS)
    return curve[::every], reached


def draw(result: dict[str, Any], path: Path) -> None:
    """Every run's curve over steps and over minutes."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained", sharey=True)
    for run in result["runs"]:
        steps, seconds, means = zip(*run["curve"])
        label = f"{run['config']['algo']}, seed {run['config']['seed']}"
        axes[0].plot([x / 1e6 for x in steps], means, linewidth=1.4, label=label)
        axes[1].plot([x / 60 for x in seconds], means, linewidth=1.4, label=label)
    for axis, name in zip(axes, ("million steps", "minutes from process start")):
        if result["goal"] is not None:
            axis.axhline(result["goal"], color="#999999", linewidth=1, linestyle="--")
        axis.set_xlabel(name)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"mean of the last {GAMES} training games")
    axes[0].set_title(result["env"], loc="left", fontsize=11, fontweight="bold")
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=110)


def page() -> str:
    """The table of all that is recorded."""
    text = [
        "# Atari from pixels",
        "",
        "Made by `benchmarks/learning/atari.py`, described in its docstring. Time counts from the process start, on",
        "the machine named; one run at a time. Scores: mean of 30 whole games, actions sampled from the last policy.",
        "",
        "| preset | algo | seed | goal | steps to it | minutes to it | steps | minutes | score | with sticky actions |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    pictures = []
    for path in sorted(RESULTS.glob("atari-*.json")):
        result = json.loads(path.read_text())
        for run in result["runs"]:
            at = run["reached"]
            to = (
                [f"{at['steps']:,}", f"{at['seconds'] / 60:.1f}"]
                if at
                else ["not reached" if result["goal"] else "", ""]
            )
            scores = [f"{sum(x) / len(x):.1f}" for x in (run["scores"]["plain"], run["scores"]["sticky"])]
            end = [f"{run['end']['steps']:,}", f"{run['end']['seconds'] / 60:.1f}"]
            goal = "" if result["goal"] is None else f"{result['goal']:g}"
            cells = [result["name"], run["config"]["algo"], str(run["config"]["seed"]), goal, *to, *end, *scores]
            text.append(f"| {' | '.join(cells)} |")
        pictures += [
            "",
            f"![{result['name']}](../results/learning/{path.stem}.png)",
            "",
            f"`{result['command']}`: {result['machine']}",
        ]
    pong = search("pong", ("-10", "0", "10", "15", "18"), PONG)
    reinforce = search("pong-reinforce", ("-15", "-10", "-5", "0"), PONG_REINFORCE)
    breakout = search("breakout", ("10", "20", "30", "40", "50", "60"), BREAKOUT)
    return "\n".join([*text, *pictures, *pong, *reinforce, *breakout, ""])


def search(preset: str, goals: Sequence[str], what: str) -> list[str]:
    """What was tried on the way to a preset, misses included."""
    text = [
        "",
        f"## The search for {preset}'s settings",
        "",
        "Thousands of steps until the mean of the last 40 games reached a score. One run each, with other jobs on the",
        f"machine, most stopped early; {what}",
        "Seeds differ much: take no single line for proof.",
        "",
        "| | seed | what | " + " | ".join(goals) + " | last |",
        "|---|--:|---|" + "--:|" * len(goals) + "--:|",
    ]
    for run in json.loads((RESULTS / f"{preset}-search.json").read_text()):
        to = [f"{run['reached'][goal] / 1e3:.0f}" if goal in run["reached"] else "" for goal in goals]
        steps, last = run["curve"][-1]
        cells = [run["name"], str(run["seed"]), run["what"], *to, f"{last:.1f} at {steps / 1e3:.0f}"]
        text.append(f"| {' | '.join(cells)} |")
    return text


def machine() -> str:
    """In words."""
    import os
    import platform

    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {time.strftime('%Y-%m-%d')}"


def main() -> None:
    from proximax.config import PRESETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    atari = [name for name, preset in PRESETS.items() if "ALE/" in preset.env]
    parser.add_argument("preset", choices=atari, nargs="?")
    parser.add_argument("--report", action="store_true", help="train nothing: only the page")
    parser.add_argument("--env", help="the game, where the preset is of all games")
    parser.add_argument("--seeds", type=int, default=3, help="runs, one after the other, seeds 0, 1, ...")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--algos", nargs="+", default=["clip"])
    parser.add_argument("--goal", type=float)
    options = parser.parse_args()
    if options.report:
        (HERE / "atari.md").write_text(page())
        return
    if options.preset is None:
        parser.error("a preset or --report")
    env = options.env or PRESETS[options.preset].env.removeprefix("gymnasium:")
    fixed = ["--preset", options.preset, *(["--steps", str(options.steps)] if options.steps else [])]
    name = options.preset
    result: dict[str, Any] = {"name": name, "env": env, "goal": options.goal, "runs": [], "machine": machine()}
    result["command"] = "python benchmarks/learning/atari.py " + " ".join(sys.argv[1:])
    for algo, seed in itertools.product(options.algos, range(options.seeds)):
        run = train(env, [*fixed, "--algo", algo, "--seed", str(seed)], options.goal)
        result["runs"].append(run)
        scores = {k: sum(x) / len(x) for k, x in run["scores"].items()}
        print(name, algo, seed, run["reached"], run["end"], scores, flush=True)
        (RESULTS / f"atari-{name}.json").write_text(json.dumps(result) + "\n")
    draw(result, RESULTS / f"atari-{name}.png")
    (HERE / "atari.md").write_text(page())


if __name__ == "__main__":
    main()
