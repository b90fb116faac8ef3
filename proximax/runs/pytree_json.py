"""Trees of arrays and plain values as JSON and named arrays, and back: what a checkpoint is made of.

A tree is a dict with strings as keys, a list, an array, or a plain value: int, float, bool, str, None. Nothing else can
be written, so that nothing else can be read.
"""

import json
import math
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from proximax.errors import CheckpointError

ARRAY, FLOAT = "__array__", "__float__"  # {ARRAY: name} stands for an array, {FLOAT: "nan"} for what JSON lacks
KINDS = "biuf"  # of arrays: booleans, integers, floats


def to_plain(tree: object, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """``tree`` as JSON values; its arrays go into ``arrays``, under names that begin with ``name``."""
    if isinstance(tree, dict):
        bad_keys = [key for key in tree if not isinstance(key, str) or key in (ARRAY, FLOAT)]
        if bad_keys:
            raise CheckpointError(f"{name} has the key {bad_keys[0]!r}: only strings can be saved as keys")
        return {key: to_plain(part, f"{name}.{key}", arrays) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [to_plain(part, f"{name}[{i}]", arrays) for i, part in enumerate(tree)]
    if isinstance(tree, (np.ndarray, np.generic)) and tree.dtype.kind in KINDS:
        while name in arrays:  # "a.b" of {"a.b": ...} and of {"a": {"b": ...}}
            name += "'"
        arrays[name] = np.array(tree, order="C")
        return {ARRAY: name}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {FLOAT: repr(tree)}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    kind = f"an array of {tree.dtype}" if isinstance(tree, (np.ndarray, np.generic)) else f"a {type(tree).__name__}"
    raise CheckpointError(f"{name} is {kind}, which cannot be saved: only arrays of numbers and plain values can")


def from_plain(values: object, arrays: dict[str, np.ndarray]) -> Any:
    """The tree that ``to_plain`` took apart, its tuples as lists; takes the arrays that it uses out of ``arrays``."""
    if isinstance(values, list):
        return [from_plain(part, arrays) for part in values]
    if not isinstance(values, dict):
        return values
    if ARRAY in values:
        if not isinstance(values[ARRAY], str) or values[ARRAY] not in arrays:
            raise CheckpointError(f"there is no array {values[ARRAY]!r}, or it is used twice")
        return arrays.pop(values[ARRAY])
    if FLOAT in values:
        if values[FLOAT] not in ("nan", "inf", "-inf"):
            raise CheckpointError(f"{values[FLOAT]!r} is not a number")
        return float(values[FLOAT])
    return {key: from_plain(part, arrays) for key, part in values.items()}


def bytes_of_tree(tree: object) -> bytes:
    """A tree as safetensors, whose metadata has the plain values."""
    arrays: dict[str, np.ndarray] = {}
    plain = to_plain(tree, "tree", arrays)
    return save(arrays, {"plain": json.dumps(plain)})


def tree_of_bytes(data: bytes) -> Any:
    """The tree that ``bytes_of_tree`` wrote."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return from_plain(json.loads(header["__metadata__"]["plain"]), load(data))
