"""Train presets to their end and record what they reach: one JSON file each, a table and a picture of all.

python benchmarks/learning/presets.py                      every preset, then table and picture
python benchmarks/learning/presets.py cartpole hopper      these
python benchmarks/learning/presets.py --report             table and picture from the recorded files
"""

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import proximax
from proximax.config import presets
from proximax.evaluation import interquartile_mean, summarise_returns

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "learning" / "presets"
SEEDS = {"cartpole": 5}  # the others: 3
PRESETS = {name: preset for name, preset in presets.PRESETS.items() if "ALE/" not in preset.env}  # atari.py has those
POINTS = 200  # of each recorded curve


def record(name: str) -> None:
    """Train one preset and write what it reached."""
    preset = PRESETS[name]
    seeds = SEEDS.get(name, 3)
    result = proximax.train(preset.env, preset=name, seeds=seeds)
    values = result.to_json() | {
        "preset": name,
        "command": f"proximax train {preset.env.removeprefix('gymnasium:')} --seeds {seeds}",
        "curves": [curve(result.history, seed) for seed in range(seeds)],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {package: version(package) for package in ("jax", "gymnasium", "numpy")},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n")
    print(name, values["returns"], f"{values['wall_s']:.0f} s", flush=True)


def curve(history: list[dict], seed: int) -> list[list[float]]:
    """[steps, recent return] pairs of one seed, at most ``POINTS``."""
    rows = [row for row in history if row["seed"] == seed and row["return_last_100"] is not None]
    kept = rows[:: max(1, len(rows) // POINTS)]
    return [[row["steps"], round(row["return_last_100"], 2)] for row in kept]


def recorded() -> list[dict]:
    """All recorded results, in the presets' order."""
    files = [RESULTS / f"{name}.json" for name in PRESETS]
    return [json.loads(path.read_text()) for path in files if path.exists()]


def table(results: list[dict]) -> str:
    """The Markdown page."""
    lines = [
        "# Presets, trained to their end",
        "",
        "Final evaluation: 100 episodes of each seed, deterministic actions, last policy. All seeds of a preset",
        "train together in one program; *wall* is for all of them, compilation and evaluation included.",
        "Made by `python benchmarks/learning/presets.py`; the curves are training returns (sampled actions). *Wall*",
        "and *steps/s* of Hopper, Walker2d and MinAtar were measured while other jobs ran: real speeds are higher.",
        "",
        "![Learning curves of all presets](../results/learning/presets.png)",
        "",
        "| preset | environment | steps per seed | return per seed | mean (95 % interval) | IQM | wall | steps/s |",
        "|---|---|--:|---|---|--:|--:|--:|",
    ]
    for r in results:
        each = ", ".join(number(x) for x in r["returns"])
        summary = summarise_returns(np.array(r["returns"]))
        interval = f"{number(summary.mean)} ({' to '.join(map(number, summary.ci95))})" if summary.ci95 else "n/a"
        lines.append(
            f"| {r['preset']} | {r['env'].removeprefix('gymnasium:')} | {r['steps']:,} | {each} | "
            f"{interval} | {number(summary.iqm)} | {r['wall_s']:.0f} s | {r['steps_per_s']:,.0f} |"
        )
    machines = sorted({f"{r['machine']}; " + ", ".join(f"{k} {v}" for k, v in r["versions"].items()) for r in results})
    return "\n".join([*lines, "", "Measured on: " + "; ".join(machines) + ".", ""])


def number(x: float) -> str:
    """Four significant digits or so."""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}"


def picture(results: list[dict], path: Path, columns: int = 3) -> None:
    """Learning curves: every seed thin, their interquartile mean thick."""
    rows = -(-len(results) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.7 * rows), layout="constrained", squeeze=False)
    for axis in axes.ravel()[len(results) :]:
        axis.axis("off")
    for axis, r in zip(axes.ravel(), results):
        curves = [np.array(c) for c in r["curves"]]
        grid = np.linspace(max(c[0, 0] for c in curves), min(c[-1, 0] for c in curves), POINTS)
        lines = np.stack([np.interp(grid, c[:, 0], c[:, 1]) for c in curves])
        scale, unit = (1e6, "million steps") if grid[-1] >= 1e6 * 0.9 else (1e3, "thousand steps")
        for line in lines:
            axis.plot(grid / scale, line, color="#0072B2", alpha=0.35, linewidth=0.9)
        axis.plot(grid / scale, interquartile_mean(lines.T), color="#0072B2", linewidth=2)
        axis.set_title(r["env"].removeprefix("gymnasium:"), fontsize=10)
        axis.set_xlabel(unit, fontsize=8)
        axis.set_ylabel("training return", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help="of " + ", ".join(PRESETS))
    parser.add_argument("--report", action="store_true", help="train nothing: table and picture only")
    options = parser.parse_args()
    for name in [] if options.report else options.presets or PRESETS:
        record(name)
    results = recorded()
    (HERE / "presets.md").write_text(table(results))
    picture(results, RESULTS.with_suffix(".png"))


if __name__ == "__main__":
    main()
