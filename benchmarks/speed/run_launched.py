"""proximax in several processes: ``run_launched.py SETTINGS``, the command line with ``--launch`` and ``--workers``.

``kill_at``: seconds after the first update at which one worker is killed, once.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from driver import finish, pace, pause, settings

FLAGS = {
    "num_steps": "ppo.num-steps",
    "minibatch_size": "ppo.minibatch-size",
    "epochs": "ppo.epochs",
    "learning_rate": "ppo.learning-rate",
    "gamma": "ppo.gamma",
    "lam": "ppo.lam",
    "epsilon": "ppo.epsilon",
    "entropy_coef": "ppo.entropy-coef",
    "anneal": "ppo.anneal",
}


def command(s: dict[str, Any]) -> list[str]:
    """What a user would type."""
    line = [sys.executable, "-m", "proximax", "train", s["env"], "--preset", "none", "--out", "run", "--quiet"]
    line += ["--shards", str(s["workers"]), "--launch", s["launch"], "--workers", str(s["workers"])]
    line += ["--num-envs", str(s["num_envs"]), "--seed", str(s["seed"]), "--steps", str(s["steps"])]
    line += ["--ppo.hidden", *map(str, s["hidden"])]
    line += [part for name, flag in FLAGS.items() for part in (f"--{flag}", str(s[name]))]
    if "goal" in s:
        line += ["--stop-at-return", str(s["goal"])]
    return line + [str(part) for part in s.get("flags", [])]


def rows_so_far() -> int:
    """Rows of the run's metrics."""
    try:
        return Path("run/metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def kill_one_worker() -> None:
    """``kill -9`` the process that trains with the highest number."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            places = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        found += [(part, int(folder.name)) for part in places if part.startswith(b"PROXIMAX_RANK=")]
    os.kill(max(found)[1], signal.SIGKILL)


def main() -> None:
    s = settings()
    process = subprocess.Popen(command(s), stdout=subprocess.DEVNULL)
    arrivals: list[float] = []
    kill_at = s.get("kill_at")
    while "kill_at" in s and process.poll() is None:  # else nothing is looked at: it would take time of a core
        if rows_so_far() > len(arrivals):
            arrivals.append(time.perf_counter())
        if kill_at is not None and arrivals and time.perf_counter() - arrivals[0] > kill_at:
            kill_one_worker()
            kill_at = None
        time.sleep(0.02)
    if process.wait():
        raise SystemExit(f"exit code {process.returncode}")
    finished = time.time()
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    result = json.loads(Path("run/result.json").read_text())
    if "goal" in s:
        solved = result["stopped_by"] == "stop_at"
        values = {"steps": result["steps"], "solved": solved, "return": result["return_mean"]}
    else:
        batch = s["num_envs"] * s["num_steps"]
        values = pace([0.0, *(row["time_s"] for row in rows)], batch) | {"steps_sampled": rows[-1]["steps"]}
        if "kill_at" in s:
            newest = max(Path("run/checkpoints").iterdir(), key=lambda path: path.name)
            digest = hashlib.sha256((newest / "policy.safetensors").read_bytes()).hexdigest()
            values |= {"pause_s": pause(arrivals), "digest": digest}
    finish(values | {"finished_at": finished}, "proximax", "jax", "ray", "gymnasium", "numpy")


if __name__ == "__main__":
    main()
