"""One update by Stable-Baselines3's own ``PPO.train()`` and by ``--like sb3``, in float64: how far they are apart.

python benchmarks/parity/sb3_update.py [--peers DIR]

The same parameters, rollout and order of samples: 32 steps of 4 environments with ends and time limits, 2 epochs of 4
minibatches. First with all switches alike, then with each as it is here by default. Writes sb3_update.md, and
tests/data/sb3_update.npz, with which the tests repeat the comparison without Stable-Baselines3.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY), str(HERE.parent / "speed")]

from peers import FOLDER, python_of  # noqa: E402

from tests.support.sb3_update import (  # noqa: E402
    DIFFERENT,
    RECORD,
    SPACES,
    distance,
    like_sb3,
    order_of_samples,
    parameters,
    read,
    update_here,
)


def record(python: Path) -> str:
    """Let Stable-Baselines3 learn; its version."""
    with tempfile.TemporaryDirectory() as folder:
        orders = Path(folder) / "orders.npz"
        np.savez(orders, **dict.fromkeys(SPACES, order_of_samples()))
        subprocess.run([str(python), str(HERE / "run_sb3_update.py"), str(orders), str(RECORD)], check=True)
    with np.load(RECORD) as arrays:
        return str(arrays["version"])


def rows() -> list[str]:
    """The table: for each case the largest difference of a parameter."""
    changes = {"all switches alike": {}, **{f"`{name} = {value}`": {name: value} for name, value in DIFFERENT.items()}}
    table = [f"| settings | {' | '.join(SPACES)} |", f"|---|{'--:|' * len(SPACES)}"]
    theirs = {case: parameters(read(case), "after") for case in SPACES}
    for label, change in changes.items():
        ppo = replace(like_sb3(), **change)
        apart = [f"{distance(update_here(case, ppo)[1], theirs[case]):.1e}" for case in SPACES]
        table.append(f"| {label} | {' | '.join(apart)} |")
    moved = [f"{distance(parameters(read(case), 'before'), theirs[case]):.1e}" for case in SPACES]
    return [*table, f"| how far the update moves them | {' | '.join(moved)} |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=FOLDER, help="folder of the peers' virtual environments")
    options = parser.parse_args()
    with jax.enable_x64(True):
        version = record(python_of("sb3-contrib", options.peers))
        table = "\n".join(rows())
    (HERE / "sb3_update.md").write_text(
        f"# One update of Stable-Baselines3 {version}, and the same here\n\n"
        "Largest difference of a parameter after `PPO.train()` on one rollout of 128 transitions: 2 epochs of 4\n"
        "minibatches, Adam with step size 1e-3, in float64. `python benchmarks/parity/sb3_update.py` writes this;\n"
        f"`tests/ppo/test_update.py` repeats the first row.\n\n{table}\n"
    )
    print(table)


if __name__ == "__main__":
    main()
