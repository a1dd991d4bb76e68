"""Much data from one namespace to another, and what a limit would have let through meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

OpenSocket = Callable[[int, int], socket.socket]
"""Family and type to a socket of some namespace, wherever it is used."""
WITHIN_S = 60.0
"""How long a transfer may stand still: it matters only when the test fails."""


_SO_RCVBUFFORCE = 33


class Moved(NamedTuple):
    """What has arrived."""

    bytes: int
    """Of payload: less than there was on the wire."""
    elapsed_s: float
    """By the kernel's monotonic clock, which its queues go by, from before the first byte to after the last."""

    def keeps(self, rate_bps: float, burst_bits: float) -> bool:
        """Whether a limit allows it. A slow machine moves less in the same time, never more."""
        return 8 * self.bytes <= burst_bits + rate_bps * self.elapsed_s


def move(source: OpenSocket, sink: OpenSocket, address: str, count: int) -> Moved:
    """Send ``count`` bytes by TCP to ``address``, which the sink's namespace has."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with sink(family, socket.SOCK_STREAM) as listener, source(family, socket.SOCK_STREAM) as near:
        listener.bind((address, 0))
        listener.listen()
        near.settimeout(WITHIN_S)
        started = time.monotonic()
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        with far:
            far.settimeout(WITHIN_S)
            sender = threading.Thread(target=near.sendall, args=(bytes(count),))
            sender.start()
            arrived = 0
            while arrived < count and (data := far.recv(1 << 20)):
                arrived += len(data)
            sender.join()
        return Moved(arrived, time.monotonic() - started)


def flood(send: Callable[[], object], far: socket.socket, *, until: Callable[[], bool]) -> Moved:
    """Send datagrams as fast as they go, until something is so; those that come to the socket ``far`` are counted."""
    far.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    far.settimeout(0)
    arrived, started = 0, time.monotonic()
    while not until() and time.monotonic() < started + WITHIN_S:
        for _ in range(500):
            send()
        arrived += _waiting(far)
    return Moved(arrived, time.monotonic() - started)


def _waiting(far: socket.socket) -> int:
    count = 0
    try:
        while True:
            count += len(far.recv(2048))
    except BlockingIOError:
        return count
