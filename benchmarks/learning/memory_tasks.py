"""Tasks that need memory, each with and without it: scores of three seeds, and their learning curves.

python benchmarks/learning/memory_tasks.py

Writes results/learning/memory_tasks.json, memory_tasks.md and memory_tasks.png (10 minutes on 2 cores). The tasks of
POPGym (Morad et al. 2023), its own NumPy environments, are left out where it is not installed: pip install popgym.
"""

import argparse
import json
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from atari import HERE, RESULTS, machine

import proximax

try:
    from popgym.envs.position_only_cartpole import PositionOnlyCartPoleEasy
    from popgym.envs.repeat_previous import RepeatPreviousEasy
except ImportError:
    PositionOnlyCartPoleEasy = RepeatPreviousEasy = None

NETWORKS = ("mlp", "gru")
COLORS, COLUMNS = {"mlp": "tab:gray", "gru": "tab:blue"}, 3
SETTINGS: dict[str, Any] = {"num_envs": 8, "num_steps": 128, "minibatch_size": 256, "epochs": 10, "learning_rate": 1e-3}
SHORT: dict[str, Any] = {"num_envs": 16, "num_steps": 20, "minibatch_size": 80, "epochs": 4, "learning_rate": 3e-3}
SHORT |= {"gamma": 0.9, "hidden": (16,), "recurrent_units": 16}
CHAIN: dict[str, Any] = {"num_envs": 32, "num_steps": 44, "minibatch_size": 352, "epochs": 4, "learning_rate": 3e-3}
CHAIN |= {"hidden": (32,), "recurrent_units": 32, "env_kwargs": {"memory_length": 20}, "entropy_coef": 0.01}
# The reward of a step is for the card of four steps before: nothing later matters to it, so a low discount.
REPEAT: dict[str, Any] = {"num_envs": 16, "num_steps": 104, "minibatch_size": 416, "epochs": 8, "learning_rate": 2e-3}
REPEAT |= {"gamma": 0.7, "hidden": (32,), "anneal": "none"}
MAZE: dict[str, Any] = SHORT | {"num_envs": 32, "num_steps": 40, "minibatch_size": 320, "entropy_coef": 0.01}


# name -> (environment, settings, steps, best return)
TASKS: dict[str, tuple[Any, dict[str, Any], int, float]] = {
    "CartPole-v1 without velocities": ("CartPole-v1", SETTINGS | {"hide_velocities": True}, 60_000, 500.0),
    "probe:recall": ("probe:recall", SHORT, 24_000, 1.0),
    "probe:t-maze": ("probe:t-maze", MAZE, 128_000, 1.0),
    "gymnax MemoryChain, length 20": ("gymnax:MemoryChain-bsuite", CHAIN, 300_000, 1.0),
}
if RepeatPreviousEasy is not None:
    TASKS |= {
        "POPGym RepeatPreviousEasy": (RepeatPreviousEasy, REPEAT, 80_000, 1.0),
        "POPGym PositionOnlyCartPoleEasy": (PositionOnlyCartPoleEasy, SETTINGS, 60_000, 1.0),
    }


def main() -> None:
    """Train all, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="a part of the task's name; adds to the results there are")
    options = parser.parse_args()
    path = RESULTS / "memory_tasks.json"
    results: dict[str, Any] = json.loads(path.read_text()) if options.only and path.exists() else {}
    for task, (env, settings, steps, _) in TASKS.items():
        if options.only in task:
            results[task] = {name: scores(env, name, settings, steps, options.seeds) for name in NETWORKS}
            path.write_text(json.dumps(results) + "\n")
    (HERE / "memory_tasks.md").write_text(
        page(results, f"`python benchmarks/learning/memory_tasks.py --seeds {options.seeds}`, {machine()}")
    )
    draw(results)


def scores(env: Any, network: str, settings: dict[str, Any], steps: int, seeds: int) -> dict[str, Any]:
    """The final return of each seed, and the mean return of the episodes that ended in each update."""
    common = {"preset": "none", "quiet": True, "eval_episodes": 100}
    result = proximax.train(env, network=network, seeds=seeds, steps=steps, **settings, **common)
    rows: dict[int, list[list[float]]] = {}
    for row in result.history:
        if row["episodes"]:
            rows.setdefault(row.get("seed", 0), []).append([row["steps"], round(row["episode_return"], 3)])
    return {
        "returns": np.round(result.evaluation.returns.mean(axis=1), 3).tolist(),
        "curves": [curve[:: max(1, len(curve) // 60)] for curve in rows.values()],
    }


def page(results: dict[str, Any], how: str) -> str:
    """The content of memory_tasks.md."""
    header = " | ".join(f"`{name}`" for name in NETWORKS)
    lines = ["# Tasks that need memory", "", f"{how}. Mean return of 100 episodes of each seed, greedy actions.", ""]
    lines += [f"| task | steps | best | {header} |", "|---|--:|--:|" + "---|" * len(NETWORKS)]
    for task, of_task in results.items():
        _, _, steps, best = TASKS[task]
        returns = " | ".join(", ".join(f"{x:g}" for x in of_task[name]["returns"]) for name in NETWORKS)
        lines.append(f"| {task} | {steps:,} | {best:g} | {returns} |")
    return "\n".join([*lines, "", "![learning curves](../results/learning/memory_tasks.png)", ""])


def draw(results: dict[str, Any]) -> None:
    """Learning curves: return against steps, a line for each seed."""
    rows = -(-len(results) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(3.4 * COLUMNS, 2.8 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(results) :]:
        axis.set_axis_off()
    for axis, (task, of_task) in zip(axes.flat, results.items()):
        for name in NETWORKS:
            for i, curve in enumerate(of_task[name]["curves"]):
                axis.plot(*np.transpose(curve), color=COLORS[name], lw=1, label="" if i else name)
        axis.axhline(TASKS[task][3], color="black", lw=0.5, ls=":")
        axis.set_title(task, fontsize=9)
        axis.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g} k")
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("steps")
    for axis in axes[:, 0]:
        axis.set_ylabel("return")
    axes[0][0].legend(frameon=False)
    figure.savefig(RESULTS / "memory_tasks.png", dpi=100)


if __name__ == "__main__":
    main()
