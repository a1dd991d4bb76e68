"""The flows seen last, kept in memory whether or not anybody listens.

What is kept of an event is its record as it came and what was known of it then; it is decoded when somebody looks. So
keeping one costs microseconds, and a storm of them costs memory that was set aside for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address

from netloom.datapath.events import decode_event
from netloom.datapath.l7_flows import l7_flow
from netloom.model.flow import Because, Flow, L7Request, Packet
from netloom.model.l7_messages import Access
from netloom.model.labels import Labels


@dataclass(slots=True, kw_only=True)
class Record:
    """One event."""

    raw: bytes
    at_ns: int
    """Wall clock when it was read."""
    source_labels: Labels = frozenset()
    destination_labels: Labels = frozenset()
    source_pod: str = ""
    destination_pod: str = ""
    endpoint_id: int = 0
    """Of the end that policies were asked for; 0 leaves it to what the event says."""
    because: Because | None = None

    def flow(self) -> Flow:
        """Decoded."""
        found = decode_event(self.raw, self.at_ns)
        return replace(
            found,
            source_labels=self.source_labels,
            destination_labels=self.destination_labels,
            source_pod=self.source_pod,
            destination_pod=self.destination_pod,
            endpoint_id=self.endpoint_id or found.endpoint_id,
            because=self.because,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request, as the proxy told of it."""

    access: Access
    source_labels: Labels = frozenset()
    destination_labels: Labels = frozenset()
    source_pod: str = ""
    destination_pod: str = ""
    endpoint_id: int = 0
    """Of the end that policies were asked for, the receiving one where both were; 0 where it is not of this node."""

    @property
    def at_ns(self) -> int:
        """Wall clock of the request."""
        return int(self.access.at * 1e9)

    def flow(self) -> Flow:
        """As other flows."""
        access = self.access
        packet = Packet(
            protocol="tcp",
            source=ip_address(access.source),
            destination=ip_address(access.destination),
            source_port=access.source_port,
            destination_port=access.destination_port,
        )
        request = L7Request(
            protocol=access.protocol,
            verdict=access.verdict,
            policy=access.policy,
            origin=access.origin,
            direction=access.direction,
            fields=access.request,
            answer=access.answer,
            latency_ns=access.latency_ns,
            why=access.why,
        )
        return replace(
            l7_flow(request, packet, (access.source_identity, access.destination_identity), self.at_ns),
            source_labels=self.source_labels,
            destination_labels=self.destination_labels,
            source_pod=self.source_pod,
            destination_pod=self.destination_pod,
            endpoint_id=self.endpoint_id,
        )


class Where(StrEnum):
    """Where events got lost."""

    RING = "ring"
    """The kernel's ring was full: the agent could not read as fast as they came."""
    UNTOLD = "untold"
    """Verdicts that allow, past what the data path tells of while nobody listens."""
    LISTENER = "listener"
    """Whoever listened read too slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Events that nobody will see, in the place where they would have been."""

    where: Where
    count: int
    at_ns: int
    """When it was noticed."""


Seen = Record | RequestRecord
Item = Seen | Loss


class FlowLog:
    """A ring of items: the oldest makes room for the newest."""

    def __init__(self, size: int) -> None:
        self._items: deque[Item] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._items)

    def extend(self, items: Iterable[Item]) -> None:
        """Take items up, oldest first."""
        self._items.extend(items)

    def items(self) -> tuple[Item, ...]:
        """What is there now, oldest first."""
        return tuple(self._items)

    def recent(self) -> Iterator[Flow]:
        """The flows that are there now, oldest first; each is decoded when it is asked for."""
        return (item.flow() for item in self.items() if not isinstance(item, Loss))

    def requests(self) -> Iterator[Flow]:
        """Those among them that the proxy told of."""
        return (item.flow() for item in self.items() if isinstance(item, RequestRecord))
