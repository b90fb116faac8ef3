"""Values as an environment gives them, in the types that the program stores: what would come out as another is refused.

A float may be rounded to a shorter float. An integer that wraps, a fraction that is cut off, a finite number that
becomes infinite and an entry that the space lacks are errors. Here all values of all leaves are compared, at every
step. Worker processes load this file by its path, so it imports neither proximax nor JAX.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

DTypeLike = np.dtype[Any]
_SINGLE = float, int, bool, np.float64, np.float32, np.bool_


class DoesNotFit(ValueError):
    """A value that its place cannot hold. ``path``: the entry inside a nested observation."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text, path)
        self.text, self.path = text, path

    def within(self, key: object) -> "DoesNotFit":
        """The same inside the entry ``key``."""
        return DoesNotFit(self.text, f"[{key!r}]{self.path}")

    def __str__(self) -> str:
        return f"the observation{self.path} {self.text}"


class NotANumber(DoesNotFit):
    """A reward that is not a number, or a flag that is not one of true and false."""

    def __str__(self) -> str:
        return self.text


@lru_cache
def keeps_values(source: DTypeLike, target: DTypeLike) -> bool:
    """Whether every value of ``source`` has a place in ``target``, but for the rounding of floats."""
    rounds_only = source.kind in "biu" and target.kind == "f" and target.itemsize >= 4
    return rounds_only or np.can_cast(source, target, "safe")


def as_numbers(value: object) -> np.ndarray:
    """``value`` as an array of numbers."""
    try:
        array = value if type(value) is np.ndarray else np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise DoesNotFit(f"is {shown(value)}, which is not an array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DoesNotFit(f"is {shown(value)}, of {array.dtype}, where numbers belong")
    return array


def shown(value: object) -> str:
    """A value for an error message, in one line."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        text = f"a {type(value).__name__} whose text is not available ({type(error).__name__})"
    return text if len(text) <= 100 else f"{text[:100]}..."


def convert(value: object, dtype: DTypeLike, row: str = "") -> np.ndarray:
    """``value`` as an array of ``dtype``, without a copy where it is one. ``row``: what the first axis counts."""
    array = as_numbers(value)
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        stored = array.astype(dtype)
    check_kept(array, stored, row)
    return stored


def store(value: object, out: np.ndarray) -> None:
    """Copy ``value`` into ``out``, an array of the same shape."""
    array = as_numbers(value)
    if array.shape != out.shape:  # else NumPy would broadcast it
        raise DoesNotFit(f"has shape {array.shape}, where {out.shape} belongs")
    if array.dtype == out.dtype:
        out[...] = array
        return
    with np.errstate(over="ignore", invalid="ignore"):
        np.copyto(out, array, casting="unsafe")
    check_kept(array, out)


def check_kept(before: np.ndarray, after: np.ndarray, row: str = "") -> None:
    """Refuse values that a conversion changed by more than the rounding of a float."""
    if keeps_values(before.dtype, after.dtype):
        return
    if after.dtype.kind == "f":
        lost = np.isinf(after)
        if not lost.any():
            return
        lost = lost & np.isfinite(before)
    else:
        lost = after != before
    if lost.any():
        raise DoesNotFit(f"{describe(before, lost, row)}, which {holds(after.dtype)}")


def describe(values: np.ndarray, wrong: np.ndarray, row: str = "") -> str:
    """The first of the values that are ``wrong``: its index and itself."""
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    owner, inner = (f"of {row} {index[0]} ", index[1:]) if row else ("", index)
    at = f"at {list(inner)} " if inner else ""
    return f"{owner}{at}is {values[index]}"


def holds(dtype: DTypeLike) -> str:
    """What a dtype cannot hold, and what to do about it."""
    if dtype.kind == "f":
        return f"{dtype} cannot hold (at most {np.finfo(dtype).max:.2g}). Scale it in a wrapper of the environment"
    if dtype.kind == "b":
        return "bool cannot hold. Give true or false"
    limits = np.iinfo(dtype)
    return (
        f"{dtype} cannot hold (integers from {limits.min} to {limits.max}). Give the space a dtype that holds its "
        "values, or change them in a wrapper of the environment"
    )


def write_tree(tree: Any, value: Any, arrays: list[np.ndarray], i: int) -> None:
    """Copy a tree of values to entry ``i`` of each array. In ``tree`` each leaf is its index in ``arrays``."""
    if isinstance(tree, int):
        store(value, arrays[tree][i, ...])
        return
    check_entries(tree, value)
    for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
        try:
            write_tree(part, value[key], arrays, i)
        except DoesNotFit as error:
            raise error.within(key) from error.__cause__


def check_entries(tree: Any, value: Any) -> None:
    """Refuse a value that has not exactly the entries of ``tree``."""
    if not isinstance(tree, dict):
        if not hasattr(value, "__len__") or len(value) != len(tree):
            raise DoesNotFit(f"is {shown(value)}, where {len(tree)} entries belong")
        return
    if not hasattr(value, "keys"):
        raise DoesNotFit(f"is {shown(value)}, where a dict with the entries {list(tree)} belongs")
    if value.keys() == tree.keys():
        return
    if missing := [key for key in tree if key not in value]:
        raise DoesNotFit(f"lacks the entry {missing[0]!r}; its space has {list(tree)}")
    extra = [key for key in value if key not in tree]
    raise DoesNotFit(
        f"has the entry {extra[0]!r}, which its space lacks: that has {list(tree)}. Add it to the space, or leave it "
        "out of the observation"
    )


def one_number(value: Any, name: str) -> float:
    """``value``, a number or an array of a single one, as a float."""
    if type(value) not in _SINGLE:
        try:
            array = as_numbers(value)
        except DoesNotFit as error:
            raise NotANumber(f"{name} is {shown(value)}: it must be one number") from error
        if array.size != 1:
            raise NotANumber(f"{name} is {shown(value)}, of shape {array.shape}: it must be one number")
        value = array.reshape(())[()]
    try:
        number = float(value)
    except OverflowError as error:  # an integer of Python
        raise NotANumber(f"{name} is {shown(value)}, which float64 cannot hold") from error
    if math.isinf(number) and np.isfinite(value):  # of more bits than 64
        raise NotANumber(f"{name} is {shown(value)}, which float64 cannot hold")
    return number


def one_flag(value: object, name: str) -> bool:
    """``value``, true or false, or 1 or 0, or an array of a single one of these, as a bool."""
    if type(value) is bool or type(value) is np.bool_:
        return bool(value)
    number = one_number(value, name)
    if number not in (0.0, 1.0):
        raise NotANumber(f"{name} is {shown(value)}: it must be True or False")
    return number == 1.0
