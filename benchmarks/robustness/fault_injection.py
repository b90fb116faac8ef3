"""Training through a fault a minute, against the same training undisturbed.

python benchmarks/robustness/fault_injection.py                         # an hour with them, then an hour without
python benchmarks/robustness/fault_injection.py --at-once               # both in the same hour, on the same cores
python benchmarks/robustness/fault_injection.py --minutes 15 --every 15

HalfCheetah-v5 for so many minutes. In random order: ``kill -9`` and SIGTERM of the run, ``kill -9`` of a worker, an
environment that is stuck, one that raises, a reward that is NaN, a disk that is full for ten seconds (a tmpfs, which
needs root; left out otherwise). Whatever ends the run, the same command starts it again: ``--resume auto``. Reports the
steps made, the restarts and the final score of both. Writes
results/robustness/fault_injection.json and fault_injection.md.
"""

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ORDERS = ("stuck", "crash", "nan")
FULL_SECONDS = 10.0
DISK_MEGABYTES = 64


class Run:
    """A training run that is started again whenever it ends."""

    def __init__(self, folder: Path, orders: Path) -> None:
        self.out, self.ends = folder / "run", Counter[int]()
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        self._environment = {**os.environ, "FAULT_ORDERS": str(orders), "PYTHONPATH": path}
        how = ["--resume", "auto", "--out", str(self.out), "--quiet", "--eval-episodes", "20"]
        how += ["--env-restarts", "1000", "--env-timeout", "5", "--preset", "half-cheetah", "--steps", "100000000"]
        how += ["--ppo.anneal", "none", "--checkpoint-every", "10s"]
        self._line = [sys.executable, "-m", "proximax.cli", "train", "faulty_cheetah:FaultyCheetah-v0", *how]
        self.start()

    def start(self) -> None:
        """Start or resume."""
        with (self.out.parent / "said.txt").open("a") as said:
            self.process = subprocess.Popen(self._line, env=self._environment, stdout=said, stderr=said)

    def look(self) -> None:
        """Start it again if it has ended."""
        if (code := self.process.poll()) is not None:
            self.ends[code] += 1
            self.start()

    def steps(self) -> int:
        """Environment steps in the log."""
        with suppress(OSError, IndexError, ValueError):
            return int(json.loads((self.out / "metrics.jsonl").read_text().splitlines()[-1])["steps"])
        return 0

    def workers(self) -> list[int]:
        """Its worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):
            return [int(pid) for pid in children.read_text().split()]
        return []

    def end(self) -> None:
        """Ask it to save and end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def hurt(run: Run, kind: str, orders: Path, rng: random.Random) -> None:
    """One fault."""
    if kind in ORDERS:
        (orders / kind).touch()
    elif kind == "kill":
        run.process.kill()
    elif kind == "terminate":
        run.process.terminate()
    elif kind == "kill a worker":
        for pid in rng.sample(run.workers(), min(1, len(run.workers()))):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    else:
        filler = run.out.parent / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(2**16))
        time.sleep(FULL_SECONDS)
        filler.unlink()


def train(folder: Path, minutes: float, every: float | None, kinds: list[str]) -> dict[str, Any]:
    """So many minutes of training with a fault ``every`` so many seconds; None: with none."""
    orders, rng, faults = folder / "orders", random.Random(0), Counter[str]()
    orders.mkdir()
    run, began = Run(folder, orders), time.monotonic()
    next_fault = began + (every or float("inf"))
    while time.monotonic() - began < 60 * minutes:
        time.sleep(0.5)
        run.look()
        if time.monotonic() >= next_fault:
            kind = rng.choice(kinds)
            hurt(run, kind, orders, rng)
            faults[kind] += 1
            next_fault += every or 0.0
    run.end()
    score = subprocess.run(
        [sys.executable, "-m", "proximax.cli", "eval", str(run.out), "--episodes", "20", "--allow-import"],
        env=run._environment,
        capture_output=True,
        text=True,
        check=True,
    )
    mean = float(score.stdout.split("mean ")[1].split()[0])
    return {"steps": run.steps(), "faults": faults, "ends": run.ends, "score": mean}


def on_small_disk(folder: Path) -> bool:
    """Make ``folder`` a small disk of its own, if this user may."""
    line = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    return subprocess.run(line, capture_output=True).returncode == 0


def attempt(minutes: float, every: float | None) -> dict[str, Any]:
    """Train in a new folder, on a small disk of its own where possible."""
    with tempfile.TemporaryDirectory() as folder:
        small = on_small_disk(Path(folder))
        kinds = ["kill", "terminate", "kill a worker", *ORDERS] + ["disk full"] * small
        try:
            return train(Path(folder), minutes, every, kinds)
        finally:
            if small:
                subprocess.run(["umount", "--lazy", folder], check=True)


def main() -> None:
    """With faults and without."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=60.0)
    parser.add_argument("--at-once", action="store_true", help="both share the machine; one after the other otherwise")
    arguments = parser.parse_args()
    with ThreadPoolExecutor(2 if arguments.at_once else 1) as pool:
        faults = pool.submit(attempt, arguments.minutes, arguments.every)
        alone = pool.submit(attempt, arguments.minutes, None)
    results = {"with faults": faults.result(), "undisturbed": alone.result()}
    print(results)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    options = f"--minutes {arguments.minutes:g} --every {arguments.every:g}{' --at-once' if arguments.at_once else ''}"
    page(
        results,
        f"`python benchmarks/robustness/fault_injection.py {options}`, {machine}",
    )


def page(results: dict[str, Any], how: str) -> None:
    """The JSON file and the page."""
    (HERE.parent / "results" / "robustness" / "fault_injection.json").write_text(json.dumps(results, indent=1) + "\n")
    text = [
        "# Training with injected faults",
        "",
        f"{how}. Made by `benchmarks/robustness/fault_injection.py`, whose docstring has the details.",
        "",
        "| HalfCheetah-v5 | steps | faults | run ended by exit code (how often) | mean return of 20 episodes |",
        "|---|--:|---|---|--:|",
    ]
    for name, each in results.items():
        faults, ends = (", ".join(f"{k}: {n}" for k, n in sorted(each[x].items())) for x in ("faults", "ends"))
        text.append(f"| {name} | {each['steps']:,} | {faults} | {ends} | {each['score']:.0f} |")
    share = results["with faults"]["steps"] / results["undisturbed"]["steps"]
    text += ["", f"Steps with faults: {share:.0%} of those without."]
    (HERE / "fault_injection.md").write_text("\n".join([*text, ""]))


if __name__ == "__main__":
    main()
