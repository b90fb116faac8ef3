"""Runs of two shards, on one process or two: ``shard_runs.py one|two FOLDER``, for tests/system/test_shards.py.

``one`` (a process alone) makes FOLDER/CASE/whole, whose first half is FOLDER/CASE/continued; ``two`` (each of two
processes) makes FOLDER/CASE/pair and the second half of FOLDER/CASE/continued.
"""

import sys
from pathlib import Path
from typing import Any

import proximax
from tests.support.half_runs import copy_half

# Nothing else of tests.support: its modules compute, and JAX then has started with one device.
UPDATE = 4 * 16
SETTINGS: dict[str, Any] = {"num_envs": 4, "num_steps": 16, "minibatch_size": 16, "epochs": 2, "hidden": (8,)}
SETTINGS |= {"shards": 2, "checkpoint_every": str(UPDATE), "normalise_obs": True, "scale_reward": True}
SETTINGS |= {"eval_episodes": 2, "keep_checkpoints": 6, "preset": "none", "quiet": True}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "jax": (
        "probe:t-maze",
        {"seeds": 2, "standardise_across_envs": True, "recompute_advantage": True, "hidden": (256, 256)},
    ),
    "host": ("CartPole-v1", {"algo": "trpo", "eval_every": 128}),
    "memory": ("probe:recall", {"network": "gru", "recurrent_units": 3, "refresh_carry": True, "scale_reward": False}),
}


def main(processes: str, folder: Path) -> None:
    """All cases."""
    for case, (env, own) in CASES.items():
        settings = SETTINGS | own | {"steps": 6 * UPDATE}
        # A callback's settings reach all processes, though only the first one has it.
        settings["callbacks"] = [proximax.Schedule(entropy_coef=lambda done: 0.1 * done)] if case == "jax" else []
        whole, pair, continued = (folder / case / name for name in ("whole", "pair", "continued"))
        if processes == "one":
            proximax.train(env, out=whole, **settings)
            copy_half(whole, continued, 3 * UPDATE)
        else:
            proximax.train(env, out=pair, **settings)
            proximax.train(env, out=continued, resume=True, **settings)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
