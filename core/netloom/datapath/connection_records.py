"""Entries of the connection maps, read many at a time: from the kernel's bytes to connections. Pure.

A full table has hundreds of thousands, so what is wanted is picked from known places instead of decoding each. The
layouts are those of :class:`~netloom.datapath.connections.ConnectionKey` and ``ConnectionInfo``; a test compares.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from netloom.datapath.connections import ConnectionFlag, ConnectionKey
from netloom.model.address import Address, pack
from netloom.model.connection import Connection, ConnectionState

NS_PER_S: Final = 1_000_000_000
_KEY: Final = struct.Struct("=16s16s2s2sB3x")
_INFO: Final = struct.Struct("=QQQQQIII2sH")
_WORDS: Final = _INFO.size // 8
"""Of an entry, the first of which says when it expires."""
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"
_TCP: Final = 6
_BEGUN_BY_HIGH: Final = int(ConnectionFlag.BEGUN_BY_HIGH)
"""A number: flags of an enumeration are slow to compare."""
_CLOSED_BY_BOTH: Final = ConnectionFlag.CLOSED_BY_SOURCE | ConnectionFlag.CLOSED_BY_DESTINATION


def key_of(source: tuple[Address, int], destination: tuple[Address, int], protocol: int) -> tuple[ConnectionKey, bool]:
    """Key of a connection from the one end to the other, and whether the one is the key's second.

    Programs compare addresses by words as they load them, hence in the machine's order.
    """
    if _order(source[0]) > _order(destination[0]):
        key = ConnectionKey(destination[0], source[0], destination[1], source[1], protocol)
        return key, True
    return ConnectionKey(source[0], destination[0], source[1], destination[1], protocol), False


def _order(address: Address) -> tuple[int, ...]:
    return struct.unpack("=4I", pack(address))[::-1]


def beginning(info: bytes) -> tuple[int, int, bool]:
    """Of an entry: the identities of both ends, the one that began first, and whether that is the key's second."""
    *_, source, destination, _epoch, _service, flags = _INFO.unpack(info)
    return source, destination, bool(flags & _BEGUN_BY_HIGH)


def expired(infos: bytes, now_ns: int) -> list[int]:
    """Places of those among entries, one behind the other, that are as if they were not there."""
    return [at for at, expires_ns in enumerate(array("Q", infos)[::_WORDS]) if expires_ns <= now_ns]


def keys_at(keys: bytes, places: list[int]) -> list[bytes]:
    """The keys at these places among keys one behind the other."""
    return [keys[at * _KEY.size : (at + 1) * _KEY.size] for at in places]


def count(keys: bytes) -> int:
    """How many keys there are one behind the other."""
    return len(keys) // _KEY.size


def read(keys: bytes, infos: bytes, now_ns: int) -> Iterator[Connection]:
    """Entries one behind the other; what has expired lives no seconds any more, or less."""
    for key, info in zip(_KEY.iter_unpack(keys), _INFO.iter_unpack(infos), strict=True):
        yield _connection(key, info, now_ns)


def _connection(key: tuple[Any, ...], info: tuple[Any, ...], now_ns: int) -> Connection:
    low, high, low_port, high_port, protocol = key
    expires_ns, *counted, source, destination, _epoch, service, flags = info
    ends = ((low, low_port), (high, high_port))
    if flags & ConnectionFlag.BEGUN_BY_HIGH:
        ends = ends[::-1]
    return Connection(
        source=_address(ends[0][0]),
        destination=_address(ends[1][0]),
        source_port=int.from_bytes(ends[0][1]),
        destination_port=int.from_bytes(ends[1][1]),
        protocol=protocol,
        service=int.from_bytes(service),
        source_identity=source,
        destination_identity=destination,
        sent_packets=counted[0],
        sent_bytes=counted[1],
        received_packets=counted[2],
        received_bytes=counted[3],
        state=_state(protocol, flags),
        refused=bool(flags & ConnectionFlag.REFUSED),
        expires_in_s=(expires_ns - now_ns) / NS_PER_S,
    )


def _address(raw: bytes) -> Address:
    return IPv4Address(raw[12:]) if raw[:12] == _V4_MAPPED else IPv6Address(raw)


def _state(protocol: int, flags: int) -> ConnectionState:
    if flags & ConnectionFlag.RESET:
        return ConnectionState.RESET
    if flags & _CLOSED_BY_BOTH == _CLOSED_BY_BOTH:
        return ConnectionState.CLOSED
    if flags & _CLOSED_BY_BOTH:
        return ConnectionState.CLOSING
    if not flags & ConnectionFlag.ANSWERED:
        return ConnectionState.OPENING
    established = protocol != _TCP or flags & ConnectionFlag.ESTABLISHED
    return ConnectionState.ESTABLISHED if established else ConnectionState.ANSWERED
