"""What a setting may be, and the message where it is not."""

import difflib
import math
import sys
from dataclasses import dataclass, fields
from typing import Any, get_args

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

    def allows(self, value: Any) -> bool:
        """Whether ``value`` is in the range."""
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.integer else (int, float)):
            return False
        if not abs(value) <= sys.float_info.max:  # NaN, infinity, and integers that no float holds
            return False
        return (value > self.low if self.open_low else value >= self.low) and value <= self.high


COUNT = Rule(1, integer=True)


def range_problem(name: str, value: Any, rule: Rule) -> str:
    """What is wrong with a number; "" if nothing is."""
    return "" if rule.allows(value) else f"{name} = {value}: must be {rule}"


def choice_problem(name: str, value: Any, choices: Any) -> str:
    """What is wrong with one of several ``Literal`` choices; "" if nothing is."""
    known = get_args(choices)
    return "" if value in known else f"{name} = {value!r}: must be one of {', '.join(known)}"


def bool_problem(name: str, value: Any) -> str:
    """What is wrong with a boolean; "" if nothing is."""
    return "" if isinstance(value, bool) else f"{name} = {value!r}: must be True or False"


def check_names(values: dict[str, Any], *records: type) -> None:
    """Refuse keys that no record has, with the closest name that exists."""
    known = [f.name for record in records for f in fields(record)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise UsageError(f"unknown setting {name!r}{hint}")
