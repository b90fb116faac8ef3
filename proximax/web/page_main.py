"""The process that serves a page: ``python -P page_main.py``; ``page_process`` starts it and says what to show.

It reads lines of JSON from stdin: first what to serve, then one more folder in each. It ends with stdin, that is with
the process that started it. It is polite: whoever trains on the same cores goes first.
"""

import io
import json
import os
import socket
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

NICENESS = 10  # so much less of a core that others want, too: a tenth


def read_commands(lines: io.FileIO, folders: SimpleQueue[Path]) -> None:
    """Pass the folders on, until there are no more lines: then nobody is left to serve for."""
    for line in lines:
        folders.put(Path(json.loads(line)))
    os._exit(0)  # whatever the other threads do


def serve(job: dict[str, Any], folders: SimpleQueue[Path]) -> None:
    """Serve the page, with the folders that are added."""
    sys.path[:] = job["path"]
    from proximax.web.access import Access
    from proximax.web.page_thread import make_server
    from proximax.web.run_list import RunList

    run_list = RunList([Path(folder) for folder in job["folders"]])
    threading.Thread(target=add_folders, args=(run_list, folders), daemon=True).start()
    server = make_server(run_list, Access(job["host"], job["token"]))
    server.run(sockets=[socket.socket(fileno=job["listener"])])


def add_folders(run_list: Any, folders: SimpleQueue[Path]) -> None:
    """Add each folder as it comes."""
    while True:
        run_list.add(folders.get())


def main() -> None:
    """Begin to read before the page is imported, which takes a second or two: this process may be left alone in it."""
    os.nice(NICENESS)
    lines, folders = io.FileIO(0, closefd=False), SimpleQueue[Path]()  # without a lock that Python waits for at its end
    first = lines.readline()
    if not first:
        return
    threading.Thread(target=read_commands, args=(lines, folders), daemon=True).start()
    serve(json.loads(first), folders)


if __name__ == "__main__":
    main()
