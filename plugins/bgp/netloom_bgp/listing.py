"""Which routes of a table people are shown: in order, from somewhere on, no more than they ask for. Pure.

GoBGP gives all prefixes of a table, in no order. What is not shown is counted, and neither decoded nor kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from netloom.model.address import Network
from netloom.model.errors import Invalid
from netloom_bgp.places import Place, place, place_of, text_of

if TYPE_CHECKING:
    from netloom_bgp.api import gobgp_pb2 as pb

VIEWS: Final = ("best", "available", "advertised")
PARAMETERS: Final = ("view", "peer", "prefix", "limit", "after")
DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 20_000
"""Of one answer, which somebody waits for; ``after`` asks for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question for routes."""

    view: str = VIEWS[0]
    peer: str = ""
    """Address of the one they are of; "" for all."""
    within: Network | None = None
    """They lead to this prefix, or to parts of it."""
    after: Place = b""
    """They stand behind this one."""
    limit: int = DEFAULT_LIMIT


def asked(parameters: Mapping[str, str]) -> Asked:
    """The question of a request. Raises Invalid."""
    view, limit = parameters.get("view", VIEWS[0]), parameters.get("limit") or str(DEFAULT_LIMIT)
    if view not in VIEWS:
        raise Invalid(f'view "{view}", expected one of {", ".join(VIEWS)}')
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= MAX_LIMIT):
        raise Invalid(f'limit "{limit[:40]}", expected a number from 1 to {MAX_LIMIT}; "after" asks for what follows')
    after = _prefix("after", parameters)
    return Asked(
        view=view,
        peer=parameters.get("peer", ""),
        within=_prefix("prefix", parameters),
        after=b"" if after is None else place_of(after),
        limit=int(limit),
    )


class Listing:
    """Takes a table piece by piece; holds no more than twice what is shown."""

    def __init__(self, question: Asked) -> None:
        self.total = 0
        """Routes that were asked for, whether they are shown or not."""
        self._asked = question
        self._kept: list[tuple[Place, list[pb.Path]]] = []
        self._routes = 0
        """In ``_kept``."""
        self._last: Place = b"\xff"
        """What stands behind this is not shown."""
        self._more = False
        first, last, self._length = b"", b"\xff", 0
        if (within := question.within) is not None:
            version = bytes((within.version,))
            first, last = version + within.network_address.packed, version + within.broadcast_address.packed
            self._length = within.prefixlen
        self._bounds = first, last

    def take(self, destinations: Iterable[pb.Destination]) -> None:
        """Some prefixes with their paths."""
        (first, last), after, length = self._bounds, self._asked.after, self._length
        for destination in destinations:
            address, _, size = destination.prefix.partition("/")
            at = place(address, int(size))
            if not (first <= at[:-1] <= last and at[-1] >= length):
                continue
            paths = self._wanted(destination)
            self.total += len(paths)
            if not paths or at <= after:
                continue
            if at > self._last:
                self._more = True
                continue
            self._kept.append((at, paths))
            self._routes += len(paths)
        if self._routes > 2 * self._asked.limit:
            self._cut()

    def page(self) -> tuple[list[tuple[str, pb.Path]], str]:
        """The routes in order, each behind its prefix; and the last of these when more stand behind it, else ""."""
        self._cut()
        routes = [(text_of(at), path) for at, paths in self._kept for path in paths]
        return routes, routes[-1][0] if self._more else ""

    def _wanted(self, destination: pb.Destination) -> list[pb.Path]:
        if self._asked.view != "best":
            return list(destination.paths)
        peer = self._asked.peer
        return [path for path in destination.paths if path.best and peer in ("", path.neighbor_ip)]

    def _cut(self) -> None:
        """Keep the first ones; all of a prefix stay together, since what follows is asked for by prefix."""
        self._kept.sort(key=itemgetter(0))
        routes = 0
        for number, (at, paths) in enumerate(self._kept):
            if routes >= self._asked.limit and at != self._kept[number - 1][0]:
                self._more = True
                self._last = self._kept[number - 1][0]
                del self._kept[number:]
                break
            routes += len(paths)
        self._routes = routes


def _prefix(name: str, parameters: Mapping[str, str]) -> Network | None:
    if not (text := parameters.get(name, "")):
        return None
    try:
        return ip_network(text)
    except ValueError as error:
        raise Invalid(f'{name} "{text[:60]}", expected a prefix such as 10.1.0.0/16: {error}') from None
