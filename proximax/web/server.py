"""A server for the page, in a thread of its own: training continues beside it."""

import importlib
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from proximax.config import Rule, path_problem, range_problem, refuse, type_problem
from proximax.errors import DependencyError, StorageError, UsageError
from proximax.runtime import forget_private, keep_from_children, path_named, write_stderr
from proximax.web.access import Access, address_of, check_token
from proximax.web.run_list import RunList

DEFAULT_PORT = 6066
TRIES = 20  # ports after one that is taken
PORT = Rule(0, 65535, integer=True)
INSTALL = 'the page needs Starlette and uvicorn: pip install "proximax[watch]"'
END_S = 2.0  # until a server that is closed has ended


class Watcher:
    """A page about runs, served until it is closed or the program ends. ``address``: what to open in a browser."""

    def __init__(self, folders: Sequence[Path], host: str, port: int, token: str) -> None:
        self._run_list = RunList(folders)
        self._socket = open_port(host, port)
        keep_from_children(self._socket.fileno())
        self.port: int = self._socket.getsockname()[1]
        query = f"/?token={quote(token)}" if token else "/"
        self.address = f"http://{shown_host(host)}:{self.port}{query}"
        self._server = make_server(self._run_list, Access(host, token))
        # Waited for instead of the thread: after a Ctrl-C in ``join`` Python takes a thread for ended that is not.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="proximax-watch", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"Watcher({self.address})"

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def add(self, run_dir: str | Path) -> None:
        """Show one more run, or folder of runs."""
        self._run_list.add(Path(run_dir))

    def wait(self) -> None:
        """Serve until Ctrl-C."""
        while not self._ended.wait(0.5):
            pass

    def close(self) -> None:
        """End the server."""
        self._server.should_exit = True
        self._ended.wait(END_S)
        if self._socket.fileno() >= 0:
            forget_private(self._socket.fileno())
            self._socket.close()

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def watch(
    *runs: str | Path,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    token: str = "",
    quiet: bool = False,
) -> Watcher:
    """Show runs in the browser, while they train and after; prints the address of the page.

    ``runs``: run directories, or folders with runs below them, which need not exist yet; without any: ``runs``. Runs
    that start there later, are renamed or deleted appear, change and disappear.
    ``host``: by default only this machine reaches the page. Any other needs a ``token``.
    ``token``: what a browser must know to see the page: 16 characters and more.
    ``port``: 0 takes a free one; where it is taken the next free one is used.
    ``quiet``: do not print the address; ``Watcher.address`` has it.

    The page only reads. It is served by a thread until ``close`` of the ``Watcher``, or the end of the program. Raises
    ``UsageError``, ``StorageError`` where no port is free, ``DependencyError`` without the ``watch`` extra.
    """
    refuse(
        [
            *(path_problem("runs", run) for run in runs),
            type_problem("host", host, str, "a name or an address"),
            type_problem("token", token, str, "a string"),
            range_problem("port", port, PORT),
        ]
    )
    check_token(host, token)
    require_server()
    watcher = Watcher([path_named(run, "a run") for run in runs or ("runs",)], host, port, token)
    if port not in (0, watcher.port):
        write_stderr(f"proximax: note: port {port} is taken; using {watcher.port}")
    if not quiet:
        write_stderr(f"proximax: watch at {watcher.address}")
    return watcher


_of_this_program: list[Watcher] = []


def watch_run(run_dir: Path) -> Watcher:
    """Show a run that is about to start: on one page with the others that this program has trained and watched."""
    if not _of_this_program:
        _of_this_program.append(watch(run_dir))
    else:
        (watcher,) = _of_this_program
        watcher.add(run_dir)
        write_stderr(f"proximax: watch at {watcher.address}")
    return _of_this_program[0]


def require_server() -> None:
    """Raise ``DependencyError`` where the extra is not installed."""
    for name in ("starlette", "uvicorn"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise DependencyError(f"{INSTALL} ({error})") from error


def make_server(run_list: RunList, access: Access) -> Any:
    """An HTTP server of the page that says nothing and leaves signals to the program."""
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


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens at ``port``, or at the next that is free."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"host {host!r}: no address of this machine ({error})") from error
    last: OSError | None = None
    for number in [port] if port == 0 else range(port, min(port + TRIES, 65535) + 1):
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it would share the port with a stranger's program
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((place[0], number, *place[2:]))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            last = error
    raise StorageError(f"{host}: no port from {port} on can be used ({last and last.strerror}). Name another port")


def shown_host(host: str) -> str:
    """A host as an address names it: of one that stands for all addresses, the name of this machine."""
    address = address_of(host)
    if address is not None and address.is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if address is not None and address.version == 6 else host
