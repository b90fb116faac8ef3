"""The page in a process of its own, as its parent sees it; ``page_main`` is the process's own side.

In a thread of the trainer the page would take the interpreter's lock from it, for as long as an answer takes to
compute and for up to 5 ms (``sys.getswitchinterval``) each time the trainer asks for the lock again.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from proximax.runtime import close_private, keep_from_children
from proximax.web import page_main

END_S = 2.0  # until a process that was asked to end is killed


class PageProcess:
    """Serves a page about runs at a socket that listens, until it is closed or this program ends, however it does.

    The process reads a pipe from this one. The end of that pipe is its end: the system closes it with this
    process, a kill -9 included. It is in a session of its own, where no Ctrl-C of the terminal reaches it.
    """

    def __init__(self, folders: Sequence[Path], listener: socket.socket, host: str, token: str) -> None:
        reading, self._commands = os.pipe()
        keep_from_children(self._commands)
        self._owner = os.getpid()
        # -P: its folder does not go on the module path
        line = [sys.executable, "-P", page_main.__file__]
        # The page needs no device, and must not take memory of one that somebody trains on.
        environ = os.environ | {"JAX_PLATFORMS": "cpu"}
        try:
            self._process = subprocess.Popen(
                line,
                stdin=reading,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                env=environ,
                start_new_session=True,
            )
        except OSError:
            close_private(self._commands)
            raise
        finally:
            os.close(reading)
        job = {
            "path": sys.path,
            "folders": [str(folder) for folder in folders],
            "listener": listener.fileno(),
            "host": host,
            "token": token,  # in the list of processes others would see it
        }
        self._send(job)
        listener.close()  # it is the process's own
        atexit.register(self.close)

    def _send(self, value: object) -> None:
        data = json.dumps(value).encode() + b"\n"
        with suppress(BrokenPipeError):  # it has ended
            while data:
                data = data[os.write(self._commands, data) :]

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def add(self, run_dir: Path) -> None:
        """Show one more run, or folder of runs."""
        self._send(str(run_dir.absolute()))  # the process stays in the folder in which it was started

    def wait(self) -> None:
        """Until Ctrl-C."""
        self._process.wait()

    def close(self) -> None:
        """End the process."""
        if self._commands < 0 or os.getpid() != self._owner:
            return
        atexit.unregister(self.close)
        commands, self._commands = self._commands, -1
        close_private(commands)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
