"""How observations are stored: the dtype of each leaf, and which values it may have."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from proximax.spaces.exact import DoesNotFit, check_entries, convert
from proximax.spaces.tree import Space, branches, flatten, leaves, paths, unflatten
from proximax.types import PyTree

INT32 = np.iinfo(np.int32)


def obs_dtype(leaf: Space) -> np.dtype[Any]:
    """The dtype observations are stored in: integers stay as they are (bytes as bytes), floats become float32.

    JAX has integers of 32 bits: those of a space with larger bounds become float32 too.
    """
    if isinstance(leaf, spaces.Discrete):
        return np.dtype(np.int32)
    assert leaf.dtype is not None
    if np.issubdtype(leaf.dtype, np.floating):
        return np.dtype(np.float32)
    if isinstance(leaf, spaces.Box) and leaf.dtype.itemsize > 4:
        fits = (leaf.low >= INT32.min).all() and (leaf.high <= INT32.max).all()
        return np.dtype(leaf.dtype if fits else np.float32)
    return np.dtype(leaf.dtype)


def to_stored(space: Space, obs: PyTree, row: str = "environment") -> PyTree:
    """Observations ``[B, ...]`` of any array kind as a plain tree of NumPy arrays in the stored dtypes.

    Copies only where needed. ``row``: what ``B`` counts, for the ``DoesNotFit`` raised where a value does not fit.
    """
    if branches(space) is None:
        return convert(obs, obs_dtype(space), row)
    check_structure(space, obs)
    stored: list[np.ndarray] = []
    for leaf, x in zip(leaves(space), flatten(space, obs)):
        try:
            stored.append(convert(x, obs_dtype(leaf), row))
        except DoesNotFit as error:
            raise DoesNotFit(error.text, paths(space)[len(stored)]) from error.__cause__
    return unflatten(space, iter(stored))


def check_structure(space: Space, obs: PyTree) -> None:
    """Refuse a tree that has not exactly the entries of its space."""
    parts = branches(space)
    if parts is None:
        return
    check_entries(dict(parts) if isinstance(space, spaces.Dict) else [key for key, _ in parts], obs)
    for key, part in parts:
        try:
            check_structure(part, obs[key])
        except DoesNotFit as error:
            raise error.within(key) from error


def value_range(leaf: Space) -> tuple[Any, Any] | None:
    """The lowest and the highest stored value with a meaning; None where every number has one, as in a Box."""
    if isinstance(leaf, spaces.Discrete):
        return int(leaf.start), int(leaf.start) + int(leaf.n) - 1
    if isinstance(leaf, spaces.MultiDiscrete):
        return leaf.start, leaf.start + leaf.nvec - 1
    if isinstance(leaf, spaces.MultiBinary):
        return 0, 1
    stored = obs_dtype(leaf)
    return (INT32.min, INT32.max) if stored.kind in "iu" and stored.itemsize > 4 else None


def check_ranges(space: Space, obs: PyTree, place: Callable[[tuple[int, ...]], str] | None = None) -> None:
    """Refuse stored observations ``[..., *shape]`` with values that the space has not; a Box's bounds are not a limit.

    ``place``: index of a value -> where it was found, for the ``DoesNotFit``.
    """
    for leaf, path, x in zip(leaves(space), paths(space), flatten(space, obs)):
        limits = value_range(leaf) if isinstance(x, np.ndarray) else None
        if limits is None:
            continue
        wrong = (x < limits[0]) | (x > limits[1])
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            where = f" in {place(at)}" if place else ""
            raise DoesNotFit(
                f"is {x[at]}, which is not in {leaf}{where}. Give the space all values that the environment does", path
            )
