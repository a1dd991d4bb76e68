"""Others' routes at the metric of learnt ones: looked up once, then heard of.

The kernel lets a route take the place of another one of the same prefix and metric, whoever put that: so it is known
beforehand where that would be somebody else's. What the kernel gives notice of is sorted by the kernel itself, so a
routing daemon with a million routes of its own costs nothing.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Set as AbstractSet
from typing import Final

from netloom.edge.messages import HEADER_BYTES, attributes
from netloom.edge.notices import NoticeSocket, instruction
from netloom.edge.ownership import LEARNED_METRIC, LEARNED_PROTOCOL
from netloom.edge.routes import ATTRIBUTES_AT, RTA_DST, RTA_PRIORITY, list_routes
from netloom.edge.rtnl import RtnlSocket, messages
from netloom.plan.learned import Key

_ROUTE_GROUPS: Final = (7, 11)
"""RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE (linux/rtnetlink.h)."""
_NEW_ROUTE: Final = 24
_TYPE_AT: Final = 4
"""Of struct nlmsghdr; it is followed by struct rtmsg."""
_TABLE_AT: Final = HEADER_BYTES + 4
_PROTOCOL_AT: Final = HEADER_BYTES + 5
_MAIN_TABLE: Final = 254
_METRIC_VALUE: Final = struct.pack("=I", LEARNED_METRIC)
_LOAD_WORD, _LOAD_WORD_AT_X, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x40, 0x28, 0x30
_SET, _SET_X, _COPY_TO_X, _JUMP_IF_EQUAL, _RETURN = 0x00, 0x01, 0x07, 0x15, 0x06
_FIND_ATTRIBUTE: Final = 0xFFFFF000 + 12
"""SKF_AD_OFF + SKF_AD_NLATTR (linux/filter.h): where attribute number X is, looked for from A on; 0 if nowhere."""
_AT_OUR_METRIC: Final = (
    # Integers are in host byte order; what is loaded is taken for network byte order.
    instruction(_LOAD_HALF, _TYPE_AT),
    instruction(_JUMP_IF_EQUAL, socket.htons(_NEW_ROUTE), no=12),
    instruction(_LOAD_BYTE, _TABLE_AT),
    instruction(_JUMP_IF_EQUAL, _MAIN_TABLE, no=10),
    instruction(_LOAD_BYTE, _PROTOCOL_AT),
    instruction(_JUMP_IF_EQUAL, LEARNED_PROTOCOL, yes=8),
    instruction(_SET_X, RTA_PRIORITY),
    instruction(_SET, ATTRIBUTES_AT),
    instruction(_LOAD_WORD, _FIND_ATTRIBUTE),
    instruction(_JUMP_IF_EQUAL, 0, yes=4),
    instruction(_COPY_TO_X, 0),
    instruction(_LOAD_WORD_AT_X, 4),
    instruction(_JUMP_IF_EQUAL, socket.htonl(LEARNED_METRIC), no=1),
    instruction(_RETURN, 0xFFFFFFFF),
    instruction(_RETURN, 0),
)


class Strangers:
    """Of the namespace of the thread that makes it. Methods raise KernelError."""

    def __init__(self) -> None:
        self._notices = notices_at_our_metric()
        self._known: frozenset[Key] | None = None

    def close(self) -> None:
        """Hear no more."""
        self._notices.close()

    def prepare(self, sock: RtnlSocket) -> None:
        """Look all routes through, unless that was done: the first question is answered at once then."""
        if self._known is None:
            self._look(sock)

    def among(self, sock: RtnlSocket, keys: AbstractSet[Key]) -> AbstractSet[Key]:
        """Those of ``keys`` where somebody else has a route at our metric now."""
        heard: set[Key] = set()
        for datagram in self._notices.read():
            if datagram is None:
                self._known = None
            else:
                heard.update(key_in(datagram[offset : offset + length]) for offset, length, *_ in messages(datagram))
        # Of what went the kernel does not always tell, so where it matters all are looked through again.
        if self._known is None or not keys.isdisjoint(self._known | heard):
            return keys & self._look(sock)
        return frozenset()

    def _look(self, sock: RtnlSocket) -> frozenset[Key]:
        found = (sock.dump(list_routes(family, kind=0), _is_theirs) for family in (4, 6))
        self._known = frozenset(key_in(raw) for answers in found for raw in answers)
        return self._known


def notices_at_our_metric() -> NoticeSocket:
    """New routes of others in the main table, and no more of theirs."""
    return NoticeSocket(0, _ROUTE_GROUPS, "notices of routes", _AT_OUR_METRIC)


def key_in(raw: bytes) -> Key:
    """The prefix of a route message."""
    empty = b"\0" * (4 if raw[HEADER_BYTES] == socket.AF_INET else 16)
    return raw[HEADER_BYTES + 1 : HEADER_BYTES + 2] + dict(attributes(raw, ATTRIBUTES_AT)).get(RTA_DST, empty)


def _is_theirs(raw: bytes) -> bool:
    if raw[_PROTOCOL_AT] == LEARNED_PROTOCOL:
        return False
    return dict(attributes(raw, ATTRIBUTES_AT)).get(RTA_PRIORITY) == _METRIC_VALUE
