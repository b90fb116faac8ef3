"""Which network learns Pong fastest: the preset with each of them, at the same time on the same cores.

python benchmarks/learning/networks.py --minutes 12

Each run is stopped after the given number of minutes. Writes results/learning/networks.json and networks.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from atari import GAMES, HERE, RESULTS, machine, progress

NETWORKS = ("patch-cnn", "nature", "impala")
GOALS = (-15.0, -10.0, 0.0, 10.0, 18.0)


def main() -> None:
    """Train all at once, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        runs = {name: start(Path(folder) / name, name, options.seed) for name in NETWORKS}
        time.sleep(60 * options.minutes)
        for process in runs.values():
            process.kill()  # the rows are on disk
            process.wait()
        results = {name: read(Path(folder) / name, began) for name in NETWORKS}
    (RESULTS / "networks.json").write_text(json.dumps(results) + "\n")
    how = f"`python benchmarks/learning/networks.py --minutes {options.minutes:g} --seed {options.seed}`, {machine()}"
    (HERE / "networks.md").write_text(page(results, how))


def start(out: Path, network: str, seed: str) -> "subprocess.Popen[bytes]":
    """A run under way."""
    line = [sys.executable, "-m", "proximax.cli", "train", "ALE/Pong-v5", "--network", network, "--out", str(out)]
    cold = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"}  # that none finds its program compiled before
    return subprocess.Popen([*line, "--seed", seed, "--quiet"], env=cold)


def read(out: Path, began: float) -> dict[str, Any]:
    """A run's curve, and when it reached each goal; time counts from the start of the process."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    started = (out / "metrics.jsonl").stat().st_mtime - rows[-1]["time_s"] - began  # of the clock of the rows
    reached = {f"{goal:g}": progress(rows, started, goal)[1] for goal in GOALS}
    end = {"steps": rows[-1]["steps"], "seconds": round(started + rows[-1]["time_s"], 1)}
    return {"curve": progress(rows, started, None)[0], "reached": reached, "end": end}


def page(results: dict[str, Any], how: str) -> str:
    """The table."""
    text = [
        "# Networks for images, by time to a score",
        "",
        f"{how}. The three ran at the same time, on the same cores. Minutes from process start",
        f"until the mean of the last {GAMES} training games reached a score; Pong, its preset, one seed.",
        "",
        f"| `--network` | steps | {' | '.join(f'to {goal:g}' for goal in GOALS)} | last |",
        f"|---|--:|{'--:|' * len(GOALS)}--:|",
    ]
    for name, run in results.items():
        to = [f"{at['seconds'] / 60:.1f}" if (at := run["reached"][f"{goal:g}"]) else "" for goal in GOALS]
        last = f"{run['curve'][-1][2]:.1f}" if run["curve"] else "too few games"
        text.append(f"| `{name}` | {run['end']['steps']:,} | {' | '.join(to)} | {last} |")
    return "\n".join([*text, ""])


if __name__ == "__main__":
    main()
