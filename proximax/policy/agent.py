"""A trained policy, without training code."""

from functools import partial
from typing import Any

import jax
import numpy as np
from gymnasium import spaces

from proximax.errors import CheckpointError
from proximax.policy.policy import Policy, choose
from proximax.runtime import compilation, key_from_data
from proximax.spaces import (
    MASK,
    compatible,
    flatten,
    flatten_mask,
    flatten_masks,
    has_mask,
    leaves,
    mask_of,
    no_action_allowed,
    obs_dtype,
    paths,
    unflatten,
)
from proximax.types import Params, PyTree


class Agent:
    """A policy with its parameters and frozen observation normaliser."""

    def __init__(
        self,
        policy: Policy,
        params: Params,
        obs_moments: PyTree,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
    ) -> None:
        self.policy, self.params, self.obs_moments = policy, params, obs_moments
        self.observation_space, self.action_space = observation_space, action_space
        self._mode, self._sample = (
            compilation.jit(partial(choose, policy, sample), fast_compile=True) for sample in (False, True)
        )
        self._rng = np.random.default_rng(0)

    def act(self, obs: Any, *, sample: bool = False, action_mask: Any = None) -> Any:
        """The environment's action for one observation, or ``[B]`` actions for a batch ``[B, ...]``.

        The distribution's mode, or a random sample with ``sample``, in the action space's dtype; an ``int`` for one
        Discrete action, a tree for nested spaces. ``action_mask``: for an environment with masks in ``info``, as a
        vector or in the form of the action space, ``[B, ...]`` for a batch.
        """
        if action_mask is None:
            batch, single = stored_batch(self.observation_space, obs)
        else:
            batch, single = self._with_mask(obs, action_mask)
        size = len(jax.tree.leaves(batch)[0])
        if has_mask(self.observation_space):
            all_masked = no_action_allowed(self.action_space, np.asarray(mask_of(self.observation_space, batch)))
            if all_masked.any():
                raise ValueError(f"the action mask of row {int(np.argmax(all_masked))} allows no action")
        key = key_from_data(self._rng.integers(0, 2**32, 2, np.uint32))
        choose_fn = self._sample if sample else self._mode
        carry, first = self.policy.initial_carry(size), np.ones(size, bool)
        actions, _ = choose_fn(self.params, self.obs_moments, carry, batch, first, key)
        pairs = zip(leaves(self.action_space), flatten(self.action_space, actions))
        arrays = [(leaf, np.array(x).astype(leaf.dtype)) for leaf, x in pairs]
        if not single:
            return unflatten(self.action_space, iter([x for _, x in arrays]))
        parts = [int(x[0]) if isinstance(leaf, spaces.Discrete) else x[0] for leaf, x in arrays]
        return unflatten(self.action_space, iter(parts))

    def _with_mask(self, obs: Any, action_mask: Any) -> tuple[PyTree, bool]:
        """``stored_batch`` for a mask that is a separate argument."""
        space = self.observation_space
        if not isinstance(space, spaces.Dict) or not has_mask(space) or "obs" not in space.spaces or len(space) != 2:
            remedy = "put it there" if has_mask(space) else "leave it out"
            setting = "with masks in the observation" if has_mask(space) else "without masks"
            raise ValueError(f"{MASK} was given, but the policy was trained {setting}, on {space}: {remedy}")
        batch, single = stored_batch(space["obs"], obs)
        if single:
            mask = flatten_mask(self.action_space, action_mask)[None]
        else:
            mask = flatten_masks(self.action_space, action_mask, len(jax.tree.leaves(batch)[0]), "observation")
        return {"obs": batch, MASK: (mask > 0).astype(np.int8)}, single

    def check_spaces(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        """Refuse an environment with other spaces than the policy was trained on."""
        for role, mine, other in (
            ("observation", self.observation_space, observation_space),
            ("action", self.action_space, action_space),
        ):
            if not compatible(mine, other):
                raise CheckpointError(f"the policy's {role} space is {mine}, the environment's is {other}")


def stored_batch(space: spaces.Space[Any], obs: Any) -> tuple[PyTree, bool]:
    """Observations ``[B, ...]`` in their stored dtypes, and whether ``obs`` was a single one."""
    try:
        parts = flatten(space, obs)
        arrays = [np.asarray(x, obs_dtype(leaf)) for leaf, x in zip(leaves(space), parts)]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"the observation does not have the structure of {space}: {error!r}") from error
    shapes = [leaf.shape or () for leaf in leaves(space)]
    single = all(x.shape == shape for x, shape in zip(arrays, shapes))
    for x, shape, path in zip(arrays, shapes, paths(space)):
        if not single and (x.ndim == 0 or x.shape[1:] != shape):
            raise ValueError(
                f"observation{path} of shape {x.shape}; the policy was trained on {shape}, single or as [B, ...]"
            )
    sizes = [len(x) for x in arrays if not single]
    if len(set(sizes)) > 1:
        raise ValueError(f"the parts of the observation have batches of {sizes}; B must be the same in [B, ...] of all")
    return unflatten(space, iter([x[None] if single else x for x in arrays])), single


def split_agents(
    policy: Policy,
    params: Params,
    obs_moments: PyTree,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> list[Agent]:
    """One agent per seed, from arrays with a leading axis S."""
    arrays, structure = jax.tree.flatten((params, obs_moments))
    per_seed = [jax.tree.unflatten(structure, parts) for parts in zip(*(np.asarray(array) for array in arrays))]
    return [Agent(policy, params, moments, observation_space, action_space) for params, moments in per_seed]
