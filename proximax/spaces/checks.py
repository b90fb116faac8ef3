"""Which spaces are supported: refusals that name the place inside a nested space."""

from typing import Any

import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.spaces.tree import Space, branches, describe_leaf, leaves, paths

INT32 = np.iinfo(np.int32)


def check_leaves(space: Space, what: str, supported: tuple[type, ...], path: str = "") -> None:
    """Refuse leaves of other kinds than ``supported``, empty branches and keys that are not text, naming the place."""
    parts = branches_or_fault(space, what, path)
    if parts is None and not isinstance(space, supported):
        names = ", ".join(kind.__name__ for kind in supported)
        raise UsageError(
            f"{describe_leaf(what, path)} is a {type(space).__name__}. Supported: {names}, and Dict and Tuple of these"
        )
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        check_range(space, describe_leaf(what, path))
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


SUPPORTED_OBSERVATIONS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def check_observation_space(space: Space) -> None:
    """Refuse a space without support, naming the place inside it."""
    check_leaves(space, "observation", SUPPORTED_OBSERVATIONS)


SUPPORTED_ACTIONS = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)


def check_action_space(space: Space) -> None:
    """Refuse a space without support, or with impossible bounds."""
    check_leaves(space, "action", SUPPORTED_ACTIONS)
    for leaf, path in zip(leaves(space), paths(space)):
        where = describe_leaf("action", path)
        if not isinstance(leaf, spaces.Box):
            continue
        if not np.issubdtype(leaf.dtype, np.floating):
            raise UsageError(f"{where} is a Box of {leaf.dtype}. Supported: Box of floats, MultiDiscrete")
        wrong = np.isnan(leaf.low) | np.isnan(leaf.high) | (leaf.low >= leaf.high)
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            bounds = f"low = {leaf.low[at]}, high = {leaf.high[at]}"
            raise UsageError(f"{where} bounds at {at} are {bounds}; low must be below high")
