"""The command line: ``python -m proximax`` and ``proximax``.

Read ``dispatch`` (what each command does), ``commands`` (their flags), ``output`` (what they print).
"""

from proximax.cli.dispatch import main

__all__ = [
    "main",
]
