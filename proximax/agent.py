"""A trained policy on its own."""

from functools import partial
from typing import Any

import jax
import numpy as np
from gymnasium import spaces

from proximax.errors import CheckpointError
from proximax.policy import Policy, choose
from proximax.spaces import is_image, obs_dtype
from proximax.types import Moments, Params, host_key


class Agent:
    """A policy with its parameters and frozen observation normaliser."""

    def __init__(
        self,
        policy: Policy,
        params: Params,
        obs_moments: Moments | None,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
    ) -> None:
        self.policy, self.params, self.obs_moments = policy, params, obs_moments
        self.observation_space, self.action_space = observation_space, action_space
        self._mode, self._sample = (jax.jit(partial(choose, policy, sample)) for sample in (False, True))
        self._rng = np.random.default_rng(0)

    def act(self, obs: Any, *, sample: bool = False) -> Any:
        """The environment's action for one observation, or ``[B]`` actions for a batch ``[B, ...]``.

        The distribution's mode, or a draw with ``sample``. In the action space's own dtype; an ``int`` for one Discrete
        observation.
        """
        x = np.asarray(obs, obs_dtype(self.observation_space))
        shape = self.observation_space.shape or ()
        if x.shape != shape and x.shape[1:] != shape:
            raise ValueError(f"observation of shape {x.shape}; the policy was trained on {shape}, alone or as [B, ...]")
        single = x.shape == shape
        batch = x[None] if single else x
        key = host_key(self._rng.integers(0, 2**32, 2, np.uint32))
        choose_now = self._sample if sample else self._mode
        carry, first = self.policy.initial_carry(len(batch)), np.ones(len(batch), bool)
        chosen, _ = choose_now(self.params, self.obs_moments, carry, batch, first, key)
        action = np.array(chosen).astype(self.action_space.dtype)
        if not single:
            return action
        return int(action[0]) if isinstance(self.action_space, spaces.Discrete) else action[0]

    def check_spaces(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        """Refuse an environment with other spaces than the policy was trained on."""
        for what, mine, other in (
            ("observation", self.observation_space, observation_space),
            ("action", self.action_space, action_space),
        ):
            alike = type(mine) is type(other) and mine.shape == other.shape and is_image(mine) == is_image(other)
            if isinstance(mine, spaces.Discrete) and isinstance(other, spaces.Discrete):
                alike = (mine.n, mine.start) == (other.n, other.start)
            if not alike:
                raise CheckpointError(f"the policy's {what} space is {mine}, the environment's is {other}")


def split_agents(
    policy: Policy,
    params: Params,
    obs_moments: Moments | None,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> list[Agent]:
    """One agent per seed, from arrays with a leading axis S."""
    leaves, structure = jax.tree.flatten((params, obs_moments))
    each = [jax.tree.unflatten(structure, row) for row in zip(*(np.asarray(leaf) for leaf in leaves))]
    return [Agent(policy, one, moments, observation_space, action_space) for one, moments in each]
