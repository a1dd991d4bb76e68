"""Who reaches whom on which services: tables of both ends laid over each other. Plain data; others draw it.

The ports of a protocol fall into ranges within which no entry of the slices concerned begins or ends, so one packet
of each range answers for all of it. Pairs whose slices are the same objects have the same answer, which is worked
out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from netloom.policy.explain import End
from netloom.policy.ports import ICMP, ICMPV6, LAST_PORT, SCTP, TCP, UDP, exactly
from netloom.policy.repository import Repository
from netloom.policy.selection import has_policy
from netloom.policy.table import DirectionTable, Isolation, Remote, Slice, Verdict, goes_by_proxy, judge, together

OTHER: Final = 255
"""Stands for every protocol without ports or types of its own here; IANA keeps the number free."""
ANY: Final = 0
"""Stands for all protocols, where they are alike."""
PROTOCOLS: Final = (TCP, UDP, SCTP, ICMP, ICMPV6, OTHER)
LAST_OF: Final = {TCP: LAST_PORT, UDP: LAST_PORT, SCTP: LAST_PORT, ICMP: 255, ICMPV6: 255, OTHER: 0}
"""The highest port or type of each."""


@dataclass(frozen=True, slots=True, order=True)
class Reach:
    """Services on which one end reaches another."""

    protocol: int
    """IP protocol number, OTHER or ANY."""
    first: int
    last: int
    """Ports, or types of ICMP; 0 and 65535 when the protocol is ANY."""
    audited: bool
    """Whether they pass only because who would deny them is an audit policy."""
    by_proxy: bool = False
    """Whether they pass by way of the proxy, which judges or tells of each request."""


class Passing(NamedTuple):
    """How a port passes, as :class:`Reach` says of services."""

    audited: bool
    by_proxy: bool = False


State = Passing | None
"""Of a port; None: it does not pass."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One pair of ends."""

    source: End
    destination: End
    reach: tuple[Reach, ...]
    """Sorted; empty: nothing passes."""


_Side = tuple[Isolation, tuple[Slice, ...]]
"""What judges a packet at one end."""


def matrix(repository: Repository, ends: Sequence[End]) -> tuple[Cell, ...]:
    """Every end to every other, and to one of its own kind; only replies are left out."""
    tables = {
        end.identity: repository.table(end.identity) for end in ends if has_policy(repository.labels_of(end.identity))
    }
    remotes = {end: repository.remote(end.identity, end.address) for end in ends}
    known: dict[tuple[object, ...], tuple[Reach, ...]] = {}
    cells = []
    for source in ends:
        for destination in ends:
            sides = []
            if source.identity in tables:
                sides.append(_side(tables[source.identity].egress, remotes[destination]))
            if destination.identity in tables:
                sides.append(_side(tables[destination.identity].ingress, remotes[source]))
            key = tuple((isolation, tuple(map(id, slices))) for isolation, slices in sides)
            if key not in known:
                known[key] = put_together({protocol: tuple(_ranges(protocol, sides)) for protocol in PROTOCOLS})
            cells.append(Cell(source, destination, known[key]))
    return tuple(cells)


def _side(one: DirectionTable, remote: Remote) -> _Side:
    return one.isolation, tuple(one.slices[peer] for peer in remote.peers if peer in one.slices)


def put_together(found: Mapping[int, tuple[Reach, ...]]) -> tuple[Reach, ...]:
    """Ranges of every protocol, sorted; all protocols in one where they are alike."""
    states = {Passing(one.audited, one.by_proxy) for ranges in found.values() for one in ranges}
    if len(states) == 1 and all(_is_whole(protocol, ranges) for protocol, ranges in found.items()):
        return (Reach(ANY, 0, LAST_PORT, *states.pop()),)
    return tuple(reach for protocol in sorted(found) for reach in found[protocol])


def _is_whole(protocol: int, ranges: tuple[Reach, ...]) -> bool:
    return len(ranges) == 1 and (ranges[0].first, ranges[0].last) == (0, LAST_OF[protocol])


def ranges_of(protocol: int, edges: Iterable[int], state: Callable[[int], State]) -> Iterator[Reach]:
    """Ports that pass, neighbours of the same state put together; states change at ``edges`` and nowhere else."""
    last = LAST_OF[protocol]
    begun: tuple[int, Passing] | None = None
    for start in sorted(start for start in {0, *edges} if start <= last):
        now = state(start)
        if begun is not None and now != begun[1]:
            yield Reach(protocol, begun[0], start - 1, *begun[1])
            begun = None
        if begun is None and now is not None:
            begun = start, now
    if begun is not None:
        yield Reach(protocol, begun[0], last, *begun[1])


def _ranges(protocol: int, sides: Sequence[_Side]) -> Iterator[Reach]:
    def state(port: int) -> State:
        verdict, by_proxy = _verdict(sides, protocol, port)
        return Passing(verdict.is_audited, by_proxy) if verdict.passes else None

    return ranges_of(protocol, _edges(protocol, sides), state)


def _edges(protocol: int, sides: Sequence[_Side]) -> Iterable[int]:
    """Where an entry of this protocol begins, or the port behind it."""
    for _, slices in sides:
        for one in slices:
            for service in one.entries:
                if service.bits and service.protocol == protocol:
                    yield from (service.port, service.last_port + 1)


def _verdict(sides: Sequence[_Side], protocol: int, port: int) -> tuple[Verdict, bool]:
    """And whether what passes goes by way of the proxy."""
    packet = exactly(protocol, port)
    verdicts, by_proxy = [], False
    for isolation, slices in sides:
        effects = 0
        for one in slices:
            match = one.match(packet)
            effects |= match[1].effects if match else 0
        verdicts.append(judge(effects, isolation))
        by_proxy |= goes_by_proxy(effects)
    return together(*verdicts), by_proxy
