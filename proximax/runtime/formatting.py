"""Numbers, durations and counts as text for people."""

import math


def format_number(x: float | None) -> str:
    """A number with as many digits as it needs: about three, and those of an integer in full.

    1000000 -> 1,000,000; 5784.4 -> 5,784; 312.44 -> 312.4; 1.5 -> 1.50; 0.00025 -> 0.00025; 3e-5 -> 3e-5. None and
    NaN: n/a.
    """
    if x is None or math.isnan(x):
        return "n/a"
    size = abs(x)
    if math.isinf(x) or size >= 1e15 or 0 < size < 1e-4:
        mantissa, _, exponent = f"{x:.3g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if exponent else mantissa
    if x == round(x) or size >= 999.95:
        return f"{round(x):,}"
    if size < 1:
        return f"{x:.3g}"
    return f"{x:.2f}" if size < 9.995 else f"{x:.1f}"


def format_duration(seconds: float | None) -> str:
    """A duration as minutes:seconds, hours:minutes:seconds, or days and hours. None: n/a."""
    if seconds is None or not math.isfinite(seconds):
        return "n/a"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def plural(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``, ``1,000 seeds``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
