"""Action masks: which choices of the discrete components of an action are allowed.

A mask is a vector: n entries for a Discrete; for a MultiDiscrete the entries of each component in turn; for each bit of
a MultiBinary two (is 0 allowed, is 1 allowed); none for a Box; for nested spaces those of the leaves in turn. It comes
with the observation, in an entry ``action_mask`` at the top of a ``Dict``, or in ``info["action_mask"]``, from where it
is moved there. It may be nested itself: its leaves are then concatenated; or it has the form of the action space, as
``space.sample(mask)`` takes it, with None for a part where all is allowed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    """The space of observations whose mask comes in ``info``."""
    return spaces.Dict({"obs": space, MASK: spaces.MultiBinary(choices)})


def mask_of(space: Space, obs: PyTree) -> jax.Array:
    """The masks ``[B, choices]`` of observations ``[B, ...]``: True where a choice is allowed."""
    assert isinstance(space, spaces.Dict)
    parts = flatten(space.spaces[MASK], obs[MASK])
    return jnp.concatenate([jnp.asarray(x).reshape(x.shape[0], -1) for x in parts], axis=-1) > 0


class Submask(NamedTuple):
    """The part of a mask that belongs to one subspace."""

    space: Space
    mask: Any
    present: np.ndarray | None  # [B]: which masks of a batch have this part (all is allowed in the others); None: all
    name: str  # as errors call it: "action_mask['arm'][0]"


def flatten_mask(space: Space, mask: object, name: str = MASK, whose: str = "") -> np.ndarray:
    """The mask of one action of ``space`` as a vector ``[choices]``; ``name`` and ``whose`` are for errors."""
    if mask is None:
        return np.ones(num_mask_entries(space), np.int8)
    # A list may be the mask of each part of a Tuple, or the whole mask as one vector of numbers.
    is_vector = isinstance(mask, (list, tuple)) and all(map(np.isscalar, mask))
    submasks = None if is_vector else split_mask_by_subspace(space, mask, (list, tuple), name)
    if submasks is not None:
        vectors = [flatten_mask(sub.space, sub.mask, sub.name, whose) for sub in submasks]
        return np.concatenate([np.zeros(0, np.int8), *vectors])
    vector = np.concatenate([np.zeros(0, np.int8), *(np.ravel(x) for x in jax.tree.leaves(mask))])
    return check_mask_size(space, vector, name, whose)


def flatten_masks(space: Space, masks: Any, batch: int, owner: str, name: str = MASK) -> np.ndarray:
    """The masks of ``batch`` actions of ``space`` as ``[batch, choices]``; all allowed where there is none.

    They are an array ``[batch, ...]``, a list of one mask per action, or have the form of the space with an array or
    list for each part. ``owner``: what has one mask each ("environment"), for errors.
    """
    if masks is None:
        return np.ones((batch, num_mask_entries(space)), np.int8)
    submasks = split_mask_by_subspace(space, masks, (tuple,), name)
    if submasks is not None:
        columns = [np.zeros((batch, 0), np.int8)]
        for sub in submasks:
            column = flatten_masks(sub.space, sub.mask, batch, owner, sub.name)
            columns.append(column if sub.present is None else np.where(sub.present[:, None], column, 1))
        return np.concatenate(columns, axis=1)
    rows = masks if isinstance(masks, (list, tuple)) else np.atleast_1d(masks)
    if len(rows) != batch:
        raise UsageError(f"the {name} has {len(rows)} rows; it must have {batch}, one for each {owner}")
    if isinstance(rows, np.ndarray) and rows.dtype != object:
        return check_mask_size(space, rows.reshape(batch, -1), name, f" of every {owner}")
    return np.stack([flatten_mask(space, mask, name, f" of {owner} {i}") for i, mask in enumerate(rows)])


def split_mask_by_subspace(
    space: Space, mask: object, sequences: tuple[type[Sequence[Any]], ...], name: str
) -> list[Submask] | None:
    """The mask of each subspace, in the order of the leaves; None for a mask that has not the form of the space.

    ``sequences``: the types that may hold one mask per subspace of a ``Tuple``.
    """
    if isinstance(mask, dict):
        return _split_dict_mask(space, mask, name)
    if isinstance(space, spaces.Tuple) and isinstance(mask, sequences) and len(mask) == len(space.spaces):
        return [Submask(part, mask[i], None, f"{name}[{i}]") for i, part in enumerate(space.spaces)]
    return None


def _split_dict_mask(space: Space, mask: dict[str, Any], name: str) -> list[Submask]:
    """The mask of each subspace of a ``Dict``; a Box, which has no choices, may be left out.

    Gymnasium stacks dicts key by key, and an entry ``_key`` ``[B]`` says which of the stacked dicts had ``key``.
    """
    subspaces = space.spaces if isinstance(space, spaces.Dict) else {}
    unexpected = set(mask) - set(subspaces) - {f"_{key}" for key in subspaces}
    missing = [key for key, part in subspaces.items() if key not in mask and num_mask_entries(part)]
    if unexpected or missing or not subspaces:
        raise UsageError(
            f"the {name} has the keys {list(mask)}, which are not those of the action space {space}. For a part "
            "where all is allowed give None"
        )
    submasks = []
    for key in sorted(subspaces):
        if key in mask:
            marker = f"_{key}"
            present = None if marker in subspaces else mask.get(marker)
            submasks.append(Submask(subspaces[key], mask[key], present, f"{name}[{key!r}]"))
    return submasks


def check_mask_size(space: Space, mask: np.ndarray, name: str = MASK, whose: str = "") -> np.ndarray:
    """``mask`` ``[..., choices]``, if it has a 0 or 1 for each choice of the space (or of this part of it)."""
    entries, expected = mask.shape[-1], num_mask_entries(space)
    if entries != expected:
        part = "action space" if name == MASK else "part of the action space,"
        raise UsageError(
            f"the {name}{whose} has {entries} entries; the {part} {space} needs {expected}: n of Discrete, the sum of "
            "nvec of MultiDiscrete, 2 for each bit of MultiBinary, none of Box"
        )
    # Else 256, 0.5 and NaN would become something else as the bytes that masks are stored in.
    if mask.dtype != bool and (wrong := (mask != 0) & (mask != 1)).any():
        raise UsageError(f"the {name}{whose} has the entry {mask[wrong].ravel()[0]}; entries are 0 (forbidden) and 1")
    return mask


def check_stackable(space: Space, mask: object) -> None:
    """Refuse a ``dict`` whose keys collide with the markers ``_key`` that Gymnasium's vector environments add."""
    if not (isinstance(mask, dict) and isinstance(space, spaces.Dict)):
        return
    for key, part in space.spaces.items():
        check_stackable(part, mask.get(key))
    if colliding := [key for key in space.spaces if f"_{key}" in space.spaces]:
        key = colliding[0]
        raise UsageError(
            f"Gymnasium cannot stack the {MASK} of an action space with the keys {key!r} and {'_' + key!r}: it "
            "writes its own marks to the latter. Give the mask as one vector, or in the observation"
        )


