"""The page in a thread of this process, which has nothing better to do: ``proximax watch``."""

import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proximax.runtime import forget_private, keep_from_children
from proximax.web.access import Access
from proximax.web.run_list import RunList

END_S = 2.0  # until a server that is closed has ended


class PageThread:
    """Serves a page about runs at a socket that listens, until it is closed or the program ends."""

    def __init__(self, folders: Sequence[Path], listener: socket.socket, access: Access) -> None:
        self._run_list, self._socket = RunList(folders), listener
        keep_from_children(listener.fileno())
        self._server = make_server(self._run_list, access)
        # Waited for instead of the thread: after a Ctrl-C in ``join`` Python takes a thread for ended that is not.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="proximax-watch", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return not self._ended.is_set()

    def add(self, run_dir: Path) -> None:
        """Show one more run, or folder of runs."""
        self._run_list.add(run_dir)

    def wait(self) -> None:
        """Until Ctrl-C."""
        while not self._ended.wait(0.5):
            pass

    def close(self) -> None:
        """End the server."""
        self._server.should_exit = True
        self._ended.wait(END_S)
        if self._socket.fileno() >= 0:
            forget_private(self._socket.fileno())
            self._socket.close()


def make_server(run_list: RunList, access: Access) -> Any:
    """An HTTP server of the page that says nothing."""
    import uvicorn

    from proximax.web.app import make_app

    config = uvicorn.Config(
        make_app(run_list, access),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=2**16,  # the address of the curves of a thousand runs
    )
    return uvicorn.Server(config)
