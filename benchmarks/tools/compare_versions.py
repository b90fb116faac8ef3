"""Learning curves of two versions of proximax, seed by seed: for changes that may affect them.

    git worktree add ../before REVISION
    python benchmarks/tools/compare_versions.py ../before NAME

Trains CartPole-v1 (10 seeds) and HalfCheetah-v5 (3 seeds, 300,000 steps) with the other checkout and this one; writes
results/tools/NAME.json and NAME.png.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "tools"
RUNS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"seeds": 10},
    "HalfCheetah-v5": {"seeds": 3, "steps": 300_000},
}
TRAIN = """
import json, sys, proximax
env, settings = sys.argv[1], json.loads(sys.argv[2])
result = proximax.train(env, quiet=True, **settings)
rows = [[row[k] for k in ("seed", "steps", "return_last_100")] for row in result.history]
print(json.dumps({"rows": rows, "returns": result.evaluation.returns.mean(axis=1).tolist()}))
"""


def curves(checkout: Path, env: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Steps, training returns ``[seed][update]`` and final returns ``[seed]`` of one version."""
    told = {**os.environ, "PYTHONPATH": str(checkout.absolute())}
    command = [sys.executable, "-P", "-c", TRAIN, env, json.dumps(settings)]
    ran = subprocess.run(command, env=told, cwd=checkout, check=True, capture_output=True, text=True)
    found = json.loads(ran.stdout.splitlines()[-1])
    each = [[row for row in found["rows"] if row[0] == seed] for seed in range(settings["seeds"])]
    keep = np.unique(np.linspace(0, len(each[0]) - 1, 100).round().astype(int)).tolist()
    return {
        "steps": [[one[i][1] for i in keep] for one in each],
        "training_return": [[one[i][2] for i in keep] for one in each],
        "final_return": found["returns"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the other version")
    parser.add_argument("name", help="of the files that are written")
    options = parser.parse_args()
    name, versions = options.name, {"before": options.checkout, "after": ROOT}
    found = {env: {v: curves(path, env, s) for v, path in versions.items()} for env, s in RUNS.items()}
    (RESULTS / f"{name}.json").write_text(json.dumps(found) + "\n")
    figure, axes = plt.subplots(1, len(RUNS), figsize=(10, 3.6), layout="constrained")
    for axis, (env, both) in zip(axes, found.items()):
        for (version, run), colour in zip(both.items(), ("#999999", "#0072B2")):
            returns = np.array(run["training_return"], float)
            steps = np.mean(run["steps"], axis=0)
            axis.plot(steps, returns.T, color=colour, alpha=0.3, linewidth=0.8)
            final = f"final {np.mean(run['final_return']):,.0f}"
            axis.plot(steps, returns.mean(axis=0), color=colour, linewidth=2.2, label=f"{version}, {final}")
        axis.set(title=f"{env}, {len(returns)} seeds", xlabel="steps", ylabel="training return")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="lower right")
    figure.savefig(RESULTS / f"{name}.png", dpi=140)
    for env, both in found.items():
        for version, run in both.items():
            print(env, version, [round(x, 1) for x in run["final_return"]])


if __name__ == "__main__":
    main()
