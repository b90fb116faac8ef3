"""``python lossy_wire.py NAMESPACE NAMESPACE``: a cable between two network namespaces that delays and loses frames.

For kernels without ``tc netem``. Both get a device ``wire``; a line on stdin sets what happens to each frame:
``SECONDS JITTER LOSS``; a loss of 1 cuts the cable. Says "ready" when the devices are there. Imports nothing of JAX.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from contextlib import suppress

SET_INTERFACE, TAP, NO_HEADER, NETWORK = 0x400454CA, 2, 0x1000, 0x40000000  # of Linux: TUNSETIFF, IFF_..., CLONE_NEWNET


def device(namespace: str) -> int:
    """A new device in a namespace, which this process enters."""
    with open(f"/var/run/netns/{namespace}", "rb") as name:
        if ctypes.CDLL(None, use_errno=True).setns(name.fileno(), NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    wire = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(wire, SET_INTERFACE, struct.pack("16sH", b"wire", TAP | NO_HEADER))
    return wire


def main() -> None:
    """Carry frames until stdin ends."""
    ends = [device(name) for name in sys.argv[1:3]]
    print("ready", flush=True)
    rng, (delay, jitter, loss) = random.Random(0), (0.0, 0.0, 0.0)
    on_the_way: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        pause = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        for source in select.select([*ends, 0], [], [], pause)[0]:
            if source == 0:
                line = os.read(0, 100).decode()
                if not line:
                    return
                delay, jitter, loss = map(float, line.split())
                print("set", flush=True)
            elif (frame := os.read(source, 65536)) and rng.random() >= loss:
                number += 1
                due = time.monotonic() + delay + rng.uniform(-jitter, jitter)
                heapq.heappush(on_the_way, (due, number, ends[1 - ends.index(source)], frame))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(on_the_way)
            with suppress(OSError):  # that end is not up yet
                os.write(target, frame)


if __name__ == "__main__":
    main()
