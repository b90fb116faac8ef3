"""A page in the browser that shows runs, finished or under way. It reads, and never writes.

Read ``server`` (``watch``: a port, and who serves there), ``page_process`` with ``page_main`` (a process of its own) or
``page_thread`` (a thread of this one), ``app`` (the addresses and what each answers), ``access`` (who may ask),
``run_list`` (which runs there are), ``run_view`` (one of them), ``metrics_reader`` (its metrics as they grow),
``thinning`` (as many points as the screen has), ``curves`` (what the charts show), ``media`` (its videos), ``policies``
(its policy, to be played in the browser), ``embedding`` (policies that play in a page of their own). The page itself is
in ``page``: environments and policies in ``page/play``, the libraries of others in ``page/vendor``.
"""

from proximax.web.embedding import EmbeddedPlayer, PlayedPolicy, embedded_player, played_policy, player_page
from proximax.web.policies import CANVASES
from proximax.web.server import DEFAULT_PORT, Watcher, require_server, watch, watch_run

__all__ = [
    "CANVASES",
    "DEFAULT_PORT",
    "EmbeddedPlayer",
    "PlayedPolicy",
    "Watcher",
    "embedded_player",
    "played_policy",
    "player_page",
    "require_server",
    "watch",
    "watch_run",
]
