"""Rows of metrics without a run, for the tests of the loggers."""

from proximax.config import PPOConfig, RunConfig

CONFIG = RunConfig("x", steps=100 * 8, seeds=2, seed=3, num_envs=1, ppo=PPOConfig(num_steps=8, minibatch_size=8))


def rows(update, score=1.5, **more):
    """The rows of both seeds, an update a second."""
    row = {"update": update, "steps": 8 * update, "time_s": float(update), "episodes": 1, "return_last_100": score}
    row |= {"entropy": 0.25, "kl": 3e-5, **more}
    return [{**row, "seed": 3}, {**row, "seed": 4}]


def seed_rows(update, time_s, steps, scores, **more):
    """Rows with a return for each seed."""
    shared = {"update": update, "steps": steps, "time_s": time_s, "episodes": 1, "kl": 3e-5, "entropy": 0.25}
    return [{**shared, "return_last_100": score, "seed": seed, **more} for seed, score in enumerate(scores)]
