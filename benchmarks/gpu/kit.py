"""The parts of the GPU kit, each a process with a time limit of its own; ``run.sh`` starts it.

Contestants of a comparison run A, B, B, A. The second time their compiled programs come from JAX's cache, so that the
time to compile is of the first run, and the speed of both. ``gpu.json`` is written after each part.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SPEED = HERE.parent / "speed"
sys.path.insert(0, str(SPEED))

from measure import commit, describe_machine, rounded, run_child  # noqa: E402

# PureJaxRL's settings for CartPole-v1, and of its example for MinAtar (64 environments), there with relu and 5e-3.
PPO: dict[str, Any] = {"num_steps": 128, "epochs": 4, "gamma": 0.99, "lam": 0.95, "epsilon": 0.2}
PPO |= {"entropy_coef": 0.01, "anneal": "learning_rate", "hidden": [64, 64]}
CARTPOLE: dict[str, Any] = PPO | {"env": "gymnax:CartPole-v1", "learning_rate": 2.5e-4}
BREAKOUT: dict[str, Any] = PPO | {"env": "gymnax:Breakout-MinAtar", "learning_rate": 1e-3}
MINIBATCHES = {"CartPole-v1": 4, "Breakout-MinAtar": 8}


@dataclass(frozen=True)
class Part:
    """A program that prints its result as one line of JSON."""

    name: str
    script: Path
    arguments: Sequence[str]
    seconds: float  # the longest it may take
    peer: bool = False
    cache: str = "own"  # the folder of compiled programs that it shares with the parts of the same name


def comparison(name: str, settings: dict[str, Any], purejaxrl: Path, seconds: float) -> list[Part]:
    """proximax and PureJaxRL, each twice, the second time with their programs compiled."""
    minibatches = MINIBATCHES[settings["env"].partition(":")[2]]
    settings = settings | {"minibatch_size": settings["num_envs"] * settings["num_steps"] // minibatches, "seed": 0}
    ours = settings | {"value_epsilon": settings["epsilon"], "network": "mlp", "eval_episodes": 64}
    theirs = settings | {"folder": str(purejaxrl)}
    first, second = (
        Part(f"{name}: proximax", SPEED / "run_proximax.py", [json.dumps(ours)], seconds, cache=f"{name}-a"),
        Part(f"{name}: PureJaxRL", SPEED / "run_purejaxrl.py", [json.dumps(theirs)], seconds, True, f"{name}-b"),
    )
    return [first, second, second, first]


def all_parts(purejaxrl: Path, toy: bool) -> list[Part]:
    """In the order of their value."""
    size = ["--toy"] if toy else []
    steps, wide, side_by_side = (20_000, 64, 4) if toy else (10_000_000, 2048, 256)
    compared = [
        *comparison("CartPole, 2,048 environments", CARTPOLE | {"num_envs": wide, "steps": 4 * steps}, purejaxrl, 90),
        *comparison("Breakout-MinAtar, 64 environments", BREAKOUT | {"num_envs": 64, "steps": steps}, purejaxrl, 90),
    ]
    seeds = CARTPOLE | {"num_envs": 4, "steps": max(2048, steps // 50), "seeds": side_by_side}
    seeds_parts = comparison("CartPole, 256 seeds", seeds, purejaxrl, 90)
    pong = Part("Pong", HERE / "pong.py", size, 170)
    update = HERE / "update_time.py"
    updates = [Part(f"update: {name}", update, [name, *size], 90) for name in ("seeds", "breakout", "cartpole")]
    correctness = Part("correctness", HERE / "correctness.py", [*size, "--seconds", "130"], 140)
    once = [*compared[4:6], *seeds_parts[:2]]
    again = [*compared[2:4], *compared[6:], *seeds_parts[2:]]
    return [*compared[:2], correctness, *once, pong, *updates, *again]


def environment(part: Part, site: Path, caches: Path) -> dict[str, str]:
    """The caller's environment, the part's packages, its cache of compiled programs."""
    paths = [site / "peer-wheels"] if part.peer else [HERE.parents[1], site / "wheels", SPEED]
    cache = caches / part.cache.replace(" ", "-")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(str(path) for path in paths),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def gpu() -> str | None:
    """The name of the card, its memory and its driver."""
    query = "--query-gpu=name,memory.total,driver_version"
    with os.popen(f"nvidia-smi {query} --format=csv,noheader 2>/dev/null") as output:
        return output.read().strip() or None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, required=True, help="folder with the installed wheels and peer-wheels")
    parser.add_argument("--purejaxrl", type=Path, required=True, help="folder of PureJaxRL's published scripts")
    parser.add_argument("--seconds", type=float, default=500.0, help="of all parts together")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for gpu.json")
    parser.add_argument("--only", nargs="+", default=[""], help="only parts whose names contain one of these")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to see that everything runs")
    options = parser.parse_args()
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {"commit": commit(), "gpu": gpu(), "machine": describe_machine(), "parts": []}
    with tempfile.TemporaryDirectory() as caches:
        for part in all_parts(options.purejaxrl.absolute(), options.toy):
            left = options.seconds - (time.monotonic() - began)
            if left < 10 or not any(name in part.name for name in options.only):
                continue
            command = [sys.executable, str(part.script), *part.arguments]
            result = run_child(command, environment(part, options.site, Path(caches)), min(part.seconds, left))
            result = {"part": part.name, **{key: rounded(x) for key, x in result.items()}}
            print(f"{time.monotonic() - began:5.0f} s  {json.dumps(result)[:600]}", flush=True)
            values["parts"].append(result)
            values["seconds"] = round(time.monotonic() - began)
            (options.out / "gpu.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
