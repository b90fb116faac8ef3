"""proximax: ``run_proximax.py SETTINGS``. With a ``goal`` the command line until it is solved, else ``train``."""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from driver import finish, pace, settings

# What the peers' settings call the same, and what they do not have: left out where the preset is to decide.
PLAIN = {"preset": "none", "quiet": True, "normalise_obs": False, "scale_reward": False}
PACKAGES = ("proximax", "jax", "gymnasium", "envpool", "gymnax", "mujoco", "numpy")


def solve(s: dict[str, Any]) -> dict[str, Any]:
    """The command that the README names."""
    from proximax.cli import main

    out = Path("run")
    asked = ["train", s["env"], "--stop-at-return", str(s["goal"]), "--seed", str(s["seed"]), "--out", str(out)]
    output, sys.stdout = sys.stdout, sys.stderr
    code = main([*asked, "--steps", str(s["steps"])])
    finished = time.time()
    sys.stdout = output
    result = json.loads((out / "result.json").read_text())
    solved = code == 0 and result["stopped_by"] == "stop_at"
    return {
        "steps": result["steps"],
        "solved": solved,
        "return": result["return_mean"],
        "compile_s": result["compile_s"],
        "finished_at": finished,
    }


def learn(s: dict[str, Any]) -> dict[str, Any]:
    """Speeds from the times of the updates, the first of which holds making the environment and compiling."""
    import proximax
    from proximax.runtime import compilation

    compilation.prepare(s.get("seeds", 1))  # importing gymnax starts JAX, and then it is too late
    source, colon, _ = s["env"].partition(":")
    if colon:
        import_module(source)  # as the peers do before their time is taken
    plain = {} if "preset" in s else PLAIN
    result = proximax.train(**plain | {"quiet": True} | s)
    rows = result.config.batch_size * result.config.seeds
    marks = [0.0] + [row["time_s"] for row in result.history if row["seed"] == result.config.seed]
    values = pace(marks, rows)
    recent = [row["return_last_100"] for row in result.history[-result.config.seeds :]]
    scores = [x for x in recent if x is not None]
    return values | {
        "return": result.summary.mean,
        "training_return": sum(scores) / len(scores) if scores else None,
        "with_evaluation_s": result.wall_s,
    }


def main() -> None:
    s = settings()
    finish((solve if "goal" in s else learn)(s), *PACKAGES)


if __name__ == "__main__":
    main()
