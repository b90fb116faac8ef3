"""Trains small runs on whatever JAX finds and saves their parameters: ``train_cases.py FOLDER [--toy]``.

Prints a line of JSON for each. ``correctness.py`` starts it several times, with other settings of JAX in the
environment, and compares.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import load_file

import proximax

UPDATES = 6
SMALL: dict[str, Any] = {"preset": "none", "num_envs": 8, "num_steps": 64, "minibatch_size": 128, "epochs": 2}
SMALL |= {"eval_episodes": 1, "checkpoint_every": "end", "quiet": True}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dense, discrete": ("gymnax:CartPole-v1", {"normalise_obs": True}),
    "dense, continuous": ("gymnax:Pendulum-v1", {"scale_reward": True, "hidden": (256, 256)}),
    "convolutions, JAX": ("gymnax:Breakout-MinAtar", {}),
    "convolutions, host": ("ALE/Pong-v5", {"network": "nature", "num_steps": 16, "minibatch_size": 64}),
    "natural gradient": ("gymnax:Pendulum-v1", {"algo": "trpo", "minibatch_size": None, "epochs": 1}),
}


def main() -> None:
    folder, cases = Path(sys.argv[1]), dict(CASES)
    if "--toy" in sys.argv:
        cases = {name: CASES[name] for name in ("dense, discrete", "convolutions, host")}
    jax.config.update("jax_compilation_cache_dir", str(folder / "programs"))  # each process compiles for itself, once
    print(json.dumps({"backend": jax.default_backend()}), flush=True)
    for i, (name, case) in enumerate(cases.items()):
        print(json.dumps({name: train_case(folder / str(i), *case)}), flush=True)
    print(json.dumps({"seeds": list(seeds_side_by_side(folder))}), flush=True)


def train_case(folder: Path, env: str, settings: dict[str, Any]) -> dict[str, Any]:
    """One update; six; six with a stop after three: the hash of each, and the error of the first ratio."""
    settings = SMALL | settings
    settings["steps"] = UPDATES * settings["num_envs"] * settings["num_steps"]
    one, whole, resumed = folder / "one", folder / "whole", folder / "resumed"
    proximax.train(env, out=one, callbacks=[lambda rows: rows[0]["update"] == 1], **settings)
    result = proximax.train(env, out=whole, **settings)
    proximax.train(env, out=resumed, callbacks=[lambda rows: rows[0]["update"] == UPDATES // 2], **settings)
    proximax.train(env, out=resumed, resume=True, **settings)
    ratio = max(row["first_ratio_error"] for row in result.history)
    return {"ratio_error": ratio, **{path.name: digest(path) for path in (one, whole, resumed)}}


def seeds_side_by_side(folder: Path) -> Iterator[float]:
    """After one update, the largest difference of a parameter between each seed among four and the same seed alone."""
    env, settings = CASES["dense, discrete"]
    settings = SMALL | settings | {"steps": 8 * 64}
    proximax.train(env, out=folder / "four", seeds=4, **settings)
    four = parameters(folder / "four")
    for seed in range(4):
        proximax.train(env, out=folder / f"seed-{seed}", seed=seed, **settings)
        alone = parameters(folder / f"seed-{seed}")
        yield max(float(np.max(np.abs(four[name][seed] - x[0]))) for name, x in alone.items())


def digest(run: Path) -> str:
    """The SHA-256 of a run's last parameters and of the rest of its state."""
    files = sorted(last_checkpoint(run).glob("*.safetensors"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def parameters(run: Path) -> dict[str, np.ndarray]:
    """The arrays of a run's last policy that are in float32: weights and moments."""
    arrays = load_file(last_checkpoint(run) / "policy.safetensors")
    return {name: x for name, x in arrays.items() if x.dtype == np.float32}


def last_checkpoint(run: Path) -> Path:
    """The newest checkpoint of a run."""
    return max((run / "checkpoints").glob("step-*"))


if __name__ == "__main__":
    main()
