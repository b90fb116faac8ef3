"""What a setting may be: numbers by hand, and what is said of those that are not."""

from dataclasses import dataclass
from typing import Literal

import pytest

from proximax.config.validation import COUNT, Rule, check_names, choice_problem, range_problem
from proximax.errors import UsageError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rule", "allowed", "refused", "words"),
    [
        (COUNT, [1, 2**70], [0, -1, 1.0, True, None, "1", NAN, INF, 10**400], "an integer >= 1"),
        (Rule(0, 1), [0, 1, 0.5, 0.0], [-1e-9, 1.0001, NAN, True, None, [0.5], 0.5j], "a number >= 0 and <= 1"),
        (Rule(0, open_low=True), [1e-30, 5], [0, 0.0, -1, INF, 10**400], "a number > 0"),
        (Rule(1, integer=True, optional=True), [None, 3], [0, 2.5], "an integer >= 1, or None"),
        (Rule(-INF, optional=True), [-1e300, 0, None], [-INF, NAN], "a number, or None"),
        (Rule(0, 2**63, integer=True), [2**63], [2**64], "an integer >= 0 and <= 9.22337e+18"),
    ],
)
def test_ranges_and_their_words(rule, allowed, refused, words):
    assert str(rule) == words
    for value in allowed:
        assert rule.allows(value)
        assert range_problem("x", value, rule) == ""
    for value in refused:
        assert not rule.allows(value)
        assert range_problem("x", value, rule) == f"x = {value}: must be {words}"


def test_choices():
    kind = Literal["stop", "go"]
    assert choice_problem("light", "go", kind) == ""
    for wrong in ("Go", None, 3, ["go"]):
        assert choice_problem("light", wrong, kind) == f"light = {wrong!r}: must be one of stop, go"


@dataclass
class Sizes:
    height: int = 0
    width: int = 0


@dataclass
class Colours:
    grey: bool = True


@pytest.mark.fault(33)
def test_a_name_that_no_record_has_is_answered_with_the_nearest():
    check_names({"height": 1, "grey": 2}, Sizes, Colours)
    check_names({}, Sizes)
    with pytest.raises(UsageError, match="unknown setting 'heigth'; did you mean 'height'"):
        check_names({"width": 1, "heigth": 2}, Sizes, Colours)
    with pytest.raises(UsageError, match="unknown setting 'zzz'; known: height, width, grey"):
        check_names({"zzz": 1}, Sizes, Colours)
    with pytest.raises(UsageError, match="unknown setting 'grey'"):
        check_names({"grey": 1}, Sizes)
