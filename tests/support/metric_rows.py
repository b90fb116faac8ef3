"""Rows of metrics without a run, for the tests of the loggers."""

from proximax.config import PPOConfig, RunConfig

CONFIG = RunConfig("x", steps=100 * 8, seeds=2, seed=3, num_envs=1, ppo=PPOConfig(num_steps=8, minibatch_size=8))


def rows(update, score=1.5, **more):
    """The rows of both seeds."""
    row = {"update": update, "steps": 8 * update, "return_last_100": score, "entropy": 0.25, **more}
    return [{**row, "seed": 3}, {**row, "seed": 4}]
