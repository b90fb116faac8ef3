"""Numbers as people read them."""

import math

import numpy as np
import pytest

from proximax.runtime.formatting import format_duration, format_number, plural


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (7, "7"),
        (-21.0, "-21"),
        (1_000_000, "1,000,000"),
        (1e6, "1,000,000"),
        (123_456_789_012, "123,456,789,012"),
        (12345.678901, "12,346"),
        (5784.4, "5,784"),
        (-1234.5, "-1,234"),
        (999.96, "1,000"),
        (999.94, "999.9"),
        (312.44, "312.4"),
        (12.34, "12.3"),
        (9.996, "10.0"),
        (9.99, "9.99"),
        (-1.5, "-1.50"),
        (0.9996, "1"),
        (0.5, "0.5"),
        (0.123456, "0.123"),
        (0.00025, "0.00025"),
        (0.0001, "0.0001"),
        (0.000516715, "0.000517"),
        (3e-5, "3e-5"),
        (2.7564872652874328e-05, "2.76e-5"),
        (-4.1e-10, "-4.1e-10"),
        (1.5e20, "1.5e20"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "n/a"),
        (None, "n/a"),
        (np.float32(0.1), "0.1"),
        (np.int64(2048), "2,048"),
    ],
)
def test_a_number_has_as_many_digits_as_it_needs(number, text):
    assert format_number(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.4, "0:00"),
        (59.6, "1:00"),
        (83.2, "1:23"),
        (3599.7, "1:00:00"),
        (7384, "2:03:04"),
        (86399, "23:59:59"),
        (90000, "1 d 1 h"),
        (1e8, "1,157 d 9 h"),
        (None, "n/a"),
        (math.inf, "n/a"),
        (math.nan, "n/a"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_counts():
    assert [plural(n, "seed") for n in (0, 1, 2, 1000)] == ["0 seeds", "1 seed", "2 seeds", "1,000 seeds"]
