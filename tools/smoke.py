"""Train, evaluate and load CartPole-v1 with the proximax that this Python has, by its command and from Python.

And an environment inside the program, which is compiled in another way.
"""

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

import proximax

STEPS = 20_000
RETURN = 60.0  # not solved by then, but far above 22, the return of random actions
VERSIONS = ("proximax", "jax", "jaxlib", "numpy", "gymnasium", "optax")


def main() -> None:
    """Exit code 0 if all of it works."""
    print(f"Python {sys.version.split()[0]},", ", ".join(f"{name} {version(name)}" for name in VERSIONS))
    print(Path(proximax.__file__).parent)
    with tempfile.TemporaryDirectory(prefix="proximax-smoke-") as folder:
        run = Path(folder, "run")
        command("train", "CartPole-v1", "--steps", str(STEPS), "--out", str(run), "--quiet")
        command("eval", str(run), "--episodes", "20")
        action = proximax.load(run).act(np.zeros(4, np.float32))
        if action not in (0, 1):
            sys.exit(f"smoke: the loaded policy acts {action!r}")
        if (mean := proximax.evaluate(run, 20).summary.mean) < RETURN:
            sys.exit(f"smoke: a mean return of {mean:.1f} after {STEPS:,} steps; expected at least {RETURN:.0f}")
        jax_run = ("--steps", "2048", "--eval-episodes", "4", "--out", str(Path(folder, "jax")), "--quiet")
        command("train", "probe:matching", *jax_run)


def command(*arguments: str) -> None:
    """Run the ``proximax`` beside this Python."""
    subprocess.run([Path(sys.executable).with_name("proximax"), *arguments], check=True)


if __name__ == "__main__":
    main()
