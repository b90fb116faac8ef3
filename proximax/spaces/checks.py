"""Which spaces are supported: errors name the place inside a nested space."""

from typing import Any

import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.spaces.tree import Space, branches, describe_leaf, leaves, paths

INT32 = np.iinfo(np.int32)
# What to do about a space that is not supported.
WRAP = {
    "observation": " Leave it out or convert it in a wrapper, and train on a callable that makes the wrapped "
    "environment: train(lambda: gymnasium.wrappers.FilterObservation(gymnasium.make(ID), [KEYS TO KEEP]))",
    "action": " Convert it in a wrapper (gymnasium.ActionWrapper), and train on a callable that makes the wrapped "
    "environment",
}


def check_leaves(space: Space, role: str, supported: tuple[type, ...], path: str = "") -> None:
    """Refuse leaves of other types than ``supported``, empty branches and keys that are not strings, naming the place.

    ``role``: "observation" or "action".
    """
    parts = branches_or_error(space, role, path)
    if type(space).__module__.partition(".")[0] == "gym":
        raise UsageError(
            f"{describe_leaf(role, path)} is a {type(space).__name__} of the old package gym; Gymnasium's is needed: "
            'from gymnasium import spaces. Environments of gym are wrapped by pip install "shimmy[gym-v21]"'
        )
    if parts is None and not isinstance(space, supported):
        names = ", ".join(kind.__name__ for kind in supported)
        raise UsageError(
            f"{describe_leaf(role, path)} is a {type(space).__name__}. Supported: {names}, and Dict and Tuple of "
            f"these.{WRAP.get(role, '')}"
        )
    if isinstance(space, (spaces.Box, spaces.MultiBinary)) and 0 in space.shape:
        raise UsageError(
            f"{describe_leaf(role, path)} is {space}, which has no elements. Leave it out, or give one that is always 0"
        )
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        check_range(space, describe_leaf(role, path))
    for key, part in parts or []:
        check_leaves(part, role, supported, f"{path}[{key!r}]")


def check_range(leaf: "spaces.Discrete[Any] | spaces.MultiDiscrete", where: str) -> None:
    """Refuse a Discrete or MultiDiscrete whose values do not fit JAX's 32-bit integers."""
    counts = leaf.n if isinstance(leaf, spaces.Discrete) else leaf.nvec
    lowest = np.asarray(leaf.start, object)
    if not lowest.size:
        raise UsageError(f"{where} is an empty {type(leaf).__name__}")
    highest = lowest + np.asarray(counts, object) - 1
    minimum, maximum = int(np.min(lowest)), int(np.max(highest))
    if minimum < INT32.min or maximum > INT32.max:
        raise UsageError(
            f"{where} is {leaf}, whose values go from {minimum} to {maximum}; they must fit 32 bits, {INT32.min} to "
            f"{INT32.max}. Count from 0 in a wrapper of the environment"
        )


def branches_or_error(space: Space, role: str, path: str) -> list[tuple[str | int, Space]] | None:
    """``branches``; refuses an empty space and keys that are not strings."""
    if isinstance(space, spaces.Dict) and not all(isinstance(key, str) for key in space.spaces):
        raise UsageError(f"{role} space {role}{path} is a Dict with keys that are not strings: {list(space.spaces)}")
    parts = branches(space)
    if parts == []:
        raise UsageError(f"{role} space {role}{path} is an empty {type(space).__name__}")
    return parts


SUPPORTED_OBSERVATIONS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def check_observation_space(space: Space) -> None:
    """Refuse a space that is not supported, naming the place inside it."""
    check_leaves(space, "observation", SUPPORTED_OBSERVATIONS)


SUPPORTED_ACTIONS = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)


def check_action_space(space: Space) -> None:
    """Refuse a space that is not supported or has impossible bounds."""
    check_leaves(space, "action", SUPPORTED_ACTIONS)
    for leaf, path in zip(leaves(space), paths(space)):
        where = describe_leaf("action", path)
        if not isinstance(leaf, spaces.Box):
            continue
        if not np.issubdtype(leaf.dtype, np.floating):
            raise UsageError(f"{where} is a Box of {leaf.dtype}. Supported: Box of floats, MultiDiscrete")
        wrong = np.isnan(leaf.low) | np.isnan(leaf.high) | (leaf.low >= leaf.high)
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            bounds = f"low = {leaf.low[index]}, high = {leaf.high[index]}"
            raise UsageError(f"{where} bounds at {index} are {bounds}; low must be below high")
