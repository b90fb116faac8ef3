"""Where the GPU's time goes in training: the share of time it works, and the kernels that take most of it.

python benchmarks/gpu/trace.py [--toy]

From a trace of some updates of CartPole with 2,048 environments, and of Breakout-MinAtar with 64.
"""

import argparse
import gzip
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import proximax

SETTINGS: dict[str, Any] = {"preset": "none", "num_steps": 128, "epochs": 4, "quiet": True, "eval_episodes": 4}
RUNS: dict[str, dict[str, Any]] = {
    "CartPole, 2,048 environments": {"env": "gymnax:CartPole-v1", "num_envs": 2048, "minibatch_size": 65536},
    "Breakout-MinAtar, 64 environments": {"env": "gymnax:Breakout-MinAtar", "num_envs": 64, "minibatch_size": 1024},
}
KERNELS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="fewer environments")
    toy = parser.parse_args().toy
    values = {}
    for name, run in RUNS.items():
        settings = SETTINGS | run | {"network": "mlp"}
        if toy:
            settings |= {"num_envs": 8, "minibatch_size": 256}
        batch = settings["num_envs"] * settings["num_steps"]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            proximax.train(**settings, steps=(24 if toy else 120) * batch, out=out, profile=True)
            values[name] = summarise(out / "profile" / "trace.json.gz")
    print(json.dumps({"traces": values, "finished_at": time.time()}))


def summarise(path: Path) -> dict[str, Any]:
    """Busy share, kernels per millisecond and the longest kernels, of the GPU's streams in a trace."""
    with gzip.open(path, "rt") as file:
        events = json.load(file)
    events = events["traceEvents"] if isinstance(events, dict) else events
    names = {event["pid"]: event["args"]["name"] for event in events if event.get("name") == "process_name"}
    threads = {
        (event["pid"], event["tid"]): event["args"]["name"] for event in events if event.get("name") == "thread_name"
    }
    kernels = [
        event
        for event in events
        if event.get("ph") == "X"
        and "GPU" in names.get(event["pid"], "")
        and "Stream" in threads.get((event["pid"], event["tid"]), "")
    ]
    if not kernels:
        return {"kernels": 0, "processes": sorted(names.values()), "threads": sorted(set(threads.values()))[:40]}
    began = min(event["ts"] for event in kernels)
    ended = max(event["ts"] + event["dur"] for event in kernels)
    total: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    for event in kernels:
        total[event["name"]] += event["dur"]
        count[event["name"]] += 1
    longest = sorted(total, key=lambda name: -total[name])[:KERNELS]
    return {
        "milliseconds": (ended - began) / 1e3,
        "kernels": len(kernels),
        "busy_share": sum(total.values()) / (ended - began),
        "mean_kernel_us": sum(total.values()) / len(kernels),
        "longest": {name[:80]: {"share": total[name] / sum(total.values()), "count": count[name]} for name in longest},
    }


if __name__ == "__main__":
    main()
