"""Runs that are killed (``kill -9``) again and again, against the same runs undisturbed.

python benchmarks/robustness/kill_and_resume.py            # 4 runs, 50 kills each; half an hour on 2 cores
python benchmarks/robustness/kill_and_resume.py --kills 5 --jobs 1

Each run saves all the time (``--checkpoint-every 0.01s``), so that many kills come in the middle of a save. At the end
its checkpoint must be that of the undisturbed run byte for byte, and its rows the same but for the time. After each
kill no process of the run may be left. Writes results/robustness/kill_and_resume.json and
kill_and_resume.md.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECORD = HERE.parent / "results" / "robustness" / "kill_and_resume.json"
RUNS = {
    "gymnax:CartPole-v1": ["--steps", "10000000", "--seeds", "3", "--algo", "penalty"],
    "CartPole-v1": ["--steps", "900000"],
    "HalfCheetah-v5": ["--steps", "500000", "--eval-every", "200000"],
    "ALE/Pong-v5": ["--steps", "130000"],
}
MARK = "PROXIMAX_KILLS"  # in the environment of every process of a run
ORPHAN_SECONDS = 5.0
LIFE_SECONDS = 1.5  # at most, after the first new row


def command(env: str, out: Path, arguments: list[str]) -> list[str]:
    """The command line of a run that starts or resumes."""
    how = ["--out", str(out), "--resume", "auto", "--checkpoint-every", "0.01s", "--eval-episodes", "2", "--quiet"]
    return [sys.executable, "-m", "proximax.cli", "train", env, *arguments, *how]


def left(mark: str) -> list[int]:
    """The processes that carry this mark."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def kill_one(line: list[str], out: Path, rng: random.Random) -> dict[str, Any]:
    """Start, wait for a new row and a little longer, kill. What was seen."""
    mark, rows = str(rng.random()), out / "metrics.jsonl"
    before, began = rows.stat().st_size if rows.exists() else 0, time.monotonic()
    process = subprocess.Popen(line, env={**os.environ, MARK: mark}, stderr=subprocess.PIPE, text=True)
    cut = None  # what resuming cuts off
    while process.poll() is None:
        size = rows.stat().st_size if rows.exists() else 0
        cut = size if cut is None and size < before else cut
        if size > (before if cut is None else cut):
            break
        time.sleep(0.01)
    time.sleep(rng.uniform(0, LIFE_SECONDS))
    process.send_signal(signal.SIGKILL)
    said, killed = process.communicate()[1], time.monotonic()
    while (orphans := len(left(mark))) and time.monotonic() < killed + ORPHAN_SECONDS:
        time.sleep(0.1)
    return {
        "exit": process.returncode,
        "seconds": round(time.monotonic() - began, 1),
        "mid_save": any((out / "checkpoints").glob(".new-*")) or any((out / "checkpoints").glob(".old-*")),
        "orphans": orphans,
        "passed_over": said.count("Using step-"),
    }


def same(one: Path, other: Path) -> bool:
    """Whether two runs ended in the same state with the same rows."""

    def state(run: Path) -> list[bytes]:
        last = sorted((run / "checkpoints").glob("step-*"))[-1]
        return [last.name.encode(), *((last / f"{name}.safetensors").read_bytes() for name in ("policy", "state"))]

    def rows(run: Path) -> list[dict[str, Any]]:
        read = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
        return [{name: x for name, x in row.items() if name != "time_s"} for row in read]

    return state(one) == state(other) and rows(one) == rows(other)


def trial(env: str, kills: int) -> dict[str, Any]:
    """One run killed so many times, and the same run undisturbed: the outcome."""
    rng = random.Random(env)
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Path(folder) / "alone", Path(folder) / "killed"
        subprocess.run(command(env, alone, RUNS[env]), check=True, stdout=subprocess.DEVNULL)
        line = command(env, killed, RUNS[env])
        seen = [kill_one(line, killed, rng) for _ in range(kills)]
        ended = json.loads((killed / "metrics.jsonl").read_text().splitlines()[-1])["steps"]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        result = {
            "arguments": RUNS[env],
            "kills": sum(kill["exit"] == -signal.SIGKILL for kill in seen),
            "mid_save": sum(kill["mid_save"] for kill in seen),
            "orphans": sum(kill["orphans"] for kill in seen),
            "passed_over": sum(kill["passed_over"] for kill in seen),
            "steps_at_last_kill": ended,
            "identical": same(alone, killed),
        }
    print(env, result, flush=True)
    return result


def main() -> None:
    """All runs, then the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--runs", nargs="*", default=list(RUNS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    arguments = parser.parse_args()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = dict(zip(arguments.runs, pool.map(lambda env: trial(env, arguments.kills), arguments.runs)))
    page((json.loads(RECORD.read_text()) if RECORD.exists() else {}) | results)


def page(results: dict[str, Any]) -> None:
    """The JSON file and the page."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    RECORD.write_text(json.dumps(results, indent=1) + "\n")
    text = [
        "# Runs killed repeatedly",
        "",
        f"{machine}. Made by `python benchmarks/robustness/kill_and_resume.py`, whose docstring has the details.",
        "",
        "| run | kills | in the middle of a save | checkpoints damaged | processes left after 5 s | identical result |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for env, each in ((env, results[env]) for env in RUNS if env in results):
        cells = [each["kills"], each["mid_save"], each["passed_over"], each["orphans"]]
        text.append(f"| {env} {' '.join(each['arguments'])} | {' | '.join(map(str, cells))} | {each['identical']} |")
    (HERE / "kill_and_resume.md").write_text("\n".join([*text, ""]))


if __name__ == "__main__":
    main()
