"""Learnt routes in the kernel's main table: read and written many at a time.

They carry a protocol number and a metric of their own, so the kernel itself sorts them out of a dump, and a deletion
cannot hit a route of anybody else's. No device is named: the one that leads to the next hops is the kernel's to find.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import RTM_DELROUTE, RTM_NEWROUTE

from netloom.edge.messages import HEADER_BYTES, attribute, attributes, number, route_header
from netloom.edge.ownership import LEARNED_METRIC, LEARNED_PROTOCOL
from netloom.edge.paths import Path, Question, RouteKind, find_path
from netloom.edge.routes import (
    ATTRIBUTES_AT,
    GONE,
    NO_WAY,
    RT_SCOPE_ANY,
    RTA_DST,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTN_UNICAST,
    gateways,
    list_routes,
    next_hops,
)
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.model.address import Address, Family
from netloom.model.errors import KernelError
from netloom.plan.learned import Hops, Key

_LENGTH_AT = HEADER_BYTES + 1
"""Where a route message has the length of its prefix."""
_METRIC = number(RTA_PRIORITY, LEARNED_METRIC)
_METRIC_VALUE = struct.pack("=I", LEARNED_METRIC)
_FAMILIES: Final[tuple[tuple[Family, bytes], ...]] = ((4, bytes(4)), (6, bytes(16)))
"""IP versions, each with the address that the kernel leaves out of a default route."""


@dataclass(frozen=True, slots=True)
class Put:
    """A route to write."""

    key: Key
    hops: Hops
    replace: bool
    """Whether it takes the place of one of ours; else the prefix must be free at our metric."""


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    refused: dict[Key, str] = field(default_factory=dict)
    """Why a route was not written; without the prefix, since many have the same reason."""
    reduced: dict[Key, Hops] = field(default_factory=dict)
    """Routes that were written with those of their next hops that can be reached now."""


class LearnedTable:
    """The learnt routes of the namespace of the thread that makes it. Every method raises KernelError."""

    def __init__(self, sock: RtnlSocket | None = None, sources: Iterable[Address] = ()) -> None:
        """``sock``: one to use, which then is not closed with the table's.

        ``sources``: at most one address of this node for each IP version, which its own packets are to come from,
        whichever device a route takes: others know the node by it.
        """
        self._socket = sock or RtnlSocket()
        self._sources = {len(source.packed) + 1: attribute(RTA_PREFSRC, source.packed) for source in sources}

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self._socket.close()

    def read(self) -> dict[Key, Hops]:
        """All there are; next hops dead or alive."""
        found: dict[Key, Hops] = {}
        shared: dict[Hops, Hops] = {}
        for family, empty in _FAMILIES:
            for raw in self._socket.dump(list_routes(family, LEARNED_PROTOCOL)):
                said = dict(attributes(raw, ATTRIBUTES_AT))
                if said.get(RTA_PRIORITY) == _METRIC_VALUE:
                    hops = tuple(sorted(gateways(said)))
                    key = raw[_LENGTH_AT : _LENGTH_AT + 1] + said.get(RTA_DST, empty)
                    found[key] = shared.setdefault(hops, hops)
        return found

    def digest(self) -> bytes:
        """The same as long as nobody changes any; costs an eighth of :meth:`read`."""
        return b"".join(self._socket.digest(list_routes(family, LEARNED_PROTOCOL)) for family, _ in _FAMILIES)

    def write(self, puts: Sequence[Put], deletes: Iterable[Key]) -> Outcome:
        """Write, then delete; no error when what is to be deleted is gone. What is refused harms nothing else."""
        outcome = Outcome()
        self._put(puts, outcome)
        self._socket.batch(_deletion(key) for key in deletes)
        return outcome

    def _put(self, puts: Sequence[Put], outcome: Outcome) -> None:
        errors = self._socket.attempt(map(self._addition, puts))
        again: list[Put] = []
        reachable: dict[bytes, bool] = {}
        for put, error in zip(puts, errors, strict=True):
            if error is None:
                continue
            hops = self._reachable(put.hops, reachable) if error.errno in NO_WAY else ()
            if 0 < len(hops) < len(put.hops):
                again.append(Put(put.key, hops, put.replace))
                outcome.reduced[put.key] = hops
            else:
                outcome.refused[put.key] = _reason(put.hops, error)
        for put, error in zip(again, self._socket.attempt(map(self._addition, again)), strict=True):
            if error is not None:
                outcome.reduced.pop(put.key)
                outcome.refused[put.key] = _reason(put.hops, error)

    def _addition(self, put: Put) -> Request:
        body = route_header(
            family=_family(put.key), prefix_len=put.key[0], protocol=LEARNED_PROTOCOL, kind=RTN_UNICAST
        ) + attribute(RTA_DST, put.key[1:])
        body += _METRIC + next_hops(put.hops) + self._sources.get(len(put.key), b"")
        flags = NLM_F_CREATE | (NLM_F_REPLACE if put.replace else NLM_F_EXCL)
        return Request("write", "learnt route", RTM_NEWROUTE, body, flags)

    def _reachable(self, hops: Hops, known: dict[bytes, bool]) -> Hops:
        """Those that stand in a segment whose device is up."""
        for hop in hops:
            if hop not in known:
                path = find_path(self._socket, Question(destination=ip_address(hop)))
                known[hop] = isinstance(path, Path) and path.kind is RouteKind.UNICAST and path.via is None
        return tuple(hop for hop in hops if known[hop])


def delete_learned_routes(sock: RtnlSocket) -> int:
    """Remove all there are; says how many. Raises KernelError."""
    table = LearnedTable(sock)
    found = table.read()
    table.write((), found)
    return len(found)


def _deletion(key: Key) -> Request:
    body = route_header(
        family=_family(key), prefix_len=key[0], protocol=LEARNED_PROTOCOL, scope=RT_SCOPE_ANY
    ) + attribute(RTA_DST, key[1:])
    return Request("delete", "learnt route", RTM_DELROUTE, body + _METRIC, accept=GONE)


def _reason(hops: Hops, error: KernelError) -> str:
    if error.errno == errno.EEXIST:
        return f"somebody else has a route to it with metric {LEARNED_METRIC}; remove that one"
    if error.errno in NO_WAY:
        names = ", ".join(str(ip_address(hop)) for hop in hops)
        return f"no segment this node stands in, with its device up, holds next hop {names}"
    return f"the kernel says: {os.strerror(error.errno)} (errno {error.errno})"


def _family(key: Key) -> int:
    return socket.AF_INET if len(key) == 5 else socket.AF_INET6
