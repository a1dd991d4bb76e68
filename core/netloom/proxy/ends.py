"""Who is at both ends of a connection: what eBPF noted of it when it began."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from netloom.bpf.maps import BpfMap, open_pinned
from netloom.datapath.connection_records import beginning, key_of
from netloom.datapath.connections import CONNECTIONS_TCP, ConnectionInfo, ConnectionKey
from netloom.model.address import Address
from netloom.model.errors import KernelError, MapLayoutMismatch
from netloom.proxy.access import members
from netloom.proxy.rules import Ends

REOPEN_S: Final = 1.0
_TCP: Final = 6

Identify = Callable[[Address, int, Address, int], tuple[int, int] | None]
"""Identities of source and destination by their addresses and ports; None when the connection is not known."""


class PinnedConnections:
    """The node's table of connections. An agent may put another in its place: a miss has it opened again."""

    def __init__(self, pin_dir: Path) -> None:
        self._path = pin_dir / CONNECTIONS_TCP.pin_name
        self._map: BpfMap[ConnectionKey, ConnectionInfo] | None = None
        self._opened_at = -REOPEN_S

    def __call__(
        self, source: Address, source_port: int, destination: Address, destination_port: int
    ) -> tuple[int, int] | None:
        """As :data:`Identify`."""
        key, is_second = key_of((source, source_port), (destination, destination_port), _TCP)
        found = self._look_up(key)
        if found is None and self._reopen():
            found = self._look_up(key)
        if found is None:
            return None
        source_identity, destination_identity, begun_by_second = beginning(found)
        return (source_identity, destination_identity) if begun_by_second is is_second else None

    def close(self) -> None:
        """Let go of the map."""
        if self._map:
            self._map.close()
        self._map = None

    def _look_up(self, key: ConnectionKey) -> bytes | None:
        try:
            return self._map.get_raw(key) if self._map else None
        except KernelError:
            return None

    def _reopen(self) -> bool:
        now = time.monotonic()
        if now - self._opened_at < REOPEN_S:
            return False
        self._opened_at = now
        self.close()
        try:
            self._map = open_pinned(self._path, CONNECTIONS_TCP)
        except (KernelError, MapLayoutMismatch):
            return False
        return True


def ends_of(identify: Identify, source: tuple[object, ...], destination: tuple[object, ...]) -> Ends | None:
    """Both ends by their socket addresses; None when nobody knows the connection."""
    here, there = _address(str(source[0])), _address(str(destination[0]))
    source_port, destination_port = int(str(source[1])), int(str(destination[1]))
    identities = identify(here, source_port, there, destination_port)
    return identities and _ends(here, source_port, there, destination_port, identities)


def renewed(ends: Ends, identify: Identify) -> Ends:
    """With the identities that the ends have by now; those they had where the connection is not known any more."""
    between = ends.source, ends.source_port, ends.destination, ends.destination_port
    identities = identify(*between)
    return _ends(*between, identities) if identities else ends


def _ends(
    source: Address, source_port: int, destination: Address, destination_port: int, identities: tuple[int, int]
) -> Ends:
    told = members(
        source_identity=identities[0],
        destination_identity=identities[1],
        source=str(source),
        destination=str(destination),
        source_port=source_port,
        destination_port=destination_port,
    )
    return Ends(
        source=source,
        source_port=source_port,
        source_identity=identities[0],
        destination=destination,
        destination_port=destination_port,
        destination_identity=identities[1],
        told=told,
    )


@lru_cache(maxsize=4096)
def _address(text: str) -> Address:
    """Without the scope of a link-local one."""
    return ip_address(text.partition("%")[0])
