"""Flows that were seen, for questions about other policies: from the connections that live, and from recent events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from netloom.model.address import Address
from netloom.model.flow import Flow
from netloom.model.identity import IdentityId
from netloom.policy.explain import End
from netloom.policy.questions import PROTOCOLS
from netloom.policy.replay import SeenRequest
from netloom.policy.whatif import Seen

NEW = "new"
"""How an event stands to its connection when it is about its first packet."""


class LiveConnection(Protocol):
    """A connection of this node; its source is whoever began it."""

    @property
    def source(self) -> Address:
        """Whoever began it."""
        ...

    @property
    def destination(self) -> Address:
        """The other end."""
        ...

    @property
    def source_port(self) -> int:
        """0 where the protocol has none."""
        ...

    @property
    def protocol(self) -> int | str:
        """Number, or name as in events."""
        ...

    @property
    def service(self) -> int:
        """Destination port, or type of ICMP."""
        ...

    @property
    def source_identity(self) -> int:
        """As the data path knows it."""
        ...

    @property
    def destination_identity(self) -> int:
        """As the data path knows it."""
        ...


class SeenPacket(Protocol):
    """The packet of an event."""

    @property
    def source_port(self) -> int | None:
        """None where the protocol has none, or it could not be read."""
        ...

    @property
    def protocol(self) -> str:
        """Number, or name as in events."""
        ...

    @property
    def source(self) -> Address | None:
        """Whoever began it."""
        ...

    @property
    def destination(self) -> Address | None:
        """The other end."""
        ...


class SeenEvent(Protocol):
    """An event of the data path, as the monitor keeps it."""

    @property
    def source_identity(self) -> int:
        """As the data path knows it."""
        ...

    @property
    def destination_identity(self) -> int:
        """As the data path knows it."""
        ...

    @property
    def tracking(self) -> str:
        """``new``, ``reply``, ..."""
        ...

    @property
    def service(self) -> int:
        """Destination port, or type of ICMP."""
        ...

    @property
    def packet(self) -> SeenPacket:
        """What could be read of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSource:
    """One place where flows are seen."""

    name: str
    """In words, for answers: ``connections``."""
    read: Callable[[], Iterable[Seen]]
    """Called in a thread. One flow may be there more than once: each end that is asked makes an event of its own."""


def connections(live: Callable[[], Iterable[LiveConnection]]) -> SeenSource:
    """Connections that live."""

    def read() -> Iterator[Seen]:
        for one in live():
            number = protocol_number(one.protocol)
            if number is not None:
                ends = _end(one.source_identity, one.source), _end(one.destination_identity, one.destination)
                yield Seen(*ends, (number, one.service), one.source_port)

    return SeenSource(name="connections", read=read)


def events(recent: Callable[[], Iterable[SeenEvent]]) -> SeenSource:
    """First packets of connections, those that were dropped too."""

    def read() -> Iterator[Seen]:
        for event in recent():
            number, packet = protocol_number(event.packet.protocol), event.packet
            if event.tracking == NEW and number is not None and packet.source and packet.destination:
                ends = _end(event.source_identity, packet.source), _end(event.destination_identity, packet.destination)
                yield Seen(*ends, (number, event.service), packet.source_port or 0)

    return SeenSource(name="events", read=read)


def requests(recent: Callable[[], Iterable[Flow]]) -> Iterator[SeenRequest]:
    """Requests that this node's proxy has told of; not connections that broke."""
    for flow in recent():
        packet, request = flow.packet, flow.request
        if request is None or request.verdict == "error" or packet.source is None or packet.destination is None:
            continue
        ends = _end(flow.source_identity, packet.source), _end(flow.destination_identity, packet.destination)
        yield SeenRequest(*ends, packet.destination_port or 0, request.protocol, tuple(request.fields.items()))


def protocol_number(protocol: int | str) -> int | None:
    """IP protocol number of what events call it; None for what is not IP."""
    if isinstance(protocol, int):
        return protocol
    known = PROTOCOLS.get(protocol)
    return int(protocol) if known is None and protocol.isdigit() else known


def _end(identity: int, address: Address) -> End:
    return End(IdentityId(identity), address)
