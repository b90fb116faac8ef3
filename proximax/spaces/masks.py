"""Action masks: which choices of the discrete parts of an action are allowed.

A mask is a vector: n entries of a Discrete, one after the other those of each choice of a MultiDiscrete, and for each
bit of a MultiBinary two (is 0 allowed, is 1 allowed); of nested spaces the leaves' one after the other; none of a Box.
It comes with the observation, in an entry ``action_mask`` at the top of a ``Dict``, or in ``info["action_mask"]``, from
where it is moved there. It may be nested itself: its leaves then follow one another; or it has the form of the action
space, as ``space.sample(mask)`` takes it, with None for a part without a mask.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.spaces.tree import Space, flatten, leaves, unflatten
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


def flatten_mask(space: Space, mask: Any, place: str = MASK, whose: str = "") -> np.ndarray:
    """The mask of one action of ``space`` as a vector."""
    if mask is None:
        return np.ones(num_mask_entries(space), np.int8)
    # A list may be the mask of each part of a Tuple, or the whole as one vector of numbers.
    plain = isinstance(mask, (list, tuple)) and all(map(np.isscalar, mask))
    parts = None if plain else split_mask_by_subspace(space, mask, (list, tuple), place)
    if parts is not None:
        each = [flatten_mask(part, one, where, whose) for part, one, _, where in parts]
        return np.concatenate([np.zeros(0, np.int8), *each])
    vector = np.concatenate([np.zeros(0, np.int8), *(np.ravel(x) for x in jax.tree.leaves(mask))])
    return check_mask_size(space, vector, place, whose)


def flatten_masks(space: Space, mask: Any, rows: int, row: str, place: str = MASK) -> np.ndarray:
    """The masks of ``rows`` actions of ``space`` as ``[rows, choices]``; all allowed where there is none.

    They are an array ``[rows, ...]``, a list of one mask for each row, or have the form of the space with an array or
    list for each part. ``row``: what an error calls a row.
    """
    if mask is None:
        return np.ones((rows, num_mask_entries(space)), np.int8)
    parts = split_mask_by_subspace(space, mask, (tuple,), place)
    if parts is not None:
        columns = [np.zeros((rows, 0), np.int8)]
        for part, one, given, where in parts:
            column = flatten_masks(part, one, rows, row, where)
            columns.append(column if given is None else np.where(given[:, None], column, 1))
        return np.concatenate(columns, axis=1)
    each = mask if isinstance(mask, (list, tuple)) else np.atleast_1d(mask)
    if len(each) != rows:
        raise UsageError(f"the {place} has {len(each)} rows; it must have {rows}, one for each {row}")
    if isinstance(each, np.ndarray) and each.dtype != object:
        return check_mask_size(space, each.reshape(rows, -1), place, f" of every {row}")
    return np.stack([flatten_mask(space, one, place, f" of {row} {i}") for i, one in enumerate(each)])


def split_mask_by_subspace(
    space: Space, mask: Any, sequences: tuple[type[Sequence[Any]], ...], place: str
) -> list[tuple[Space, Any, Any, str]] | None:
    """(part, its mask, which rows have one, its place) of a mask in the form of the space; None for one that is not.

    Gymnasium stacks dicts entry by entry, and says in an entry ``_key`` which rows have ``key``. Boxes may be left out.
    """
    if isinstance(mask, dict):
        own = space.spaces if isinstance(space, spaces.Dict) else {}
        odd = set(mask) - set(own) - {f"_{key}" for key in own}
        lacking = [key for key, part in own.items() if key not in mask and num_mask_entries(part)]
        if odd or lacking or not own:
            raise UsageError(
                f"the {place} has the keys {list(mask)}, which are not those of the action space {space}. For a part "
                "where all is allowed give None"
            )
        keys = [key for key in sorted(own) if key in mask]
        given = [mask.get(f"_{key}") if f"_{key}" not in own else None for key in keys]
        return [(own[key], mask[key], some, f"{place}[{key!r}]") for key, some in zip(keys, given)]
    if isinstance(space, spaces.Tuple) and isinstance(mask, sequences) and len(mask) == len(space.spaces):
        return [(part, mask[i], None, f"{place}[{i}]") for i, part in enumerate(space.spaces)]
    return None


def check_mask_size(space: Space, mask: np.ndarray, place: str = MASK, whose: str = "") -> np.ndarray:
    """``mask``, if it has as many entries ``[..., choices]`` as the space, or this part of it, has options."""
    given, wanted = mask.shape[-1], num_mask_entries(space)
    if given != wanted:
        part = "action space" if place == MASK else "part of the action space,"
        raise UsageError(
            f"the {place}{whose} has {given} entries; the {part} {space} needs {wanted}: n of Discrete, the sum of "
            "nvec of MultiDiscrete, 2 for each bit of MultiBinary, none of Box"
        )
    return mask


def check_stackable(space: Space, mask: Any) -> None:
    """Refuse a ``dict`` with keys whose masks Gymnasium's vector environments mix with what they note in ``_key``."""
    if not (isinstance(mask, dict) and isinstance(space, spaces.Dict)):
        return
    for key, part in space.spaces.items():
        check_stackable(part, mask.get(key))
    if both := [key for key in space.spaces if f"_{key}" in space.spaces]:
        raise UsageError(
            f"Gymnasium cannot stack the {MASK} of an action space with the keys {both[0]!r} and {'_' + both[0]!r}: it "
            "writes its own marks to the latter. Give the mask as one vector, or in the observation"
        )


def num_mask_entries(space: Space) -> int:
    """How many entries a mask has."""
    return sum(sum(choices_per_component(leaf)) for leaf in leaves(space))


def choices_per_component(leaf: Space) -> list[int]:
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
    check_mask_size(action_space, np.broadcast_to(False, given))


def no_action_allowed(action_space: Space, allowed: Any) -> Any:
    """``[B]``: whether some choice has no option left, for masks ``[B, choices]`` of NumPy or JAX."""
    stuck = allowed[..., 0] & False
    for n in (n for leaf in leaves(action_space) for n in choices_per_component(leaf)):
        stuck, allowed = stuck | ~allowed[..., :n].any(axis=-1), allowed[..., n:]
    return stuck


def sample_allowed_action(space: Space, allowed: np.ndarray, rng: np.random.Generator) -> Any:
    """A random action of one environment that its mask ``[choices]`` allows."""
    drawn: list[Any] = []
    for leaf in leaves(space):
        picks: list[int] = []
        for n in choices_per_component(leaf):
            options, allowed = np.flatnonzero(allowed[:n]), allowed[n:]
            picks.append(int(rng.choice(options)) if len(options) else 0)
        chosen = np.reshape(picks, leaf.shape or ()) + getattr(leaf, "start", 0) if picks else leaf.sample()
        drawn.append(np.asarray(chosen, leaf.dtype)[()])  # of a Discrete a scalar: environments may look it up
    return unflatten(space, iter(drawn))
