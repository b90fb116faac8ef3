"""A server for the page: in a process of its own beside what this program does, or in a thread of this one."""

import os
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from proximax.config import Rule, path_problem, range_problem, refuse, type_problem
from proximax.errors import DependencyError, StorageError, UsageError
from proximax.runtime import path_named, write_stderr
from proximax.web.access import Access, address_of, check_token
from proximax.web.page_process import PageProcess
from proximax.web.page_thread import PageThread

DEFAULT_PORT = 6066
TRIES = 20  # ports after one that is taken
PORT = Rule(0, 65535, integer=True)
INSTALL = 'the page needs Starlette and uvicorn: pip install "proximax[watch]"'
CAN_PASS_SOCKETS = os.name == "posix"  # to another process, by number


class Watcher:
    """A page about runs, served until it is closed or the program ends. ``address``: what to open in a browser."""

    def __init__(self, folders: Sequence[Path], host: str, port: int, token: str, in_thread: bool = False) -> None:
        listener = open_port(host, port)
        self.port: int = listener.getsockname()[1]
        query = f"/?token={quote(token)}" if token else "/"
        self.address = f"http://{shown_host(host)}:{self.port}{query}"
        # A browser that comes before the server is ready waits: the socket listens already.
        self._page: PageThread | PageProcess
        if in_thread or not CAN_PASS_SOCKETS:
            self._page = PageThread(folders, listener, Access(host, token))
        else:
            self._page = PageProcess(folders, listener, host, token)

    def __repr__(self) -> str:
        return f"Watcher({self.address})"

    @property
    def alive(self) -> bool:
        """Whether the page is still served."""
        return self._page.alive

    def add(self, run_dir: str | Path) -> None:
        """Show one more run, or folder of runs."""
        self._page.add(Path(run_dir))

    def wait(self) -> None:
        """Serve until Ctrl-C."""
        self._page.wait()

    def close(self) -> None:
        """End the server."""
        self._page.close()

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
    in_thread: bool = False,
) -> Watcher:
    """Show runs in the browser, while they train and after; prints the address of the page.

    ``runs``: run directories, or folders with runs below them, which need not exist yet; without any: ``runs``. Runs
    that start there later, are renamed or deleted appear, change and disappear.
    ``host``: by default only this machine reaches the page. Any other needs a ``token``.
    ``token``: what a browser must know to see the page: 16 characters and more.
    ``port``: 0 takes a free one; where it is taken the next free one is used.
    ``quiet``: do not print the address; ``Watcher.address`` has it.
    ``in_thread``: serve it by a thread of this process, for a program that does nothing else.

    The page only reads. It is served by a process of its own until ``close`` of the ``Watcher``, or the end of the
    program, however it ends: training beside it shares no interpreter with it. Windows always has a thread.
    Raises ``UsageError``, ``StorageError`` where no port is free, ``DependencyError`` without the ``watch`` extra.
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
    watcher = Watcher([path_named(run, "a run") for run in runs or ("runs",)], host, port, token, in_thread)
    if port not in (0, watcher.port):
        write_stderr(f"proximax: note: port {port} is taken; using {watcher.port}")
    if not quiet:
        write_stderr(f"proximax: watch at {watcher.address}")
    return watcher


_of_this_program: list[Watcher] = []


def watch_run(run_dir: Path) -> Watcher:
    """Show a run that is about to start: on one page with the others that this program has trained and watched."""
    if not (_of_this_program and _of_this_program[0].alive):  # somebody may have ended its process
        _of_this_program[:] = [watch(run_dir)]
    else:
        (watcher,) = _of_this_program
        watcher.add(run_dir)
        write_stderr(f"proximax: watch at {watcher.address}")
    return _of_this_program[0]


def require_server() -> None:
    """Raise ``DependencyError`` where the extra is not installed."""
    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise DependencyError(INSTALL)


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
