"""Kill, stop and preempt processes of a training, 20 times each, under ``--launch local`` and ``--launch ray``.

``python benchmarks/robustness/worker_faults.py`` (an hour on 2 cores) writes
results/robustness/worker_faults.json after every run, and worker_faults.md. ``--launch`` and ``--fault`` choose some,
``--page`` writes the page of the record that exists.

A run meets several faults of one kind in a row: the signal goes to a random one of its two processes at a random moment
within two seconds after a new checkpoint; each update is saved. Under Ray it goes, as often, to the worker of
Ray that watches over that process. Found: until all processes of before are gone. Trains again: until a new process
writes a row.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from safetensors.numpy import load_file

RESULTS = Path(__file__).resolve().parent.parent / "results" / "robustness" / "worker_faults.json"
PAGE = Path(__file__).with_suffix(".md")
LAUNCHERS, FAULTS = ("local", "ray"), ("SIGKILL", "SIGTERM", "SIGSTOP")
TRAIN = (
    "train CartPole-v1 --preset none --shards 2 --num-envs 4 --ppo.num-steps 16 --ppo.minibatch-size 16 --ppo.hidden 8 "
    "--ppo.epochs 2 --steps {steps} --checkpoint-every 64 --eval-episodes 2 --out run"
)
EACH, IN_A_RUN, PAUSE_SECONDS = 20, 5, 2.0
FOUND_LIMIT = {"SIGKILL": 15.0, "SIGTERM": 15.0, "SIGSTOP": 60.0}  # seconds
AGAIN_LIMIT, WAIT_SECONDS, ORPHAN_SECONDS = 60.0, 600.0, 15.0
MARK = "PROXIMAX_FAULTS"  # in the environment of every process of a run
CHECK = """
import time
from proximax.config import RunConfig
from proximax.training.ranks import check_ranks, join_ranks
config = RunConfig(env="CartPole-v1", shards=2)
ranks, notes = join_ranks(config)
join_ranks(config)  # now both are there
began = time.perf_counter()
ranks, notes = join_ranks(config)
check_ranks(ranks, config.shards, [])
print("seconds", time.perf_counter() - began)
"""
Value = TypeVar("Value")


def main() -> None:
    """The undisturbed run, then runs with faults until there are enough of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launch", nargs="*", default=LAUNCHERS)
    parser.add_argument("--fault", nargs="*", default=FAULTS)
    parser.add_argument("--each", type=int, default=EACH, help="faults of each kind")
    parser.add_argument("--in-a-run", type=int, default=IN_A_RUN)
    parser.add_argument("--steps", type=int, default=8_000, help="of the runs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="only write the page of the record")
    options = parser.parse_args()
    record = json.loads(options.out.read_text()) if options.out.exists() else {"trials": [], "runs": []}
    if not options.page:
        measure(options, record)
    PAGE.write_text(page(record))


def measure(options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Add to the record and save it after each run."""
    command = TRAIN.format(steps=options.steps)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        line = [sys.executable, "-m", "proximax", *command.split()]
        subprocess.run(line, cwd=folder, check=True, capture_output=True)
        expected, alone = digest(Path(folder, "run")), round(time.monotonic() - began, 1)
        checks = {name: start_check(Path(folder, "programs")) for name in ("cold", "cached")}
    record |= {"command": f"proximax {command} --workers 2", "one_process_s": alone, "start_check_s": checks}
    kinds = [(launcher, fault) for launcher in options.launch for fault in options.fault]
    while missing := [kind for kind in kinds if number(record, *kind) < options.each]:
        launcher, fault = min(missing, key=lambda kind: number(record, *kind))
        done = number(record, launcher, fault)
        rng = random.Random(f"{launcher} {fault} {done}")
        with tempfile.TemporaryDirectory() as folder:
            line = [*command.split(), "--launch", launcher, "--workers", "2"]
            run, trials = faulty_run(line, Path(folder), fault, rng, min(options.in_a_run, options.each - done))
        same = run["code"] == 0 and run.pop("digest") == expected
        who = {"launcher": launcher, "fault": fault}
        if not trials:
            raise SystemExit("a run that ended before it met a fault: more --steps")
        record["runs"].append(who | run | {"same_bits": same})
        record["trials"] += [who | trial for trial in trials]
        options.out.write_text(json.dumps(record, indent=1) + "\n")
        print(record["runs"][-1], *trials, sep="\n  ", flush=True)


def faulty_run(
    arguments: list[str], folder: Path, fault: str, rng: random.Random, faults: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One run with its faults: (how it ended, what was seen of each fault)."""
    mark, rows, trials = uuid.uuid4().hex, folder / "run" / "metrics.jsonl", []
    began = time.monotonic()
    with Path(folder, "said").open("wb") as said:
        run = subprocess.Popen(
            [sys.executable, "-m", "proximax", *arguments],
            cwd=folder,
            env=os.environ | {MARK: mark},
            stdout=said,
            stderr=said,
        )
    if wait_for(lambda: new_row(mark, rows, set()), run):
        checkpoint = ""
        for _ in range(faults):
            # Three failures without a new checkpoint would be the end, as they should.
            checkpoint = wait_for(lambda before=checkpoint: newer(folder, before), run) or ""
            time.sleep(rng.uniform(0.0, PAUSE_SECONDS))
            trial = one_fault(run, mark, rows, fault, rng)
            if trial is None:
                break
            trials.append(trial)
            if trial["again_s"] is None:
                break
    with suppress(subprocess.TimeoutExpired):
        run.wait(WAIT_SECONDS)
    code, ended = run.poll(), time.monotonic()
    run.kill()
    run.wait()
    while (left := list(processes(mark))) and time.monotonic() < ended + ORPHAN_SECONDS:
        time.sleep(0.2)
    end = {"code": code, "seconds": round(ended - began, 1), "orphans": len(left)}
    with suppress(ValueError):  # no checkpoint
        end["digest"] = digest(folder / "run")
    if code != 0 or left:
        print(Path(folder, "said").read_text()[-3000:], left, flush=True)
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return {"faults": len(trials), **end}, trials


def one_fault(
    run: "subprocess.Popen[bytes]", mark: str, rows: Path, fault: str, rng: random.Random
) -> dict[str, Any] | None:
    """Send the signal and wait until the run trains again; None where it has ended before."""
    ranks = ranks_of(mark)
    rank, of_watcher = rng.randrange(2), rng.random() < 0.5
    if rank not in ranks:
        return None
    victim, before = ranks[rank], set(ranks.values())
    if watcher := "ray" in run.args and of_watcher:  # type: ignore[operator]
        victim = parent_of(victim)
    sent = time.monotonic()
    with suppress(ProcessLookupError):
        os.kill(victim, getattr(signal, fault))
    found = wait_for(lambda: not any(map(is_running, before)), run)
    found_s = round(time.monotonic() - sent, 2) if found else None
    again = wait_for(lambda: new_row(mark, rows, before), run)
    again_s = round(time.monotonic() - sent, 2) if again else None
    if run.poll() is not None and not again:
        return None
    return {"rank": rank, "victim": "watcher" if watcher else "process", "found_s": found_s, "again_s": again_s}


def wait_for(happened: Callable[[], Value], run: "subprocess.Popen[bytes]") -> Value | None:
    """Look often until it has; None where the run ends or nothing happens."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and run.poll() is None:
        if value := happened():
            return value
        time.sleep(0.05)
    return None


_sizes: dict[tuple[str, int], int] = {}


def new_row(mark: str, rows: Path, before: set[int]) -> bool:
    """Whether a rank 0 that is not of ``before`` has written a row since the last look; resuming cuts rows off."""
    first = ranks_of(mark).get(0)
    if first is None or first in before or not rows.exists():
        return False
    size, last = rows.stat().st_size, _sizes.get((mark, first))
    _sizes[mark, first] = size
    return last is not None and size > last


def newer(folder: Path, before: str) -> str:
    """The newest checkpoint, if it is newer than another one."""
    newest = max((path.name for path in folder.glob("run/checkpoints/step-*")), default="")
    return newest if newest > before else ""


def processes(mark: str) -> Iterator[int]:
    """The processes of a run."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes() and is_running(int(folder.name)):
                yield int(folder.name)


def ranks_of(mark: str) -> dict[int, int]:
    """The processes that train: rank -> number."""
    found = {}
    for pid in processes(mark):
        with suppress(OSError):
            names = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
            found |= {int(x.partition("=")[2]): pid for x in names if x.startswith("PROXIMAX_RANK=")}
    return found


def parent_of(pid: int) -> int:
    """The process that has started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_running(pid: int) -> bool:
    """Whether a process is there, and no corpse."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def start_check(cache: Path) -> float:
    """Seconds that the check at the start takes in two processes, once both are there."""
    place = {"PROXIMAX_SIZE": "2", "PROXIMAX_COORDINATOR": f"127.0.0.1:{random.randrange(28_000, 32_000)}"}
    keep = {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    keep |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0", "JAX_PLATFORMS": "cpu"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CHECK],
            env=os.environ | place | keep | {"PROXIMAX_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate()[0] for process in running]
    return round(max(float(text.rpartition("seconds ")[2]) for text in said), 2)


def digest(run: Path) -> str:
    """Of all arrays of a run's last checkpoint but its times."""
    last = max((run / "checkpoints").glob("step-*"))
    tensors = load_file(last / "policy.safetensors") | load_file(last / "state.safetensors")
    text = [
        (name, hashlib.sha256(x.tobytes()).hexdigest()) for name, x in sorted(tensors.items()) if "time" not in name
    ]
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()


def number(record: dict[str, Any], launcher: str, fault: str) -> int:
    """How many faults of a kind the record has."""
    return len(trials_of(record, launcher, fault))


def trials_of(record: dict[str, Any], launcher: str, fault: str) -> list[dict[str, Any]]:
    """What was seen of each fault of a kind."""
    return [each for each in record["trials"] if (each["launcher"], each["fault"]) == (launcher, fault)]


def page(record: dict[str, Any]) -> str:
    """The record as a page."""
    checks = record["start_check_s"]
    lines = [
        "# Processes killed, stopped and preempted",
        "",
        "Made by `python benchmarks/robustness/worker_faults.py`, on 2 cores that other programs used, too:",
        f"`{record['command']}`",
        "with `--launch local` and `--launch ray`. Several faults in each run. The signal goes to a random one of the",
        "two processes within two seconds after a new checkpoint; under Ray, as often, to the worker of Ray that",
        "watches over the process. At the end the checkpoint must be that of an undisturbed run by one process, to the",
        "bit, and 15 s after it no process of the run may be left. Found: all processes of before are gone. Trains",
        "again: seconds from the fault to the next row of metrics.jsonl.",
        "",
        "| launcher | signal | faults | runs | same bits | processes left | found: median, max "
        "| trains again: median, max | over the limit |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for launcher in LAUNCHERS:
        for fault in FAULTS:
            if trials := trials_of(record, launcher, fault):
                lines.append(table_row(record, launcher, fault, trials))
    lines += [
        "",
        "Limits: a dead process is found within 15 s, a stopped one within 60 s; training continues within 60 s after",
        f"that. The undisturbed run took {record['one_process_s']} s. A start imports Ray and JAX in several",
        "processes: these times grow with what else the machine does.",
        "",
        f"The check at the start took {checks['cached']} s in two processes ({checks['cold']} s where nothing was",
        "compiled before).",
    ]
    return "\n".join([*lines, *(["", record["note"]] if "note" in record else [])]) + "\n"


def table_row(record: dict[str, Any], launcher: str, fault: str, trials: list[dict[str, Any]]) -> str:
    """A row of the table."""
    runs = [run for run in record["runs"] if (run["launcher"], run["fault"]) == (launcher, fault)]
    same, left = sum(run["same_bits"] for run in runs), sum(run["orphans"] for run in runs)
    texts = []
    for name in "found_s", "again_s":
        times = sorted(each[name] for each in trials if each[name] is not None)
        texts.append(f"{times[len(times) // 2]:.1f} s, {times[-1]:.1f} s" if times else "never")
    over = sum(is_over(fault, each) for each in trials)
    cells = launcher, fault, len(trials), len(runs), same, left, *texts, over
    return f"| {' | '.join(map(str, cells))} |"


def is_over(fault: str, trial: dict[str, Any]) -> bool:
    """Whether a fault was found or overcome too late."""
    found, again = trial["found_s"], trial["again_s"]
    return found is None or again is None or found > FOUND_LIMIT[fault] or again - found > AGAIN_LIMIT


if __name__ == "__main__":
    main()
