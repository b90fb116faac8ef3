"""A page in the browser that shows runs, finished or under way. It reads, and never writes.

Read ``server`` (``watch``: a port, a thread), ``app`` (the addresses and what each answers), ``access`` (who may ask),
``run_list`` (which runs there are), ``run_view`` (one of them), ``metrics_reader`` (its metrics as they grow),
``thinning`` (as many points as the screen has), ``curves`` (what the charts show), ``media`` (its videos). The page
itself is in ``page``, with the chart library in ``page/vendor``.
"""

from proximax.web.server import DEFAULT_PORT, Watcher, require_server, watch, watch_run

__all__ = [
    "DEFAULT_PORT",
    "Watcher",
    "require_server",
    "watch",
    "watch_run",
]
