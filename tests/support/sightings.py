"""Where in a lab a packet is seen: a capture on every device of every namespace it may pass."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from support.cluster import Place

_OUTGOING = 4
"""PACKET_OUTGOING (linux/if_packet.h)."""
_QUIET_S = 0.3
"""A packet that has not been seen again for so long has gone where it went."""
_ROOM = 1 << 22


@dataclass(frozen=True, slots=True, order=True)
class Seen:
    """Where a capture saw a packet."""

    place: str
    device: str
    direction: str
    """``ingress`` or ``egress`` of the device."""


Sighting = tuple[Seen, bytes]


@contextmanager
def watching(places: list[Place], wanted: Callable[[bytes], bool]) -> Iterator[list[Sighting]]:
    """Every frame that is wanted and passes any device of ``places`` during the block, in no certain order."""
    found: list[Sighting] = []
    with ExitStack() as opened:
        sockets = {
            opened.enter_context(_capture(place, device)): (place.name, device)
            for place in places
            for device in devices_of(place)
        }
        yield found
        while ready := select.select(list(sockets), [], [], _QUIET_S)[0]:
            for each in ready:
                frame, (_, _, kind, _, _) = each.recvfrom(65535)
                if wanted(frame):
                    direction = "egress" if kind == _OUTGOING else "ingress"
                    found.append((Seen(*sockets[each], direction), frame))


def devices_of(place: Place) -> list[str]:
    """All of a namespace but the loopback device."""
    return [link["ifname"] for link in json.loads(place.run("ip", "-j", "link")) if link["ifname"] != "lo"]


def _capture(place: Place, device: str) -> socket.socket:
    made = place.packet_socket(device)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    return made
