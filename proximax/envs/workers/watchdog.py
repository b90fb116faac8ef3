"""Starts a worker process (``python watchdog.py MAIN COMMANDS ANSWERS MEMORY``) and a tiny second one that ends it.

The second one waits until the parent's end of the command pipe is closed, gives the worker GRACE_SECONDS to close its
environments, and kills it. No thread of the worker could do that: an environment that hangs in C code stops them all.
"""

import os
import runpy
import select
import signal
import sys
import time

GRACE_SECONDS = 2.0  # for closing environments, before the process is killed
POLL_SECONDS = 0.5  # between two checks whether the worker still runs


def watch(worker: int, commands: int) -> None:
    """Kill ``worker`` soon after the pipe's other end has closed; return once the worker has exited."""
    closed = select.poll()
    closed.register(commands, 0)  # only the closing of the pipe, not commands
    while os.getppid() == worker:
        if closed.poll(1000 * POLL_SECONDS):
            limit = time.monotonic() + GRACE_SECONDS
            while os.getppid() == worker and time.monotonic() < limit:
                time.sleep(0.05)
            if os.getppid() == worker:
                os.kill(worker, signal.SIGKILL)
            return


if __name__ == "__main__":
    main, descriptors = sys.argv[1], [int(word) for word in sys.argv[2:]]
    for number in (signal.SIGINT, signal.SIGTERM):  # they may reach every process of a job; the parent decides
        signal.signal(number, signal.SIG_IGN)
    worker_pid = os.getpid()
    if os.fork() == 0:  # before any library starts threads
        for descriptor in descriptors[1:]:  # else the parent would not see them closed when the worker exits
            os.close(descriptor)
        watch(worker_pid, descriptors[0])
        os._exit(0)
    sys.argv[:] = sys.argv[1:]
    runpy.run_path(main, run_name="__main__")
