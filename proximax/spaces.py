"""Gymnasium spaces as trees: ``Dict`` and ``Tuple`` are branches, everything else is a leaf."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError

Space = spaces.Space[Any]
INT32 = np.iinfo(np.int32)


def branches(space: Space) -> list[tuple[Any, Space]] | None:
    """(key, part) of a ``Dict`` (keys sorted, as JAX orders them) or ``Tuple``; None for a leaf."""
    if isinstance(space, spaces.Dict):
        return [(key, space.spaces[key]) for key in sorted(space.spaces)]
    return list(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else None


def leaves(space: Space) -> list[Space]:
    """The leaves, from first to last."""
    parts = branches(space)
    return [space] if parts is None else [leaf for _, part in parts for leaf in leaves(part)]


def paths(space: Space, path: str = "") -> list[str]:
    """Where the leaves are, from first to last: ``"['a'][0]"``; "" for a space that is a leaf."""
    parts = branches(space)
    return [path] if parts is None else [found for key, part in parts for found in paths(part, f"{path}[{key!r}]")]


def place(what: str, path: str) -> str:
    """How an error names a leaf of the observation or action space."""
    return f"{what} space at {what}{path}" if path else f"{what} space"


def nest(space: Space, values: Iterator[Any]) -> Any:
    """A tree of the space's form that holds ``values``, one for each leaf."""
    parts = branches(space)
    if parts is None:
        return next(values)
    filled = [nest(part, values) for _, part in parts]
    return dict(zip((key for key, _ in parts), filled)) if isinstance(space, spaces.Dict) else tuple(filled)


def flatten(space: Space, value: Any) -> list[Any]:
    """The leaves of ``value``, a tree of the space's form. The inverse of ``nest``; raises ``KeyError`` and its kin."""
    parts = branches(space)
    return [value] if parts is None else [leaf for key, part in parts for leaf in flatten(part, value[key])]


def check_leaves(space: Space, what: str, supported: tuple[type, ...], path: str = "") -> None:
    """Refuse leaves of other kinds than ``supported``, empty branches and keys that are not text, naming the place."""
    parts = branches_or_fault(space, what, path)
    if parts is None and not isinstance(space, supported):
        names = ", ".join(kind.__name__ for kind in supported)
        raise UsageError(
            f"{place(what, path)} is a {type(space).__name__}. Supported: {names}, and Dict and Tuple of these"
        )
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        check_range(space, place(what, path))
    for key, part in parts or []:
        check_leaves(part, what, supported, f"{path}[{key!r}]")


def check_range(leaf: Any, where: str) -> None:
    """Refuse a Discrete or MultiDiscrete whose numbers JAX's integers, of 32 bits, do not hold."""
    counts = leaf.n if isinstance(leaf, spaces.Discrete) else leaf.nvec
    lowest = np.asarray(leaf.start, object)
    if not lowest.size:
        raise UsageError(f"{where} is an empty {type(leaf).__name__}")
    highest = lowest + np.asarray(counts, object) - 1
    least, most = (int(x) for x in (np.min(lowest), np.max(highest)))
    if least < INT32.min or most > INT32.max:
        raise UsageError(
            f"{where} is {leaf}, whose values go from {least} to {most}; they must lie within 32 bits, {INT32.min} to "
            f"{INT32.max}. Count from 0 in a wrapper of the environment"
        )


def branches_or_fault(space: Space, what: str, path: str) -> list[tuple[Any, Space]] | None:
    """``branches``, or why there are none."""
    if isinstance(space, spaces.Dict) and not all(isinstance(key, str) for key in space.spaces):
        raise UsageError(f"{what} space {what}{path} is a Dict with keys that are not text: {list(space.spaces)}")
    parts = branches(space)
    if parts == []:
        raise UsageError(f"{what} space {what}{path} is an empty {type(space).__name__}")
    return parts


def alike(mine: Space, other: Space) -> bool:
    """Whether a policy made for one space fits the other: same tree, kinds, shapes and choices; bounds may differ."""
    if type(mine) is not type(other):
        return False
    left, right = branches(mine), branches(other)
    if left is not None and right is not None:
        return [k for k, _ in left] == [k for k, _ in right] and all(alike(a, b) for (_, a), (_, b) in zip(left, right))
    if isinstance(mine, spaces.Discrete) and isinstance(other, spaces.Discrete):
        return (mine.n, mine.start) == (other.n, other.start)
    if isinstance(mine, spaces.MultiDiscrete) and isinstance(other, spaces.MultiDiscrete):
        return mine.nvec.tolist() == other.nvec.tolist() and mine.start.tolist() == other.start.tolist()
    return mine.shape == other.shape and (mine.dtype == "uint8") == (other.dtype == "uint8")
