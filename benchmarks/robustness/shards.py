"""One run on one, two and four processes: the same bits, also where the number of processes changes in the middle.

python benchmarks/robustness/shards.py             # all runs; 15 minutes on 2 cores
python benchmarks/robustness/shards.py --only clip

Every run has four shards. It is made by one process, by two and by four, and again in two halves: the first by one
process, the second by two, of which the second half is resumed from the checkpoint of the first. All must save the same
arrays (parameters, optimiser, normalisers, environments, random keys), log the same rows but for the time, and score
the same returns. Writes results/robustness/shards.json and shards.md.
"""

import argparse
import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

HERE = Path(__file__).parent
RECORD = HERE.parent / "results" / "robustness" / "shards.json"
SMALL = ["--shards", "4", "--num-envs", "8", "--eval-episodes", "4", "--preset", "none", "--quiet"]
SMALL += ["--ppo.num-steps", "64", "--ppo.minibatch-size", "128", "--ppo.epochs", "4"]
UPDATE, HALF = 8 * 64, 4  # steps of an update; updates of the first half
BOTH = ["--ppo.normalise-obs", "True", "--ppo.scale-reward", "True"]
RUNS: dict[str, tuple[str, list[str]]] = {
    "clip": ("CartPole-v1", []),
    "penalty": ("gymnax:CartPole-v1", ["--algo", "penalty", "--ppo.target-kl", "0.01", "--ppo.kl-control", "beta"]),
    "trpo": ("HalfCheetah-v5", ["--algo", "trpo", *BOTH]),
    "npg": ("Pendulum-v1", ["--algo", "npg", "--seeds", "2", *BOTH]),
    "seeds": ("gymnax:CartPole-v1", ["--seeds", "3", *BOTH]),
    "workers": ("HalfCheetah-v5", ["--env-groups", "2", *BOTH]),
    "pixels": ("ALE/Pong-v5", []),
    "memory": ("probe:recall", ["--network", "gru"]),
}


def train(run: str, out: Path, processes: int, updates: int, *more: str) -> None:
    """Train so many updates of a run with so many processes; raises where one of them fails."""
    env, own = RUNS[run]
    # The rate of learning must not depend on where the run is to end.
    line = [sys.executable, "-m", "proximax.cli", "train", env, *SMALL, *own, "--ppo.anneal", "none", *more]
    line += ["--steps", str(updates * UPDATE), "--out", str(out), "--checkpoint-every", "end"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    places = [{"PROXIMAX_SIZE": str(processes), "PROXIMAX_COORDINATOR": address, "PROXIMAX_RANK": str(rank)}
              for rank in range(processes)]  # fmt: skip
    ranks = [
        subprocess.Popen(line, env={**os.environ, "JAX_PLATFORMS": "cpu", **place}, stderr=subprocess.PIPE, text=True)
        for place in places
    ]
    for rank, process in enumerate(ranks):
        _, errors = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{run}, rank {rank} of {processes}: {errors}")


def saved(out: Path) -> dict[str, str]:
    """A hash of every array of the last checkpoint, of the rows without their times, and of the final returns."""
    last = max((out / "checkpoints").glob("step-*"))
    arrays = load_file(last / "policy.safetensors") | load_file(last / "state.safetensors")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    timeless: Any = [{name: value for name, value in row.items() if name != "time_s"} for row in rows]
    parts = {name: x.tobytes() for name, x in arrays.items() if "time_s" not in name}
    parts["rows"] = json.dumps(timeless).encode()
    parts["returns"] = json.dumps(json.loads((out / "result.json").read_text())["returns"]).encode()
    parts["environments"] = json.dumps(json.loads((last / "manifest.json").read_text())["environment"]).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}


def measure(run: str) -> dict[str, Any]:
    """The run by one, two and four processes and in two halves: what differs from the run by one, by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        for processes in (1, 2, 4):
            train(run, path / f"by-{processes}", processes, 2 * HALF)
        train(run, path / "changed", 1, HALF)
        train(run, path / "changed", 2, 2 * HALF, "--resume", str(path / "changed"))
        one = saved(path / "by-1")
        others = {name: saved(path / name) for name in ("by-2", "by-4", "changed")}
    different = {
        name: [part for part in one | other if one.get(part) != other.get(part)] for name, other in others.items()
    }
    digest = hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()
    return {"arrays": len(one), "sha256": digest, "different": different}


def main() -> int:
    """All runs, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RUNS, help="this run alone, without writing anything")
    only = parser.parse_args().only
    results = {}
    for run in [only] if only else RUNS:
        results[run] = measure(run)
        print(run, results[run], flush=True)
    if not only:
        RECORD.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "shards.md").write_text(page(results))
    return int(any(any(result["different"].values()) for result in results.values()))


def page(results: dict[str, Any]) -> str:
    """The results as a page."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    text = [
        "# One run on one, two and four processes",
        "",
        f"`python benchmarks/robustness/shards.py`, {machine}. Four shards each, {2 * HALF} updates. Compared with the",
        "run by one process: every array that is saved, the rows of metrics.jsonl but for the time, the final returns,",
        "the environments. The last column: the first half by one process, resumed by two.",
        "",
        "| run | environment | flags | compared | 2 processes | 4 processes | 1, then 2 |",
        "|---|---|---|--:|---|---|---|",
    ]
    for run, result in results.items():
        env, own = RUNS[run]
        marks = [f"{len(parts)} differ" if parts else "same bits" for parts in result["different"].values()]
        text.append(f"| {run} | {env} | `{' '.join(own)}` | {result['arrays']} | {' | '.join(marks)} |")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
