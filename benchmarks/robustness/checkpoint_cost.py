"""What checkpoints cost: how long training waits for one, how long the writing takes beside it, and their size.

python benchmarks/robustness/checkpoint_cost.py

Trains a few presets for a short while, saving after every update, and counts the seconds the training loop spends on
snapshots (``Trainer.save_if_due``). The cost in percent is of one such wait every 60 s, the default. Writes
results/robustness/checkpoint_cost.json and checkpoint_cost.md.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import proximax
from proximax.runs import checkpoint_manager
from proximax.training import Trainer

HERE = Path(__file__).parent
RECORD = HERE.parent / "results" / "robustness" / "checkpoint_cost.json"
RUNS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"steps": 20_000},
    "gymnax:CartPole-v1": {"steps": 200_000, "seeds": 8},
    "HalfCheetah-v5": {"steps": 20_480},
    "ALE/Pong-v5": {"steps": 20_480},
}
EVERY_SECONDS = 60.0


def measure(env: str, settings: dict[str, Any]) -> dict[str, float]:
    """Medians over the saves of a short run."""
    waits: list[float] = []
    writes: list[float] = []
    save_if_due, write = Trainer.save_if_due, checkpoint_manager.save_checkpoint

    def timed_wait(session: Trainer) -> None:
        before = time.perf_counter()
        save_if_due(session)
        waits.append(time.perf_counter() - before)

    def timed_write(*arguments: Any) -> Path:
        before = time.perf_counter()
        path = write(*arguments)
        writes.append(time.perf_counter() - before)
        return path

    Trainer.save_if_due, checkpoint_manager.save_checkpoint = timed_wait, timed_write  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            proximax.train(env, out=out, checkpoint_every="0s", eval_episodes=1, quiet=True, **settings)
            last = sorted((out / "checkpoints").glob("step-*"))[-1]
            size = sum(path.stat().st_size for path in last.iterdir())
    finally:
        Trainer.save_if_due, checkpoint_manager.save_checkpoint = save_if_due, write  # type: ignore[method-assign]
    taken = sorted(waits)[len(waits) // 4 :]  # without those in which the last save was still under way
    return {"wait_ms": statistics.median(taken) * 1e3, "write_ms": statistics.median(writes) * 1e3, "bytes": size}


def main() -> None:
    """All runs, then the page."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    results = {env: measure(env, settings) for env, settings in RUNS.items()}
    RECORD.write_text(json.dumps(results, indent=1) + "\n")
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    text = [
        "# The cost of checkpoints",
        "",
        f"`python benchmarks/robustness/checkpoint_cost.py`, {machine}.",
        "Medians. Training waits while a snapshot is taken; a thread writes it, with checksums and `fsync`. The",
        "share is that of a run that saves every 60 s, the default, if writing took a whole core from it.",
        "",
        "| run | training waits, ms | writing, ms | size, MB | share of the time |",
        "|---|--:|--:|--:|--:|",
    ]
    for env, each in results.items():
        share = (each["wait_ms"] + each["write_ms"]) / 1e3 / EVERY_SECONDS
        cells = f"{each['wait_ms']:.2f} | {each['write_ms']:.1f} | {each['bytes'] / 1e6:.2f} | {share:.3%}"
        text.append(f"| {env} | {cells} |")
        print(text[-1])
    (HERE / "checkpoint_cost.md").write_text("\n".join([*text, ""]))


if __name__ == "__main__":
    main()
