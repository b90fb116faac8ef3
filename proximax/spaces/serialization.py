"""Spaces as JSON, and back, without trusting the JSON."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from proximax.errors import CheckpointError
from proximax.spaces.tree import Space

MAX_ELEMENTS = 2**26  # of a space that is read; see ``_elements``
_BAD_SPACE = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    MemoryError,
    AssertionError,
    RecursionError,
)


def describe_space(space: Space) -> dict[str, Any]:
    """A space as plain JSON values."""
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": {key: describe_space(part) for key, part in space.spaces.items()}}
    if isinstance(space, spaces.Tuple):
        return {"kind": "Tuple", "spaces": [describe_space(part) for part in space.spaces]}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "shape": [int(space.n)], "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        values = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"kind": "MultiDiscrete", **values, "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):  # MultiBinary(3) and MultiBinary([3]) are not equal
        return {"kind": "MultiBinary", "shape": space.n if isinstance(space.n, int) else list(space.n)}
    assert isinstance(space, spaces.Box)
    bounds = {side: _plain(getattr(space, side)) for side in ("low", "high")}
    return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}


def _plain(bound: np.ndarray) -> list[str] | str:
    """Bounds as strings, since JSON has no infinity; one value where all are equal."""
    exact = bound if np.issubdtype(bound.dtype, np.integer) else np.asarray(bound, np.float64)
    flat: Sequence[str] = [repr(x) for x in exact.ravel().tolist()]
    return flat[0] if flat and all(x == flat[0] for x in flat) else list(flat)


def make_space(values: dict[str, Any], max_elements: int = MAX_ELEMENTS) -> Space:
    """The space that ``describe_space`` described, if it has at most ``max_elements`` elements."""
    try:
        elements = _elements(values)
        if elements > max_elements:
            raise CheckpointError(
                f"the checkpoint describes a space of {elements:.4g} elements; at most {max_elements} are read"
            )
        return _make_space(values)
    except _BAD_SPACE as error:
        raise CheckpointError(f"the checkpoint describes a space that proximax does not know: {error}") from error


def _elements(values: dict[str, Any]) -> int:
    """The numbers in a value of a described space plus the choices of its discrete leaves; allocates nothing."""
    kind = values["kind"]
    if kind in ("Dict", "Tuple"):
        return sum(_elements(part) for part in (values["spaces"].values() if kind == "Dict" else values["spaces"]))
    if kind == "MultiDiscrete":
        return sum(abs(int(n)) for n in np.array(values["nvec"], object).ravel())
    shape = values["shape"]
    return math.prod(abs(int(n)) for n in (shape if isinstance(shape, list) else [shape]))


def _make_space(values: dict[str, Any]) -> Space:
    kind, integers = values["kind"], values.get("dtype", "int64")  # older files lack the dtype of discrete spaces
    if kind == "Dict":
        return spaces.Dict({key: _make_space(part) for key, part in values["spaces"].items()})
    if kind == "Tuple":
        return spaces.Tuple([_make_space(part) for part in values["spaces"]])
    if kind == "Discrete":
        return spaces.Discrete(values["shape"][0], start=values["start"], dtype=integers)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(np.array(values["nvec"]), start=np.array(values["start"]), dtype=integers)
    if kind == "MultiBinary":
        return spaces.MultiBinary(values["shape"])
    dtype = np.dtype(values["dtype"])
    number = int if np.issubdtype(dtype, np.integer) else float  # an int64 does not fit a float
    low, high = (
        np.broadcast_to(np.array(number(values[side]), dtype), values["shape"])
        if isinstance(values[side], str)
        else np.array([number(x) for x in values[side]], dtype).reshape(values["shape"])
        for side in ("low", "high")
    )
    return spaces.Box(low, high, dtype=dtype.type)
