"""Learnt routes in the kernel's main table: read and written many at a time.

They carry a protocol number and a metric of their own, so the kernel itself sorts them out of a dump, and a deletion
cannot hit a route of anybody else's. No device is named: the one that leads to the next hops is the kernel's to find.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address

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
    RTA_METRICS,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTN_UNICAST,
    gateways,
    list_routes,
    next_hops,
)
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.edge.strangers import Strangers
from netloom.model.address import Address, Family
from netloom.model.errors import KernelError
from netloom.plan.learned import Hops, Key

_LENGTH_AT = HEADER_BYTES + 1
"""Where a route message has the length of its prefix."""
_METRIC = number(RTA_PRIORITY, LEARNED_METRIC)
_TAKEN = f"somebody else has a route to it with metric {LEARNED_METRIC}; remove that one"
_METRIC_VALUE = struct.pack("=I", LEARNED_METRIC)


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
        whichever device a route takes: others know the node by it. While the node has lost it, routes do without: the
        packets of pods do not need it.
        """
        self._socket = sock or RtnlSocket()
        self._strangers = Strangers()
        self._sources = {len(source.packed) + 1: source for source in sources}
        self._usable: dict[int, bytes] = {}
        """Of these, by length of the keys they are for, what the node had at the last look."""

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self._socket.close()
        self._strangers.close()

    def read(self) -> dict[Key, Hops]:
        """All there are; next hops dead or alive, none where a route is not as this table would write it.

        Read before the first write, and again when addresses of the node may have come or gone.
        """
        found: dict[Key, Hops] = {}
        self._strangers.prepare(self._socket)
        self._usable = {size: source.packed for size, source in self._sources.items() if self._is_here(source)}
        shared: dict[Hops, Hops] = {}
        for key, said in _dump(self._socket):
            as_written = said.get(RTA_PREFSRC) == self._usable.get(len(key)) and RTA_METRICS not in said
            hops = tuple(sorted(gateways(said))) if as_written else ()
            found[key] = shared.setdefault(hops, hops)
        return found

    def write(self, puts: Sequence[Put], deletes: Iterable[Key]) -> Outcome:
        """Write, then delete; no error when what is to be deleted is gone. What is refused harms nothing else."""
        outcome = Outcome()
        taken = self._strangers.among(self._socket, {put.key for put in puts if put.replace})
        outcome.refused = dict.fromkeys(taken, _TAKEN)
        self._put([put for put in puts if put.key not in taken] if taken else puts, outcome)
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
                away = tuple(hop for hop in put.hops if hop not in hops) if error.errno in NO_WAY else ()
                outcome.refused[put.key] = _reason(away, error)
        for put, error in zip(again, self._socket.attempt(map(self._addition, again)), strict=True):
            if error is not None:
                outcome.reduced.pop(put.key)
                outcome.refused[put.key] = _reason((), error)

    def _addition(self, put: Put) -> Request:
        body = route_header(
            family=_family(put.key), prefix_len=put.key[0], protocol=LEARNED_PROTOCOL, kind=RTN_UNICAST
        ) + attribute(RTA_DST, put.key[1:])
        body += _METRIC + _way(put.hops)
        if source := self._usable.get(len(put.key)):
            body += attribute(RTA_PREFSRC, source)
        flags = NLM_F_CREATE | (NLM_F_REPLACE if put.replace else NLM_F_EXCL)
        return Request("write", "learnt route", RTM_NEWROUTE, body, flags)

    def _is_here(self, source: Address) -> bool:
        path = find_path(self._socket, Question(destination=source))
        return isinstance(path, Path) and path.kind is RouteKind.LOCAL

    def _reachable(self, hops: Hops, known: dict[bytes, bool]) -> Hops:
        """Those that stand in a segment whose device is up."""
        for hop in hops:
            if hop not in known:
                path = find_path(self._socket, Question(destination=ip_address(hop)))
                known[hop] = isinstance(path, Path) and path.kind is RouteKind.UNICAST and path.via is None
        return tuple(hop for hop in hops if known[hop])


def delete_learned_routes(sock: RtnlSocket) -> int:
    """Remove all there are; says how many. Raises KernelError."""
    found = [key for key, _ in _dump(sock)]
    sock.batch(map(_deletion, found))
    return len(found)


def _dump(sock: RtnlSocket) -> Iterator[tuple[Key, dict[int, bytes]]]:
    """Every learnt route with its attributes."""
    families: tuple[tuple[Family, bytes], ...] = ((4, b"\0" * 4), (6, b"\0" * 16))
    for family, empty in families:
        for raw in sock.dump(list_routes(family, LEARNED_PROTOCOL)):
            said = dict(attributes(raw, ATTRIBUTES_AT))
            if said.get(RTA_PRIORITY) == _METRIC_VALUE:
                yield raw[_LENGTH_AT : _LENGTH_AT + 1] + said.get(RTA_DST, empty), said


@lru_cache(maxsize=1024)
def _way(hops: Hops) -> bytes:
    """As next_hops: thousands of routes lead by the same few."""
    return next_hops(hops)


def _deletion(key: Key) -> Request:
    body = route_header(
        family=_family(key), prefix_len=key[0], protocol=LEARNED_PROTOCOL, scope=RT_SCOPE_ANY
    ) + attribute(RTA_DST, key[1:])
    return Request("delete", "learnt route", RTM_DELROUTE, body + _METRIC, accept=GONE)


def _reason(away: Hops, error: KernelError) -> str:
    """``away``: next hops that cannot be reached."""
    if error.errno == errno.EEXIST:
        return _TAKEN
    if away:
        names = ", ".join(str(ip_address(hop)) for hop in away)
        return f"no segment this node stands in, with its device up, holds next hop {names}"
    return f"the kernel says: {os.strerror(error.errno)} (errno {error.errno})"


def _family(key: Key) -> int:
    return socket.AF_INET if len(key) == 5 else socket.AF_INET6
