"""Gymnasium spaces as trees: ``Dict`` and ``Tuple`` are branches, everything else is a leaf."""

from collections.abc import Iterator
from typing import Any

from gymnasium import spaces

Space = spaces.Space[Any]
LEAVES = spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary


def branches(space: Space) -> list[tuple[str | int, Space]] | None:
    """(key, part) of a ``Dict`` (keys sorted, as JAX orders them) or ``Tuple``; None for a leaf."""
    if isinstance(space, LEAVES):  # at every step: to tell a Dict or Tuple, abstract classes, takes five times as long
        return None
    if isinstance(space, spaces.Dict):
        return [(key, space.spaces[key]) for key in sorted(space.spaces)]
    return list(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else None


def leaves(space: Space) -> list[Space]:
    """The leaves, from first to last."""
    parts = branches(space)
    return [space] if parts is None else [leaf for _, part in parts for leaf in leaves(part)]


def paths(space: Space, path: str = "") -> list[str]:
    """The paths of the leaves, from first to last: ``"['a'][0]"``; "" for a space that is a leaf."""
    parts = branches(space)
    return [path] if parts is None else [leaf for key, part in parts for leaf in paths(part, f"{path}[{key!r}]")]


def describe_leaf(role: str, path: str) -> str:
    """How an error names a leaf of a space; ``role``: "observation" or "action"."""
    return f"{role} space at {role}{path}" if path else f"{role} space"


def unflatten(space: Space, values: Iterator[Any]) -> Any:
    """A tree of the space's form that holds ``values``, one for each leaf."""
    parts = branches(space)
    if parts is None:
        return next(values)
    trees = [unflatten(part, values) for _, part in parts]
    return dict(zip((key for key, _ in parts), trees)) if isinstance(space, spaces.Dict) else tuple(trees)


def flatten(space: Space, value: Any) -> list[Any]:
    """The leaves of ``value``, a tree of the space's form. The inverse of ``unflatten``; raises ``KeyError``, ..."""
    parts = branches(space)
    return [value] if parts is None else [leaf for key, part in parts for leaf in flatten(part, value[key])]


def compatible(mine: Space, other: Space) -> bool:
    """Whether a policy made for one space fits the other: same tree, types, shapes and choices; bounds may differ."""
    if type(mine) is not type(other):
        return False
    left, right = branches(mine), branches(other)
    if left is not None and right is not None:
        return [k for k, _ in left] == [k for k, _ in right] and all(
            compatible(a, b) for (_, a), (_, b) in zip(left, right)
        )
    if isinstance(mine, spaces.Discrete) and isinstance(other, spaces.Discrete):
        return (mine.n, mine.start) == (other.n, other.start)
    if isinstance(mine, spaces.MultiDiscrete) and isinstance(other, spaces.MultiDiscrete):
        return mine.nvec.tolist() == other.nvec.tolist() and mine.start.tolist() == other.start.tolist()
    return mine.shape == other.shape and (mine.dtype == "uint8") == (other.dtype == "uint8")
