"""Small agents with random weights and a normaliser that has seen something, for tests of exported files."""

import jax
import numpy as np
from gymnasium import spaces

from proximax.config import PPOConfig
from proximax.policy import Agent, init_obs_moments, make_policy
from proximax.types import Moments

BOX = spaces.Box(-1, 1, (3,))
MASKED = spaces.Dict(obs=BOX, action_mask=spaces.MultiBinary(5))
IMAGE = spaces.Box(0, 255, (2, 20, 18), np.uint8)
CHOICES = spaces.Discrete(3)
NESTED_ACTIONS = spaces.Dict(turn=spaces.Discrete(3, start=1), move=spaces.Box(-2, 1, (2, 2)))
NESTED_OBS = spaces.Dict(eye=BOX, clock=spaces.Tuple([spaces.Discrete(3, start=2), spaces.MultiDiscrete([2, 3])]))


def agent(obs=BOX, actions=CHOICES, network="auto", **settings):
    """An agent whose weights, and so its actions, are spread."""
    config = PPOConfig(**{"hidden": (8,), "recurrent_units": 6, **settings})
    policy, rng = make_policy(obs, actions, config, network), np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + spread(x, rng), policy.init(jax.random.key(0)))
    return Agent(policy, params, random_moments(init_obs_moments(obs, config), rng), obs, actions)


def spread(x, rng):
    """Noise that keeps the size of features in deep networks: rounding is relative to it."""
    return (0.3 / np.sqrt(np.size(x[..., 0])) * rng.normal(size=np.shape(x))).astype(np.float32)


def random_moments(moments, rng):
    """Moments of 100 observations, where there are any."""

    def filled(x):
        mean, m2 = rng.normal(0, 1, x.mean.shape), rng.uniform(50, 200, x.mean.shape)
        return Moments(*(np.asarray(value, np.float32) for value in (100, mean, m2)))

    return jax.tree.map(filled, moments, is_leaf=lambda x: isinstance(x, Moments))
