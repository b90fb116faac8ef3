"""A trained policy on its own."""

from functools import partial
from typing import Any

import jax
import numpy as np
from gymnasium import spaces

from proximax.errors import CheckpointError
from proximax.keys import host_key
from proximax.masks import MASK, has_mask, mask_of, nothing_allowed
from proximax.observations import obs_dtype
from proximax.policy import Policy, choose
from proximax.spaces import alike, flatten, leaves, nest
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
        self._mode, self._sample = (jax.jit(partial(choose, policy, sample)) for sample in (False, True))
        self._rng = np.random.default_rng(0)

    def act(self, obs: Any, *, sample: bool = False, action_mask: Any = None) -> Any:
        """The environment's action for one observation, or ``[B]`` actions for a batch ``[B, ...]``.

        The distribution's mode, or a draw with ``sample``. In the action space's own dtype; an ``int`` for one Discrete
        action. ``action_mask``: for an environment that gives masks in ``info``. Nested spaces: trees.
        """
        if action_mask is not None:
            obs = {"obs": obs, MASK: action_mask}
        batch, single = self._batch(obs)
        size = len(jax.tree.leaves(batch)[0])
        if has_mask(self.observation_space):
            stuck = nothing_allowed(self.action_space, np.asarray(mask_of(self.observation_space, batch)))
            if stuck.any():
                raise ValueError(f"the action mask of row {int(np.argmax(stuck))} allows nothing")
        key = host_key(self._rng.integers(0, 2**32, 2, np.uint32))
        choose_now = self._sample if sample else self._mode
        carry, first = self.policy.initial_carry(size), np.ones(size, bool)
        chosen, _ = choose_now(self.params, self.obs_moments, carry, batch, first, key)
        pairs = zip(leaves(self.action_space), flatten(self.action_space, chosen))
        each = [(leaf, np.array(x).astype(leaf.dtype)) for leaf, x in pairs]
        if not single:
            return nest(self.action_space, iter([x for _, x in each]))
        one = [int(x[0]) if isinstance(leaf, spaces.Discrete) else x[0] for leaf, x in each]
        return nest(self.action_space, iter(one))

    def _batch(self, obs: Any) -> tuple[PyTree, bool]:
        """Observations ``[B, ...]`` in their stored dtypes, and whether it was one alone."""
        space = self.observation_space
        try:
            parts = flatten(space, obs)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the observation is not of the form of {space}: {error!r}") from error
        arrays = [np.asarray(x, obs_dtype(leaf)) for leaf, x in zip(leaves(space), parts)]
        shapes = [leaf.shape or () for leaf in leaves(space)]
        single = all(x.shape == shape for x, shape in zip(arrays, shapes))
        for x, shape in zip(arrays, shapes):
            if not single and x.shape[1:] != shape:
                raise ValueError(
                    f"observation of shape {x.shape}; the policy was trained on {shape}, alone or as [B, ...]"
                )
        return nest(space, iter([x[None] if single else x for x in arrays])), single

    def check_spaces(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        """Refuse an environment with other spaces than the policy was trained on."""
        for what, mine, other in (
            ("observation", self.observation_space, observation_space),
            ("action", self.action_space, action_space),
        ):
            if not alike(mine, other):
                raise CheckpointError(f"the policy's {what} space is {mine}, the environment's is {other}")


def split_agents(
    policy: Policy,
    params: Params,
    obs_moments: PyTree,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> list[Agent]:
    """One agent per seed, from arrays with a leading axis S."""
    leaves, structure = jax.tree.flatten((params, obs_moments))
    each = [jax.tree.unflatten(structure, row) for row in zip(*(np.asarray(leaf) for leaf in leaves))]
    return [Agent(policy, one, moments, observation_space, action_space) for one, moments in each]
