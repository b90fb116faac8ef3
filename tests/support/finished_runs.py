"""Directories of finished runs, without training: config.json, result.json and metrics.jsonl."""

import json
from pathlib import Path

import numpy as np

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.ppo import RATIO_EDGES

BUCKETS = len(RATIO_EDGES) + 1
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'  # in the place of any text


def finished_run(path, returns, env="probe:choice", seed=0, updates=3, ppo=None, **settings):
    """A run of as many seeds as ``returns`` has numbers; its training returns rise to them. Returns its path."""
    config = RunConfig(env, seed=seed, seeds=len(returns), ppo=PPOConfig(**ppo or {}), **settings)
    rows = [
        {
            "update": update, "seed": seed + i, "steps": 100 * update, "kl": 0.01 * update, "beta": 1.0,
            "time_s": 0.5 * update, "entropy": 0.6, "explained_variance": 0.5, "clip_fraction": 0.1,
            "return_last_100": None if final is None or (update == 1 and updates > 1) else final * update / updates,
            "ratio_histogram": np.bincount([BUCKETS // 2], minlength=BUCKETS).tolist(),
        }
        for update in range(1, updates + 1)
        for i, final in enumerate(returns)
    ]  # fmt: skip
    result = {"returns": list(returns), "steps": 100 * updates, "wall_s": 1.5, "stopped_by": "steps"}
    path = Path(path)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config.to_json()))
    (path / "result.json").write_text(json.dumps(result))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
