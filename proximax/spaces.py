"""Gymnasium spaces as trees: ``Dict`` and ``Tuple`` are branches, everything else is a leaf."""

from collections.abc import Iterator
from typing import Any

from gymnasium import spaces

from proximax.errors import UsageError

Space = spaces.Space[Any]


def branches(space: Space) -> list[tuple[Any, Space]] | None:
    """(key, part) of a ``Dict`` (keys sorted, as JAX orders them) or ``Tuple``; None for a leaf."""
    if isinstance(space, spaces.Dict):
        return [(key, space.spaces[key]) for key in sorted(space.spaces)]
    return list(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else None


def leaves(space: Space) -> list[Space]:
    """The leaves, from first to last."""
    parts = branches(space)
    return [space] if parts is None else [leaf for _, part in parts for leaf in leaves(part)]


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
        place = f"{what} space" if not path else f"{what} space at {what}{path}"
        raise UsageError(f"{place} is a {type(space).__name__}. Supported: {names}, and Dict and Tuple of these")
    for key, part in parts or []:
        check_leaves(part, what, supported, f"{path}[{key!r}]")


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