def num_mask_entries(space: Space) -> int:
    """The number of entries of a mask."""
    return sum(sum(choices_per_component(leaf)) for leaf in leaves(space))


def choices_per_component(leaf: Space) -> list[int]:
    """The number of choices of each component of a leaf; none for a Box."""
    if isinstance(leaf, spaces.Discrete):
        return [int(leaf.n)]
    if isinstance(leaf, spaces.MultiDiscrete):
        return [int(n) for n in leaf.nvec.ravel()]
    return [2] * int(np.prod(leaf.shape)) if isinstance(leaf, spaces.MultiBinary) else []


def check_mask(observation_space: Space, action_space: Space) -> None:
    """Refuse a mask in the observations whose size is not the action space's number of choices."""
    if not has_mask(observation_space):
        return
    assert isinstance(observation_space, spaces.Dict)
    entries = sum(int(np.prod(leaf.shape or ())) for leaf in leaves(observation_space.spaces[MASK]))
    check_mask_size(action_space, np.broadcast_to(False, entries))


def no_action_allowed(action_space: Space, allowed: Any) -> Any:
    """``[B]``: whether all choices of some component are masked, for masks ``[B, choices]`` of NumPy or JAX."""
    all_masked = allowed[..., 0] & False
    for n in (n for leaf in leaves(action_space) for n in choices_per_component(leaf)):
        all_masked, allowed = all_masked | ~allowed[..., :n].any(axis=-1), allowed[..., n:]
    return all_masked


def sample_allowed_action(space: Space, allowed: np.ndarray, rng: np.random.Generator) -> Any:
    """A random action of one environment that its mask ``[choices]`` allows."""
    action: list[Any] = []
    for leaf in leaves(space):
        components: list[int] = []
        for n in choices_per_component(leaf):
            choices, allowed = np.flatnonzero(allowed[:n]), allowed[n:]
            components.append(int(rng.choice(choices)) if len(choices) else 0)
        value = np.reshape(components, leaf.shape or ()) + getattr(leaf, "start", 0) if components else leaf.sample()
        action.append(np.asarray(value, leaf.dtype)[()])  # of a Discrete a scalar: environments may look it up
    return unflatten(space, iter(action))
