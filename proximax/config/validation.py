"""What a setting may be, and the message where it is not."""

import difflib
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np

from proximax.config.renames import ANSWERS, ELSEWHERE, difference
from proximax.errors import UsageError


@dataclass(frozen=True)
class Rule:
    """A range: numbers from ``low`` to ``high``; ``open_low`` leaves ``low`` itself out."""

    low: float
    high: float = math.inf
    open_low: bool = False
    integer: bool = False
    optional: bool = False

    def __str__(self) -> str:
        kind = "an integer" if self.integer else "a number"
        low = "" if math.isinf(self.low) else f" > {self.low:g}" if self.open_low else f" >= {self.low:g}"
        high = "" if math.isinf(self.high) else f" and <= {self.high:g}"
        return f"{kind}{low}{high}" + (", or None" if self.optional else "")

    def allows(self, value: object) -> bool:
        """Whether ``value`` is in the range."""
        if value is None:
            return self.optional
        number: Any = plain(value)  # NumPy warns where its small floats are compared with large ones
        integers = int, np.integer
        if isinstance(value, bool) or not isinstance(
            value, integers if self.integer else (*integers, float, np.floating)
        ):
            return False
        if not abs(number) <= sys.float_info.max:  # NaN, infinity, and integers that no float holds
            return False
        return bool((number > self.low if self.open_low else number >= self.low) and number <= self.high)


COUNT = Rule(1, integer=True)
SEED = Rule(0, 2**63, integer=True)


def plain(value: Any) -> Any:
    """NumPy's numbers, alone or in a list, tuple or array, as Python's; anything else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.ndim < 2:
        value = value.tolist() if value.ndim == 0 else tuple(value.tolist())
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def make_plain(record: Any) -> None:
    """The fields of a frozen record of settings as plain Python values, for JSON and for hashing."""
    for field in fields(record):
        object.__setattr__(record, field.name, plain(getattr(record, field.name)))


def refuse(problems: Sequence[str]) -> None:
    """Raise one ``UsageError`` of all problems that are not ""."""
    if text := "; ".join(filter(None, problems)):
        raise UsageError(text)


def shown(value: object) -> str:
    """A value for a message: in one line, not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."


def type_problem(name: str, value: object, kinds: type | tuple[type, ...], wanted: str) -> str:
    """What is wrong with an argument of another type; "" if nothing is. ``wanted``: the types, as text."""
    return "" if isinstance(value, kinds) else f"{name} = {shown(value)}: must be {wanted}"


def path_problem(name: str, value: object, optional: bool = False) -> str:
    """What is wrong with the path of a file or folder; "" if nothing is."""
    allowed = isinstance(value, (str, os.PathLike)) or (optional and value is None)
    return "" if allowed else f"{name} = {shown(value)}: must be a path{', or None' if optional else ''}"


def range_problem(name: str, value: object, rule: Rule) -> str:
    """What is wrong with a number; "" if nothing is."""
    return "" if rule.allows(value) else f"{name} = {value}: must be {rule}"


def choice_problem(name: str, value: object, choices: object) -> str:
    """What is wrong with one of several ``Literal`` choices; "" if nothing is."""
    known = get_args(choices)
    return "" if isinstance(value, str) and value in known else f"{name} = {value!r}: must be one of {', '.join(known)}"


def bool_problem(name: str, value: object, optional: bool = False) -> str:
    """What is wrong with a boolean; "" if nothing is."""
    if isinstance(value, (bool, np.bool_)) or (optional and value is None):
        return ""
    return f"{name} = {shown(value)}: must be True or False{', or None' if optional else ''}"


def check_names(values: dict[str, Any], *records: type) -> None:
    """Refuse keys that no record has, with the closest name that exists."""
    known = [f.name for record in records for f in fields(record)]
    for name in values:
        if name not in known:
            if name in ANSWERS:
                raise UsageError(f"unknown setting {name!r}: {ANSWERS[name]}")
            elsewhere = [x for x in [ELSEWHERE.get(name)] if x in known]  # what it is called in other libraries
            near = elsewhere or difflib.get_close_matches(name, known, n=1)
            note = f" ({difference(name)})" if elsewhere and difference(name) else ""
            hint = f"; did you mean {near[0]!r}{note}?" if near else f"; known: {', '.join(known)}"
            raise UsageError(f"unknown setting {name!r}{hint}")


def flatten_dict(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten_dict(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
