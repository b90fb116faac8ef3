"""Observations to try a policy on: random in their space, or about the moments that the policy has seen."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from proximax.exporting.contract import mask_space, widths
from proximax.policy import Agent
from proximax.spaces import MASK, Space, branches, choices_per_component, has_mask, leaves, obs_dtype, unflatten
from proximax.types import Moments, PyTree

SPREAD = 2.0  # standard deviations about the mean; without moments and bounds, about 0
LARGE = 1e6  # bounds beyond are no guide
ALLOWED = 0.7  # of the choices, by a random mask
MAX_NUMBERS = 2**24  # in the observations of one batch


def leaf_moments(space: Space, moments: PyTree) -> list[Moments | None]:
    """The moments of each leaf; None where it is not normalised."""
    parts = branches(space)
    if parts is None:
        return [moments]
    return [x for key, part in parts for x in leaf_moments(part, None if moments is None else moments[key])]


def random_observations(agent: Agent, batch: int, rng: np.random.Generator) -> PyTree:
    """A batch of observations; of masks some, which allow one choice at least."""
    space = agent.observation_space
    values = [
        random_leaf(leaf, moments, batch, rng)
        for leaf, moments in zip(leaves(space), leaf_moments(space, agent.obs_moments))
    ]
    obs = unflatten(space, iter(values))
    if has_mask(space):
        obs[MASK] = random_masks(mask_space(space), agent.action_space, batch, rng)
    return obs


def random_leaf(leaf: Space, moments: Moments | None, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Values of one leaf, in their stored dtype."""
    shape = (batch, *(leaf.shape or ()))
    if isinstance(leaf, spaces.Discrete):
        return rng.integers(int(leaf.start), int(leaf.start) + int(leaf.n), shape).astype(np.int32)
    if isinstance(leaf, spaces.MultiDiscrete):
        return (leaf.start + rng.integers(0, leaf.nvec, shape)).astype(obs_dtype(leaf))
    if isinstance(leaf, spaces.MultiBinary):
        return rng.integers(0, 2, shape).astype(obs_dtype(leaf))
    assert isinstance(leaf, spaces.Box)
    low, high = (np.clip(bound.astype(np.float64), -LARGE, LARGE) for bound in (leaf.low, leaf.high))
    if obs_dtype(leaf).kind != "f":
        return rng.integers(low.astype(np.int64), high.astype(np.int64) + 1, shape).astype(obs_dtype(leaf))
    if moments is not None and float(moments.count) > 0:
        spread = np.sqrt(np.asarray(moments.m2) / float(moments.count)) + 1e-3
        values = np.asarray(moments.mean) + SPREAD * spread * rng.standard_normal(shape)
    else:
        bounded = (low > -LARGE) & (high < LARGE)
        values = np.where(bounded, rng.uniform(low, high, shape), SPREAD * rng.standard_normal(shape))
    return np.clip(values, low, high).astype(np.float32)


def random_masks(masks: Space, action_space: Space, batch: int, rng: np.random.Generator) -> PyTree:
    """Masks that allow some choices of each component, one at least."""
    columns: list[np.ndarray] = []
    for n in (n for leaf in leaves(action_space) for n in choices_per_component(leaf)):
        allowed = rng.random((batch, n)) < ALLOWED
        allowed[np.arange(batch), rng.integers(0, n, batch)] = True
        columns.append(allowed)
    flat = np.concatenate(columns, axis=1)
    parts: list[Any] = []
    for leaf, width in zip(leaves(masks), widths(masks)):
        parts.append(flat[:, :width].reshape(batch, *(leaf.shape or ())).astype(obs_dtype(leaf)))
        flat = flat[:, width:]
    return unflatten(masks, iter(parts))


def batches(agent: Agent, count: int, rng: np.random.Generator) -> Iterator[PyTree]:
    """``count`` observations or a few more, in batches of one size that fits the memory."""
    size = max(1, min(count, 1000, MAX_NUMBERS // sum(widths(agent.observation_space))))
    for _ in range(-(-count // size)):
        yield random_observations(agent, size, rng)
