"""Action masks: which choices of the discrete parts of an action are allowed.

A mask is a vector: n entries of a Discrete, one after the other those of each choice of a MultiDiscrete, and for each
bit of a MultiBinary two (is 0 allowed, is 1 allowed); of nested spaces the leaves' one after the other; none of a Box.
It comes with the observation, in an entry ``action_mask`` at the top of a ``Dict``, or in ``info["action_mask"]``, from
where it is moved there. It may be nested itself: its leaves then follow one another.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.spaces import Space, flatten, leaves, nest
from proximax.types import PyTree

MASK = "action_mask"


def has_mask(space: Space) -> bool:
    """Whether observations bring an action mask."""
    return isinstance(space, spaces.Dict) and MASK in space.spaces and len(space.spaces) > 1


def with_mask(space: Space, choices: int) -> Space:
    """The space of observations whose mask came in ``info``."""
    return spaces.Dict({"obs": space, MASK: spaces.MultiBinary(choices)})


def mask_of(space: Space, obs: PyTree) -> jax.Array:
    """``[B, choices]``: what is allowed, from observations ``[B, ...]``."""
    assert isinstance(space, spaces.Dict)
    parts = flatten(space.spaces[MASK], obs[MASK])
    return jnp.concatenate([jnp.asarray(x).reshape(x.shape[0], -1) for x in parts], axis=-1) > 0


def ravel_mask(mask: Any) -> np.ndarray:
    """One environment's mask, of whatever nesting, as a vector."""
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(mask)])


def ravel_masks(mask: Any, num_envs: int) -> np.ndarray:
    """``info["action_mask"]`` of a vector environment as ``[num_envs, choices]``; all allowed where it gave none."""
    if isinstance(mask, dict):  # Gymnasium stacks dicts entry by entry
        return np.concatenate([ravel_masks(mask[key], num_envs) for key in sorted(mask) if key[0] != "_"], axis=1)
    mask = np.asarray(mask)
    if mask.dtype != object:
        return mask.reshape(num_envs, -1)
    rows = [None if one is None else ravel_mask(one) for one in mask]  # and leaves lists and tuples as they are
    choices = max(len(row) for row in rows if row is not None)
    return np.stack([np.ones(choices) if row is None else row for row in rows])


def choice_sizes(leaf: Space) -> list[int]:
    """How many options each choice of a leaf has."""
    if isinstance(leaf, spaces.Discrete):
        return [int(leaf.n)]
    if isinstance(leaf, spaces.MultiDiscrete):
        return [int(n) for n in leaf.nvec.ravel()]
    return [2] * int(np.prod(leaf.shape)) if isinstance(leaf, spaces.MultiBinary) else []


def check_mask(observation_space: Space, action_space: Space) -> None:
    """Refuse a mask of another size than the action space has options."""
    if not has_mask(observation_space):
        return
    assert isinstance(observation_space, spaces.Dict)
    given = sum(int(np.prod(leaf.shape or ())) for leaf in leaves(observation_space.spaces[MASK]))
    wanted = sum(sum(choice_sizes(leaf)) for leaf in leaves(action_space))
    if given != wanted:
        raise UsageError(
            f"the {MASK} has {given} entries; the action space {action_space} needs {wanted}: n of Discrete, the sum "
            "of nvec of MultiDiscrete, 2 for each bit of MultiBinary, none of Box"
        )


def nothing_allowed(action_space: Space, allowed: Any) -> Any:
    """``[B]``: whether some choice has no option left, for masks ``[B, choices]`` of NumPy or JAX."""
    stuck = allowed[..., 0] & False
    for n in (n for leaf in leaves(action_space) for n in choice_sizes(leaf)):
        stuck, allowed = stuck | ~allowed[..., :n].any(axis=-1), allowed[..., n:]
    return stuck


def allowed_action(space: Space, allowed: np.ndarray, rng: np.random.Generator) -> Any:
    """A random action of one environment that its mask ``[choices]`` allows."""
    drawn: list[Any] = []
    for leaf in leaves(space):
        picks: list[int] = []
        for n in choice_sizes(leaf):
            options, allowed = np.flatnonzero(allowed[:n]), allowed[n:]
            picks.append(int(rng.choice(options)) if len(options) else 0)
        chosen = np.reshape(picks, leaf.shape or ()) + getattr(leaf, "start", 0) if picks else leaf.sample()
        drawn.append(np.asarray(chosen, leaf.dtype)[()])  # of a Discrete a scalar: environments may look it up
    return nest(space, iter(drawn))
