"""Rows of metrics by hand, and settings of runs of a second, for the tests of the doctor."""

import numpy as np

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig

SMALL = {"num_envs": 8, "num_steps": 32, "minibatch_size": 64, "epochs": 4, "hidden": (16,)}
UPDATE = 8 * 32  # steps
CONFIG = RunConfig("x", steps=100 * 2048, ppo=PPOConfig(anneal="none"))


def names(findings):
    return {finding.name for finding in findings}


def healthy(updates=100, **more):
    """Rows of a seed that learns; a number stands for all updates."""
    at = np.arange(1, updates + 1)
    values = {
        "update": at,
        "steps": 2048 * at,
        "finite": 1.0,
        "first_ratio_error": 1e-6,
        "kl": 0.01,
        "clip_fraction": 0.1,
        "entropy": np.linspace(1.0, 0.4, updates),
        "explained_variance": 0.8,
        "value_loss": 0.1,
        "global_grad_norm": 0.7,
        "learning_rate": 3e-4,
        "obs_abs_max_mean": 1.0,
        "advantage_std": 0.5,
        "gradient_steps": 320.0,
        "truncations": 1.0,
        "episodes": 8.0,
        "episode_return": at * 1.0,
        "episode_length": 100.0,
        "return_last_100": at * 1.0,
    }
    return {name: np.broadcast_to(np.asarray(x, float), (updates,)).copy() for name, x in {**values, **more}.items()}


def some(value, rest, which):
    """``value`` at the indices ``which`` of 100 updates, else ``rest``."""
    x = np.full(100, float(rest))
    x[which] = value
    return x


def as_rows(table, seed=0):
    plain = {name: [None if np.isnan(v) else v for v in x.tolist()] for name, x in table.items()}
    return [{"seed": seed, **dict(zip(plain, row))} for row in zip(*plain.values())]
