"""Seconds from process start until CartPole-v1 is solved: what `make demo` takes, apart from installing.

    python benchmarks/time_to_solved.py [RUNS]

Each run is a process of its own with another seed, nothing cached; it ends when the mean return of 100 evaluation
episodes is at least 475.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "time_to_solved.json"


def run(seed: int) -> dict[str, float]:
    """Train once; wall seconds of the whole process, steps and return."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "proximax.cli", "train", "CartPole-v1", "--stop-at", "475"]
        before = time.perf_counter()
        subprocess.run([*command, "--seed", str(seed), "--out", str(out)], check=True, capture_output=True)
        seconds = time.perf_counter() - before
        result = json.loads((out / "result.json").read_text())
    return {"seed": seed, "seconds": round(seconds, 2)} | {k: result[k] for k in ("steps", "return_mean", "compile_s")}


def main() -> None:
    runs = [run(seed) for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10)]
    seconds = [r["seconds"] for r in runs]
    low, median, high = (round(float(np.percentile(seconds, q)), 2) for q in (0, 50, 100))
    summary = {"seconds": {"least": low, "median": median, "most": high}, "runs": runs}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        json.dumps(summary | {"machine": f"{platform.machine()}, {os.cpu_count()} cores"}, indent=1) + "\n"
    )
    print(f"solved in {median} s (median of {len(runs)} seeds; {low} to {high})")


if __name__ == "__main__":
    main()
