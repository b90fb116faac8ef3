"""Whether one compiled update gives the same bits each time: a thousand times, on 1, 2 and 4 threads, for each jaxlib.

python benchmarks/robustness/same_bits.py [--python PYTHON]

openxla reports CPU programs with more than one thread that do not (jax#39741, for jaxlib 0.11). Each version is
installed into an environment of its own below ``--environments``; jax 0.11 and later need Python 3.12 or later,
which ``--python`` names. Writes results/robustness/same_bits.json and same_bits.md. About half an hour on 2 cores.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
RECORD = HERE.parent / "results" / "robustness" / "same_bits.json"
VERSIONS, THREADS = ("0.10.0", "0.10.2", "0.11.0", "0.12.0"), (1, 2, 4)


def python_of(version: str, interpreter: str, folder: Path) -> Path:
    """The interpreter of an environment with this jax and proximax's dependencies."""
    python = folder / f"jax-{version}" / "bin" / "python"
    if not python.exists():
        print(f"installing jax {version} ...", flush=True)
        subprocess.run([interpreter, "-m", "venv", str(python.parents[1])], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"jax=={version}", f"jaxlib=={version}", str(REPOSITORY)], check=True)
    return python.absolute()


def run(python: Path, threads: int, times: int) -> dict[str, Any]:
    """One child process."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu", "NPROC": str(threads)}
    line = [str(python), str(HERE / "run_same_bits.py"), str(times)]
    done = subprocess.run(line, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def page(record: dict[str, Any]) -> str:
    """The table: of how many updates how many had other bits than most."""
    rows = []
    for result in record["runs"]:
        other = [f"{sum(counts[1:])} of {sum(counts):,}" for counts in result["results"].values()]
        rows.append(f"| {result['jaxlib']} | {result['threads']} | {' | '.join(other)} |")
    names = " | ".join(record["runs"][0]["results"])
    return "\n".join(
        [
            "# The same bits from one update to the next",
            "",
            "`python benchmarks/robustness/same_bits.py`: one compiled update of 2,048 transitions from the same",
            "state, again and again; how many gave other bits than most.",
            "",
            f"{record['system']}, {record['cores']} cores, {record['date']}.",
            "",
            f"| jaxlib | threads | {names} |",
            "|---|--:|--:|--:|",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environments")
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".jax", help="their folder")
    parser.add_argument("--versions", nargs="+", default=VERSIONS)
    parser.add_argument("--times", type=int, default=1000)
    options = parser.parse_args()
    runs = []
    for version in options.versions:
        python = python_of(version, options.python, options.environments)
        for threads in THREADS:
            runs.append(run(python, threads, options.times))
            print(runs[-1], flush=True)
    record = {"system": f"{platform.system()} {platform.machine()}", "cores": len(os.sched_getaffinity(0))}
    record |= {"date": date.today().isoformat(), "runs": runs}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    (HERE / "same_bits.md").write_text(page(record))


if __name__ == "__main__":
    main()
