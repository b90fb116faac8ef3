"""Whether a GPU trains as the CPU does, and as itself: the first ratio, parity of one update, exact resume, seeds.

python benchmarks/gpu/correctness.py [--toy]

Runs ``train_cases.py`` in six processes at once: on the CPU; twice on the GPU as users have it; once with TF32; twice
with XLA's deterministic operations.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from train_cases import parameters

DETERMINISTIC = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
PROCESSES: dict[str, dict[str, str]] = {
    "cpu": {"JAX_PLATFORMS": "cpu"},
    "gpu": {},
    "gpu again": {},
    "tf32": {"JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"},
    "deterministic": {"XLA_FLAGS": DETERMINISTIC},
    "deterministic again": {"XLA_FLAGS": DETERMINISTIC},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="fewer runs")
    parser.add_argument("--seconds", type=float, default=170.0, help="what is not finished by then is left out")
    options = parser.parse_args()
    ends = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        children = {name: start(Path(folder) / name, extra, options.toy) for name, extra in PROCESSES.items()}
        outputs = {name: lines(child, ends - time.monotonic()) for name, child in children.items()}
        ours = outputs["gpu"]
        cases = [name for name in ours if name not in ("backend", "seeds") and all(name in x for x in outputs.values())]
        compared = {name: compare(i, name, outputs, Path(folder)) for i, name in enumerate(cases)}
    values = {"backend": ours.get("backend"), "cases": compared, "seeds": ours.get("seeds")}
    print(json.dumps(values | {"finished_at": time.time(), "versions": {"jax": version("jax")}}))


def start(folder: Path, extra: dict[str, str], toy: bool) -> "subprocess.Popen[str]":
    """A process that trains the cases; it takes only the GPU memory that it needs."""
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | extra
    command = [sys.executable, str(Path(__file__).with_name("train_cases.py")), str(folder), *["--toy"] * toy]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def lines(child: "subprocess.Popen[str]", seconds: float) -> dict[str, Any]:
    """What a process has printed when it ends or is ended."""
    try:
        output, _ = child.communicate(timeout=max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
    return {name: value for line in output.splitlines() for name, value in json.loads(line).items()}


def compare(i: int, case: str, outputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the processes say of one case."""
    gpu, again = outputs["gpu"][case], outputs["gpu again"][case]
    first, second = (outputs[name][case] for name in ("deterministic", "deterministic again"))
    return {
        "ratio_error": gpu["ratio_error"],
        "ratio_error_tf32": outputs["tf32"][case]["ratio_error"],
        "difference_from_cpu": difference(folder, i, "gpu"),
        "difference_from_cpu_tf32": difference(folder, i, "tf32"),
        "resume_exact": gpu["whole"] == gpu["resumed"],
        "repeat_exact": gpu["whole"] == again["whole"],
        "resume_exact_deterministic": first["whole"] == first["resumed"],
        "repeat_exact_deterministic": first["whole"] == second["whole"],
    }


def difference(folder: Path, i: int, name: str) -> float:
    """The largest difference of a parameter from the CPU's after one update, over the largest parameter."""
    cpu, gpu = (parameters(folder / process / str(i) / "one") for process in ("cpu", name))
    largest = max(float(np.max(np.abs(x))) for x in cpu.values())
    return max(float(np.max(np.abs(x - gpu[key]))) for key, x in cpu.items()) / largest


if __name__ == "__main__":
    main()
