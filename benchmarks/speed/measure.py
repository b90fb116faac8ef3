"""Runs contestants in turn, each run a process of its own, and records medians, spread and machine as JSON.

Standard library only: what a child's memory is measured with counts this process too, until the child is started.
"""

import argparse
import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import FOLDER, python_of

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
RESULTS = HERE.parent / "results" / "speed"
CPU_FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
METHOD = "Order A B, then B A; steps/s: the slope of steps against time after the first tenth of the updates"
Run = dict[str, Any]


@dataclass(frozen=True)
class Contestant:
    """One side of a comparison: which driver runs in whose virtual environment, with which settings."""

    name: str
    driver: str
    settings: dict[str, Any]
    home: str = "proximax"  # or a name of ``peers.PEERS``
    warm: bool = False  # with JAX's compilation cache, which a first, discarded run has filled
    timeout: float = math.inf  # seconds, where less than that of the command line
    repeats: int | None = None  # where not as many as asked for on the command line


def arguments(description: str | None, steps: int, repeats: int = 3) -> argparse.Namespace:
    """The command line that all these scripts share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=FOLDER, help="folder of the peers' virtual environments")
    parser.add_argument("--purejaxrl", type=Path, help="folder of PureJaxRL's published scripts")
    parser.add_argument("--cleanrl", type=Path, help="folder of CleanRL's published scripts")
    parser.add_argument("--repeats", type=int, default=repeats, help="runs of each contestant")
    parser.add_argument("--steps", type=int, default=steps, help="environment steps of a run")
    parser.add_argument("--only", default="", help="only contestants whose names contain this; nothing is written")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds after which a run has failed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON files")
    return parser.parse_args()


def compare(name: str, contestants: list[Contestant], options: argparse.Namespace) -> None:
    """Run them all in turn, forth and back (A, B, B, A, ...), and write ``NAME.json``."""
    chosen = [c for c in contestants if options.only in c.name]
    with tempfile.TemporaryDirectory() as folder:
        caches = {c.name: Path(folder) / f"cache-{i}" for i, c in enumerate(chosen)}
        machine = describe_machine()
        for contestant in chosen:
            if contestant.warm:
                print("to fill the cache: ", end="")
                run_once(contestant, 0, caches[contestant.name], options)
        runs: dict[str, list[Run]] = {c.name: [] for c in chosen}
        for turn in range(max(c.repeats or options.repeats for c in chosen)):
            for contestant in in_turn(chosen, turn):
                if turn < (contestant.repeats or options.repeats):
                    cache = caches[contestant.name] if contestant.warm else Path(folder) / f"{contestant.name}-{turn}"
                    runs[contestant.name].append(run_once(contestant, turn, cache, options))
    if options.only:
        return
    entries = [{"name": c.name, "settings": public(c.settings), **summarise(runs[c.name])} for c in chosen]
    values = {"command": f"python benchmarks/speed/{name}.py", "commit": commit(), "machine": machine}
    values |= {"method": METHOD, "contestants": entries}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n")


def in_turn(contestants: list[Contestant], turn: int) -> list[Contestant]:
    """Their order in a turn: A B, then B A, so that a machine which slows down, or wakes up, favours none."""
    return contestants[::-1] if turn % 2 else contestants


def public(settings: dict[str, Any]) -> dict[str, Any]:
    """Without where things lie on this machine."""
    return {name: value for name, value in settings.items() if name != "folder"}


def run_once(contestant: Contestant, turn: int, cache: Path, options: argparse.Namespace) -> Run:
    """One process; what its driver printed, its peak memory and how long it took, or ``{"failed": why}``."""
    python = Path(sys.executable) if contestant.home == "proximax" else python_of(contestant.home, options.peers)
    command = [str(python), str(HERE / contestant.driver), json.dumps(contestant.settings | {"seed": turn})]
    print(f"{contestant.name}, run {turn}: ", end="", flush=True)
    run = run_child(command, child_environment(contestant, cache), min(options.timeout, contestant.timeout))
    shown = {key: round(x, 3) for key, x in run.items() if isinstance(x, float)}
    print(run.get("failed") or shown, flush=True)
    return run


def child_environment(contestant: Contestant, cache: Path) -> dict[str, str]:
    """Nothing of this process's environment but where programs are; a home folder and a cache of its own."""
    cache.mkdir(exist_ok=True)
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    environment |= {"HOME": str(cache), "XDG_CACHE_HOME": str(cache)}
    if contestant.home == "proximax":
        environment |= {"PYTHONPATH": str(REPOSITORY)}
    if contestant.home == "proximax" or contestant.warm:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    return environment


def run_child(command: list[str], environment: dict[str, str], timeout: float) -> Run:
    """Run to the end or to ``timeout``; the last line of standard output is the result."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        began, clock = time.time(), time.perf_counter()
        child = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=errors, start_new_session=True
        )
        late = threading.Event()
        timer = threading.Timer(timeout, kill_group, (child.pid, late))
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
        process_s = time.perf_counter() - clock
        child.returncode = os.waitstatus_to_exitcode(status)  # for Popen, which did not wait itself
        output.seek(0)
        errors.seek(0)
        lines = output.read().splitlines()
        if late.is_set():
            return {"failed": f"not finished after {timeout:.0f} s"}
        if child.returncode or not lines:
            print(errors.read()[-3000:], file=sys.stderr)
            return {"failed": f"exit code {child.returncode}"}
    run: Run = json.loads(lines[-1])
    finished = run.pop("finished_at")
    run |= {"process_s": process_s, "peak_memory_mb": usage.ru_maxrss / 1024}
    if "solved" in run:
        run["to_goal_s"] = finished - began if run["solved"] else None
    return run


def kill_group(pid: int, late: threading.Event) -> None:
    """End a child and its children."""
    late.set()
    os.killpg(pid, signal.SIGKILL)


def summarise(runs: list[Run]) -> dict[str, Any]:
    """Median, least and most of every number over the runs that finished; a goal not reached counts as infinite."""
    good = [run for run in runs if "failed" not in run]
    summary: dict[str, Any] = {"failed": len(runs) - len(good)}
    if good:
        summary["versions"] = good[0].pop("versions")
        for run in good[1:]:
            run.pop("versions")
        for key, example in good[0].items():
            if example is None or isinstance(example, (int, float)):
                values = [math.inf if run[key] is None else float(run[key]) for run in good]
                middle = {"median": statistics.median(values), "least": min(values), "most": max(values)}
                summary[key] = {part: rounded(x) for part, x in middle.items()}
    return summary | {"runs": [{k: rounded(x) for k, x in run.items()} for run in runs]}


def rounded(x: Any) -> Any:
    """Six significant digits; JSON has no infinity."""
    if not isinstance(x, float):
        return x
    return float(f"{x:.6g}") if math.isfinite(x) else None


def commit() -> str | None:
    """Which proximax this is, where git can say."""
    if not shutil.which("git"):
        return None
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def describe_machine() -> dict[str, Any]:
    """What matters for speed, and nothing that says whose machine it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": fields.get("model name", platform.machine()),
        "flags": [flag for flag in CPU_FLAGS if flag in flags],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }
