"""The command line: ``python -m proximax`` and ``proximax``.

Read ``dispatch`` (what each command does), ``existing_runs`` (those about runs that exist), ``commands`` (their
flags), ``arguments`` (the types of these), ``settings`` (flags of settings, from ``RunConfig``), ``targets`` (runs and
environments that ``compare``, ``plot`` and ``report`` name), ``output`` (what they print), ``old_flags`` (flags of
version 0.1), ``launching`` (several processes), ``tuning`` (searches), ``demo``, ``device``.
"""

from proximax.cli.dispatch import main

__all__ = [
    "main",
]
