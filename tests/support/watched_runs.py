"""Directories of runs with metrics of every kind, for the tests of the page; without training."""

import json
from pathlib import Path

import numpy as np

from proximax.config import PPOConfig, RunConfig
from proximax.ppo import RATIO_EDGES
from proximax.web.access import Access
from proximax.web.app import make_app
from proximax.web.run_list import RunList

BUCKETS = len(RATIO_EDGES) + 1


def row(update, seed=0, batch=100, **more):
    """A row of metrics.jsonl."""
    values = {"update": update, "seed": seed, "steps": batch * update, "time_s": 0.5 * update, "episodes": 2}
    values |= {
        "episode_return": 10.0 * update + seed,
        "return_last_100": 10.0 * update + seed,
        "kl": 0.01,
        "finite": 1.0,
    }
    values |= {"entropy": 0.6, "explained_variance": 0.5, "value_loss": 1.0, "clip_fraction": 0.1, "advantage_std": 1.0}
    histogram = np.bincount([BUCKETS // 2, BUCKETS // 2, BUCKETS - 1], minlength=BUCKETS).tolist()
    return {**values, "ratio_histogram": histogram, **more}


def text(rows):
    """Rows as they are in the file."""
    return "".join(json.dumps(values) + "\n" for values in rows)


def watched_run(path, updates=5, seeds=2, finished=False, ppo=None, **settings):
    """A run directory; returns its path."""
    config = RunConfig(
        "CartPole-v1",
        seeds=seeds,
        num_envs=1,
        steps=1000,
        ppo=PPOConfig(num_steps=100, minibatch_size=100, **ppo or {}),
        **settings,
    )
    path = Path(path)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config.to_json()))
    (path / "metrics.jsonl").write_text(text(row(u, seed) for u in range(1, updates + 1) for seed in range(seeds)))
    if finished:
        result = {
            "return_mean": 50.5,
            "returns": [50.0, 51.0],
            "return_ci95": [49.0, 52.0],
            "steps": 1000,
            "eval_episodes": 9,
        }
        (path / "result.json").write_text(json.dumps(result))
    return path


def app_of(*folders, host="127.0.0.1", token=""):
    """The application that shows what is below these folders."""
    return make_app(RunList([Path(folder) for folder in folders]), Access(host, token))
