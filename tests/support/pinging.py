"""A program: a thousand echo requests a second, each with its own number, and an exact account at the end.

``pinging.py ADDRESS`` prints ``ready`` after the first reply. On SIGTERM it stops asking, waits for what is still on
its way, and prints one line of JSON: how many were sent, the numbers that never came back, and how many came twice.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time

HZ = 1000
LATE_S = 2.0
"""How long after the last request a reply may come."""
BUFFER_BYTES = 16 << 20
"""A process that the machine does not let run for a while must not lose replies by its own fault."""
SO_RCVBUFFORCE = 33
ECHO = struct.Struct("!BBHHHQ")
"""Type, code, checksum, identifier, sequence number, and the whole number as data."""
TYPES = {4: (8, 0), 6: (128, 129)}
"""Of request and reply, ICMP and ICMPv6."""


class Pinger:
    """One target."""

    def __init__(self, target: str) -> None:
        self._version = 6 if ":" in target else 4
        family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self._version == 6 else (socket.AF_INET, 1)
        self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.setblocking(False)
        self._socket.connect((target, 0))
        self._id = os.getpid() & 0xFFFF
        self.sent = 0
        self.missing: set[int] = set()
        self.twice = 0

    def ask(self) -> None:
        """The next request. One that the kernel refuses to send is one that never comes back."""
        self.sent += 1
        self.missing.add(self.sent)
        request = TYPES[self._version][0]
        sequence = self.sent & 0xFFFF
        packet = ECHO.pack(request, 0, 0, self._id, sequence, self.sent)
        if self._version == 4:
            packet = ECHO.pack(request, 0, checksum(packet), self._id, sequence, self.sent)
        try:
            self._socket.send(packet)
        except OSError as error:
            sys.stderr.write(f"request {self.sent}: {error}\n")

    def hear(self) -> None:
        """All replies that are there."""
        while True:
            try:
                packet = self._socket.recv(256)
            except BlockingIOError:
                return
            at = (packet[0] & 15) * 4 if self._version == 4 else 0
            if len(packet) < at + ECHO.size:
                continue
            kind, _, _, identifier, _, number = ECHO.unpack_from(packet, at)
            if kind != TYPES[self._version][1] or identifier != self._id:
                continue
            if number in self.missing:
                self.missing.remove(number)
            else:
                self.twice += 1


def checksum(data: bytes) -> int:
    """Of the Internet (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def say(word: str) -> None:
    """To whoever started this."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Until SIGTERM."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    pinger = Pinger(sys.argv[1])
    began, told = time.monotonic(), False
    while going:
        due = int((time.monotonic() - began) * HZ) + 1
        while pinger.sent < due:
            pinger.ask()
        time.sleep(max(0.0, began + due / HZ - time.monotonic()))
        pinger.hear()
        if not told and len(pinger.missing) < pinger.sent:
            told = True
            say("ready")
    last = time.monotonic() + LATE_S
    while pinger.missing and time.monotonic() < last:
        time.sleep(0.01)
        pinger.hear()
    say(json.dumps({"sent": pinger.sent, "missing": sorted(pinger.missing), "twice": pinger.twice}))


if __name__ == "__main__":
    main()
