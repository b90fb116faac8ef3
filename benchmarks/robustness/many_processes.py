"""Kill, stop or preempt a random process of ``proximax train --launch local``, many times: the same bits at the end.

``python benchmarks/robustness/many_processes.py --minutes 10`` writes results/robustness/many_processes.json
and many_processes.md.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker_faults import digest

RESULTS = Path(__file__).resolve().parent.parent / "results" / "robustness" / "many_processes.json"
PAGE = Path(__file__).with_suffix(".md")
FAULTS = ("SIGKILL", "SIGTERM", "SIGSTOP")
TRAIN = (
    "train CartPole-v1 --preset none --shards 2 --num-envs 4 --ppo.num-steps 16 --ppo.minibatch-size 16 --ppo.hidden 8 "
    "--ppo.epochs 2 --steps 12800 --checkpoint-every 640 --eval-episodes 2 --out run"
)


def main() -> None:
    """As many faults as there is time for, in turn; the file is written after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="only write the page of a record that exists")
    arguments = parser.parse_args()
    if arguments.page:
        PAGE.write_text(page(json.loads(arguments.out.read_text())))
        return
    rng, until, trials = random.Random(arguments.seed), time.monotonic() + 60 * arguments.minutes, []
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "proximax", *TRAIN.split()], cwd=folder, check=True, capture_output=True)
        expected, alone_s = digest(Path(folder, "run")), time.monotonic() - started
    while time.monotonic() < until:
        fault = FAULTS[len(trials) % len(FAULTS)]
        with tempfile.TemporaryDirectory() as folder:
            trials.append(trial(Path(folder), fault, rng, expected))
        print(trials[-1], flush=True)
        settings = {"command": f"proximax {TRAIN} --launch local --workers 2", "one_process_s": round(alone_s, 1)}
        record = {**settings, "faults": summary(trials), "trials": trials}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(record))


def trial(folder: Path, fault: str, rng: random.Random, expected: str) -> dict[str, object]:
    """One run with one fault: when the group was started again, when it trained again, whether the bits are right."""
    line = [sys.executable, "-m", "proximax", *TRAIN.split(), "--launch", "local", "--workers", "2"]
    started = time.monotonic()
    run = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seen: list[tuple[float, str]] = []
    reader = threading.Thread(target=read, args=(run, seen))
    reader.start()
    while not list(folder.glob("run/checkpoints/step-*")) and run.poll() is None:
        time.sleep(0.02)
    time.sleep(rng.uniform(0.0, 1.0))
    rank, processes = rng.randrange(2), ranks_of(run.pid)
    if rank in processes:
        os.kill(processes[rank], getattr(signal, fault))
    sent = time.monotonic()
    code = run.wait()
    reader.join()
    noticed = [at - sent for at, text in seen if "starting again" in text]
    trained = [at - sent for at, text in seen if "resumed at" in text]
    return {
        "fault": fault,
        "rank": rank,
        "hit": bool(noticed),
        "noticed_s": round(noticed[0], 2) if noticed else None,
        "resumed_s": round(trained[0], 2) if trained else None,
        "code": code,
        "same_bits": code == 0 and digest(folder / "run") == expected,
        "orphans": sum(map(is_running, processes.values())),
        "wall_s": round(time.monotonic() - started, 1),
        "said": next((text for _, text in seen if "starting again" in text), ""),
    }


def read(run: "subprocess.Popen[str]", seen: list[tuple[float, str]]) -> None:
    """The lines of a run's stderr with their times."""
    for line in run.stderr or ():
        seen.append((time.monotonic(), line.strip()))


def ranks_of(parent: int) -> dict[int, int]:
    """The processes that ``parent`` has started: rank -> number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (folder / "stat").read_text().rpartition(")")[2].split()[1] == str(parent):
                variables = (folder / "environ").read_bytes().decode().split("\0")
                found |= {int(x.partition("=")[2]): int(folder.name) for x in variables if x[:14] == "PROXIMAX_RANK="}
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there, and no corpse."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def summary(trials: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    """Of each fault: how often it came, how often the bits were right, and the longest times."""
    found = {}
    for fault in FAULTS:
        hit = [each for each in trials if each["fault"] == fault and each["hit"]]
        times = {
            name: [float(str(each[name])) for each in hit if each[name] is not None]
            for name in ("noticed_s", "resumed_s")
        }
        found[fault] = {
            "trials": len(hit),
            "same_bits": sum(bool(each["same_bits"]) for each in hit),
            "orphans": sum(int(str(each["orphans"])) for each in hit),
            **{f"longest_{name}": max(values, default=None) for name, values in times.items()},
            **{
                f"median_{name}": sorted(values)[len(values) // 2] if values else None for name, values in times.items()
            },
        }
    return found


def page(record: dict[str, Any]) -> str:
    """The record as a page."""
    lines = [
        "# Processes of a training lost",
        "",
        "Made by `python benchmarks/robustness/many_processes.py`, on 2 cores that other programs used, too:",
        f"`{record['command']}`.",
        "A random one of the two processes gets the signal at a random time after the first checkpoint. At the end the",
        "checkpoint must be that of a run by one process, bit for bit, and no process may be left.",
        "",
        "| signal | trials | same bits | processes left | found after (median, max) | resumed after (median, max) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for fault, found in record["faults"].items():
        noticed, resumed = (
            f"{found[f'median_{name}']:.1f} s, {found[f'longest_{name}']:.1f} s" for name in ("noticed_s", "resumed_s")
        )
        cells = fault, found["trials"], found["same_bits"], found["orphans"], noticed, resumed
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        "JAX misses the heartbeats of a stopped process and ends the other one; the supervisor's limit, 45 s without",
        "progress, comes after that.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
