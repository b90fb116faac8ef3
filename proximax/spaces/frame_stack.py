"""Stacks of frames without copies: each frame is stored once, and an observation is the index of its newest frame.

An observation ``[depth, height, width]`` holds the last ``depth`` frames, so from one step to the next all but one are
the same. ``FrameStore`` is filled outside the compiled program; ``Stacked`` is read inside it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from proximax.types import Array, PyTree


class Stacked(NamedTuple):
    """The observations of a rollout, in place of an array ``[T, N, depth, ...]``."""

    frames: Array  # [F, N, ...], in the order in which an environment showed them; F is a little more than T
    newest: Array  # [T, N]: index of an observation's newest frame; the depth - 1 others lie before it
    final: Array  # [T, N]: the same for the observation that the step reached
    ages: Array  # [depth]: depth - 1, ..., 0


def is_stacked(x: object) -> bool:
    """Whether ``x`` stands for an array of stacks."""
    return isinstance(x, Stacked)


def take_stacks(x: Stacked, newest: Array, indices: Array) -> jax.Array:
    """The observations ``[B, depth, ...]`` of transitions ``indices`` = t N + n; ``newest`` ``[T, N]`` as above."""
    frame = newest.reshape(-1)[indices][:, None] - x.ages[None]
    return jnp.asarray(x.frames)[frame, (indices % newest.shape[1])[:, None]]


def take_observations(obs: PyTree, indices: Array) -> PyTree:
    """The observations ``[B, ...]`` of transitions ``indices`` ``[B]`` = t N + n, from a rollout's ``[T, N, ...]``."""

    def leaf(x: Any) -> Any:
        return take_stacks(x, x.newest, indices) if is_stacked(x) else x.reshape((-1, *x.shape[2:]))[indices]

    return jax.tree.map(leaf, obs, is_leaf=is_stacked)


def observations_at(obs: PyTree, t: int) -> PyTree:
    """The observations ``[S, N, ...]`` of step ``t`` of a rollout ``[T, S, N, ...]`` outside the program."""

    def leaf(x: Any) -> Any:
        if not is_stacked(x):
            return x[t]
        seeds, envs = np.indices(x.newest.shape[1:])[..., None]
        return np.asarray(x.frames)[x.newest[t][..., None] - np.asarray(x.ages)[:, 0], seeds, envs]

    return jax.tree.map(leaf, obs, is_leaf=is_stacked)


class FrameStore:
    """Frames of S x N environments for rollouts of T steps, each written once. Grows where episodes are very short."""

    def __init__(self, num_steps: int, obs: np.ndarray) -> None:
        """``obs``: an example ``[S, N, depth, ...]``."""
        seeds, envs, self.depth = obs.shape[:3]
        size = self.depth + num_steps + self.depth * max(2, num_steps // 32)  # room for some resets
        self.frames = np.zeros((size, seeds, envs, *obs.shape[3:]), obs.dtype)
        self.newest, self.final = (np.zeros((num_steps, seeds, envs), np.int32) for _ in range(2))
        self._newest = np.zeros((seeds, envs), np.int32)  # index of each environment's newest frame

    def begin(self, columns: slice, obs: np.ndarray) -> None:
        """The observations ``[S, n, depth, ...]`` with which a rollout begins."""
        self.frames[: self.depth, :, columns] = np.moveaxis(obs, 2, 0)
        self._newest[:, columns] = self.newest[0, :, columns] = self.depth - 1

    def add(self, t: int, columns: slice, reached: np.ndarray, obs: np.ndarray, fresh: np.ndarray) -> None:
        """What step ``t`` reached, ``[S, n, depth, ...]``; ``obs`` starts an episode where ``fresh`` ``[S, n]``."""
        seeds, envs = np.indices(self._newest.shape)[:, :, columns]
        index = self._newest[:, columns] + 1
        if index.max() + self.depth >= len(self.frames):
            self.frames = np.concatenate([self.frames, np.zeros_like(self.frames)])
        self.frames[index, seeds, envs] = reached[:, :, -1]
        self.final[t, :, columns] = index
        for s, n in np.argwhere(fresh):
            begin = index[s, n] + 1
            self.frames[begin : begin + self.depth, s, envs[s, n]] = obs[s, n]
            index[s, n] += self.depth
        self._newest[:, columns] = index
        if t + 1 < len(self.newest):
            self.newest[t + 1, :, columns] = index

    def stacked(self) -> Stacked:
        """The rollout's observations ``[T, S, N, ...]``, without a copy. The second axis of every array is the seed."""
        ages: Any = np.arange(self.depth - 1, -1, -1, dtype=np.int32)[:, None]
        arrays: Any = self.frames, self.newest, self.final, np.repeat(ages, self.frames.shape[1], axis=1)
        return Stacked(*arrays)
