"""The connection that a walk's packet is part of: one that it has begun, or that which it answers in. Pure.

Since nobody has sent what an answer answers, its connection is made up. It is given to the twins as one that must be
judged again: so programs ask policies about the connection, in its own direction, and an answer passes exactly if what
it answers may.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Final

from netloom.bpf.twin import Entry, NotedCall
from netloom.datapath import connection_records as records
from netloom.datapath.connections import CONNECTIONS_ANY, CONNECTIONS_TCP, ConnectionFlag, ConnectionInfo
from netloom.datapath.craft import decapsulate
from netloom.datapath.layout import encode
from netloom.datapath.packets import ETHERNET_BYTES, read_packet

LIFETIME_NS: Final = 60 * 10**9
_TCP: Final = 6
_UDP: Final = 17
_ECHO: Final = {1: (0, 8), 58: (129, 128)}
"""By protocol: types of an answer and of its query."""


def answered(frame: bytes, tunnel_port: int, *, is_proxied: bool = False) -> tuple[Entry, ...]:
    """Of a frame that answers, what the connection maps hold; nothing of another frame."""
    inner = decapsulate(frame, tunnel_port) if tunnel_port else None
    frame = inner.frame if inner else frame
    packet = read_packet(frame)
    if packet.source is None or packet.destination is None:
        return ()
    protocol, l4 = _l4(frame)
    ports = _ports(protocol, l4)
    if ports is None:
        return ()
    key, begun_by_high = records.key_of((packet.destination, ports[1]), (packet.source, ports[0]), protocol)
    info = ConnectionInfo(
        expires_ns=time.monotonic_ns() + LIFETIME_NS,
        sent_packets=1,
        sent_bytes=0,
        received_packets=0,
        received_bytes=0,
        source_identity=0,
        destination_identity=0,
        epoch=0,
        service=ports[0],
        flags=begun_by_high | (ConnectionFlag.PROXIED if is_proxied else 0),
    )
    spec = CONNECTIONS_TCP if protocol == _TCP else CONNECTIONS_ANY
    return (Entry(spec.name, encode(key), encode(info)),)


def begun_in(calls: Sequence[NotedCall]) -> Entry | None:
    """The connection of TCP that programs have noted as begun, in the kernel's bytes; None when they have not."""
    for call in reversed(calls):
        if call.helper.name == "map_update_elem" and call.map == CONNECTIONS_TCP.name and call.before and call.after:
            return Entry(call.map, call.before, call.after)
    return None


def _l4(frame: bytes) -> tuple[int, bytes]:
    """Protocol of an IP packet without extension headers, and what follows its header."""
    packet = frame[ETHERNET_BYTES:]
    if packet[0] >> 4 == 4:
        return packet[9], packet[(packet[0] & 0x0F) * 4 :]
    return packet[6], packet[40:]


def _ports(protocol: int, l4: bytes) -> tuple[int, int] | None:
    """Of the end that answers and the one that asked, as programs see them; None when it is no answer."""
    if len(l4) < 8:
        return None
    if protocol in (_TCP, _UDP):
        source, destination = struct.unpack_from(">HH", l4)
        return source, destination
    answer, query = _ECHO.get(protocol, (-1, -1))
    return (query, struct.unpack_from(">H", l4, 4)[0]) if l4[0] == answer else None
