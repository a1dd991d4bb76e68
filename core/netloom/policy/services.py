"""Ports and ICMP types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from netloom.config.scalars import kind_of
from netloom.config.schema import closest
from netloom.model.address import Family
from netloom.model.policy import Icmp, Ports, Protocol
from netloom.policy.fields import Place, Shape

MAX_PORT = 65535
MAX_ICMP_TYPE = 255
_PORT = Shape(("port", "endPort", "protocol"))
_ICMP = Shape(("family", "type"))
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](-?[a-z0-9]){0,14}")
_NAME_WORDS = "a name of at most 15 lower-case letters, digits and single - with at least one letter"
_OTHER_PROTOCOLS = MappingProxyType({
    "ICMP": "types of ICMP are written under icmps",
    "ICMPv6": "types of ICMPv6 are written under icmps, with family IPv6",
    "VRRP": "only TCP, UDP and SCTP have ports",
    "IGMP": "only TCP, UDP and SCTP have ports",
})  # fmt: skip


class _KubernetesProtocol(StrEnum):
    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


@dataclass(frozen=True, slots=True)
class PortStyle:
    """How a kind of policy writes ports."""

    default: Protocol
    protocols: type[StrEnum]
    lowest: int
    """Lowest port; in Cilium's kinds 0 stands for every port."""
    quoted: bool
    """Whether a number may stand in quotes, as text."""
    expected: str


CILIUM_PORTS = PortStyle(Protocol.ANY, Protocol, 0, quoted=True, expected="a port from 0 to 65535, 0 for all")
KUBERNETES_PORTS = PortStyle(
    Protocol.TCP, _KubernetesProtocol, 1, quoted=False, expected="a port from 1 to 65535 without quotes"
)


def ports(place: Place, style: PortStyle) -> tuple[Ports, ...]:
    """One port, range of ports, name of a port, or all ports of a protocol."""
    fields = place.fields(_PORT)
    protocol = style.default
    if written := fields.get("protocol"):
        word = written.word(style.protocols, refused=_OTHER_PROTOCOLS)
        protocol = Protocol(word) if word else protocol
    port, end = fields.get("port"), fields.get("endPort")
    last = _end_port(end, style) if end else 0
    if port is None:
        if end and last:
            end.refuse("a port with it", "an endPort without port")
        return (Ports(protocol),)
    first = _number(port, style)
    if first is None:
        return _named(port, protocol, style, end if last else None)
    if end and last:
        _check_range(end, first, last)
    if first == 0:
        return (Ports(protocol),)
    return (Ports(protocol, first, last or first),)


def _number(place: Place, style: PortStyle) -> int | None:
    """The number of a port; None when it may be a name."""
    number = place.number(quoted=style.quoted)
    if number is not None and not style.lowest <= number <= MAX_PORT:
        place.refuse(style.expected)
        return MAX_PORT
    return number


def _named(place: Place, protocol: Protocol, style: PortStyle, end: Place | None) -> tuple[Ports, ...]:
    expected = f"{style.expected}, or {_NAME_WORDS}"
    if kind_of(place.node) != "str":  # "in quotes" would be the wrong advice for a number
        place.refuse(expected)
        return ()
    if end:
        end.refuse("none: a range goes from number to number", "an endPort with a named port")
    # Cilium does not tell upper from lower case here; Kubernetes has none of the former.
    name = place.text(expected).lower() if style.quoted else place.text(expected)
    if not _NAME.fullmatch(name):
        place.refuse(expected)
    return (Ports(protocol, name=name),)


def _end_port(place: Place, style: PortStyle) -> int:
    """The last port of a range; 0 when there is none."""
    number = place.number(quoted=False)
    if number is None or not style.lowest <= number <= MAX_PORT:
        place.refuse("a port from 1 to 65535 without quotes")
        return 0
    return number


def _check_range(end: Place, first: int, last: int) -> None:
    if first == 0:
        end.refuse("none: port 0 is every port already", "an endPort with port 0")
    elif last < first:
        end.refuse(f"a port not below {first}, with which the range begins")


def icmp(place: Place) -> tuple[Icmp, ...]:
    """One type of ICMP or ICMPv6, by number or by name."""
    fields = place.fields(_ICMP)
    family: Family = 4
    if (written := fields.get("family")) and written.word(_IcmpFamily) is _IcmpFamily.IPV6:
        family = 6
    kind = fields.get("type")
    if kind is None:
        place.refuse("type", "nothing")
        return ()
    number = kind.number(quoted=True)
    if number is not None and number <= MAX_ICMP_TYPE:
        return (Icmp(family, number),)
    names = ICMP_TYPES[family]
    expected = f"a number from 0 to {MAX_ICMP_TYPE}, or a name of an {'ICMP' if family == 4 else 'ICMPv6'} type"
    if number is not None or kind_of(kind.node) != "str":
        kind.refuse(expected)
        return ()
    name = kind.text()
    if name not in names:
        kind.refuse(expected + closest(name[:60], names))
        return ()
    return (Icmp(family, names[name]),)


class _IcmpFamily(StrEnum):
    IPV4 = "IPv4"
    IPV6 = "IPv6"


ICMP_TYPES: Mapping[Family, Mapping[str, int]] = {
    4: {
        "EchoReply": 0,
        "DestinationUnreachable": 3,
        "Redirect": 5,
        "Echo": 8,
        "EchoRequest": 8,
        "RouterAdvertisement": 9,
        "RouterSelection": 10,
        "TimeExceeded": 11,
        "ParameterProblem": 12,
        "Timestamp": 13,
        "TimestampReply": 14,
        "Photuris": 40,
        "ExtendedEchoRequest": 42,
        "ExtendedEchoReply": 43,
    },
    6: {
        "DestinationUnreachable": 1,
        "PacketTooBig": 2,
        "TimeExceeded": 3,
        "ParameterProblem": 4,
        "EchoRequest": 128,
        "EchoReply": 129,
        "MulticastListenerQuery": 130,
        "MulticastListenerReport": 131,
        "MulticastListenerDone": 132,
        "RouterSolicitation": 133,
        "RouterAdvertisement": 134,
        "NeighborSolicitation": 135,
        "NeighborAdvertisement": 136,
        "RedirectMessage": 137,
        "RouterRenumbering": 138,
        "ICMPNodeInformationQuery": 139,
        "ICMPNodeInformationResponse": 140,
        "InverseNeighborDiscoverySolicitation": 141,
        "InverseNeighborDiscoveryAdvertisement": 142,
        "HomeAgentAddressDiscoveryRequest": 144,
        "HomeAgentAddressDiscoveryReply": 145,
        "MobilePrefixSolicitation": 146,
        "MobilePrefixAdvertisement": 147,
        "DuplicateAddressRequestCodeSuffix": 157,
        "DuplicateAddressConfirmationCodeSuffix": 158,
        "ExtendedEchoRequest": 160,
        "ExtendedEchoReply": 161,
    },
}
"""Names of types, as policies may write them: those of the IANA registries, in one word."""
