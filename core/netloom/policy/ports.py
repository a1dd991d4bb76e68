"""Services as the kernel looks them up: prefixes over protocol and port.

A *service* is a protocol and a port of which only the first ``bits`` count, of 24: none of them is any packet, 8 are
one protocol with whatever port, 24 are one port. So a longest-prefix lookup finds the narrowest service that holds a
packet, and a range of ports is a few services: the range-to-prefix decomposition of packet classifiers, at most
2 * 16 - 2 = 30 of them for 16 bits.

ICMP has types where others have ports. Ports never match ICMP, and types never match what has ports: the protocol is
part of each. Protocol numbers are IANA's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final, NamedTuple

from netloom.model.policy import Icmp, Ports, Protocol

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58
SCTP: Final = 132
PROTOCOL_BITS: Final = 8
PORT_BITS: Final = 16
SERVICE_BITS: Final = PROTOCOL_BITS + PORT_BITS
LAST_PORT: Final = (1 << PORT_BITS) - 1

_NUMBERS: Final[Mapping[Protocol, tuple[int, ...]]] = {
    Protocol.TCP: (TCP,),
    Protocol.UDP: (UDP,),
    Protocol.SCTP: (SCTP,),
    Protocol.ANY: (TCP, UDP, SCTP),
}

NamedPorts = Mapping[str, frozenset[tuple[Protocol, int]]]
"""What the names of ports stand for at one endpoint identity: more than one port where its endpoints disagree."""


class Service(NamedTuple):
    """Packets of a protocol and a range of ports, a tuple because tables are looked up by it all the time."""

    protocol: int
    """IP protocol number; 0 where ``bits`` is 0."""
    port: int
    """Destination port, or type of ICMP; bits that do not count are 0."""
    bits: int
    """0, or 8 to 24."""

    @property
    def last_port(self) -> int:
        """The highest port it holds, ``port`` being the lowest."""
        return self.port | (LAST_PORT >> max(self.bits - PROTOCOL_BITS, 0))


ANY_SERVICE: Final = Service(0, 0, 0)


def wider(service: Service, bits: int) -> Service:
    """The service of fewer bits that holds this one."""
    if bits < PROTOCOL_BITS:
        return ANY_SERVICE
    shift = SERVICE_BITS - bits
    return Service(service.protocol, service.port >> shift << shift, bits)


def holds(service: Service, packet: Service) -> bool:
    """Whether a service holds a narrower one."""
    return service.bits <= packet.bits and wider(packet, service.bits) == service


def exactly(protocol: int, port: int) -> Service:
    """The service of one packet."""
    return Service(protocol, port, SERVICE_BITS)


def port_prefixes(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The fewest (port, bits) that together are a range: from below, each as wide as alignment and end allow."""
    while first <= last:
        alignment = (first & -first).bit_length() - 1 if first else PORT_BITS
        size = min(alignment, (last - first + 1).bit_length() - 1)
        yield first, PORT_BITS - size
        first += 1 << size


@cache
def _of_range(protocol: Protocol, first: int, last: int) -> frozenset[Service]:
    """Cached, because policies name the same few ports again and again."""
    prefixes = tuple(port_prefixes(first, last))
    return frozenset(
        Service(number, port, PROTOCOL_BITS + bits) for number in _NUMBERS[protocol] for port, bits in prefixes
    )


def plain_services(wanted: Iterable[Ports | Icmp] | None) -> frozenset[Service]:
    """Services of an entry but for those that have a name for their port."""
    if wanted is None:
        return frozenset((ANY_SERVICE,))
    found: set[Service] = set()
    for item in wanted:
        if isinstance(item, Icmp):
            found.add(exactly(ICMP if item.family == 4 else ICMPV6, item.type))
        elif not item.name:
            found |= _of_range(item.protocol, item.first, item.last)
    return frozenset(found)


def named_services(wanted: Iterable[Ports], names: NamedPorts) -> frozenset[Service]:
    """What named ports stand for at an endpoint; nothing where it does not know the name for that protocol."""
    return frozenset(
        service
        for item in wanted
        for protocol, port in names.get(item.name, ())
        if item.protocol in (Protocol.ANY, protocol)
        for service in _of_range(protocol, port, port)
    )
