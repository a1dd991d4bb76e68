"""Racks of a lab, worked out from a few numbers: top-of-rack routers, cables, the spine between them. Pure.

Every node has several cables to its rack's router (ToR), each a network of its own with two ends, and an address that
stands on none of them. The routers meet on the spine, a bridge, where a route reflector tells each what the others
know; the spine's namespace is the way to the world, too. Hosts are written alike in both families.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

DEFAULT_ASN = 65000
DEFAULT_UPLINKS = 2
MAX_RACKS = 16
MAX_UPLINKS = 8
SPINE_V4 = IPv4Interface("172.20.0.1/24")
SPINE_V6 = IPv6Interface("fd00:20::1/64")
"""Of the spine's own end, which is the reflector's address and the routers' way to the world."""
CABLES_V4 = IPv4Network("172.20.0.0/16")
CABLES_V6 = IPv6Network("fd00:20::/32")
"""What all cables and the spine are taken from."""
_FIRST_TOR_HOST = 10
_CABLE_HOSTS = 4
"""Addresses of a cable's IPv4 network, a /30."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RackSpec:
    """What the user asks for."""

    name: str
    nodes: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """Between a node and its rack's router: a network of two ends in each family."""

    device: str
    """The node's end."""
    port: str
    """The router's end."""
    node_ipv4: IPv4Interface
    node_ipv6: IPv6Interface
    tor_ipv4: IPv4Interface
    tor_ipv6: IPv6Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class LabTor:
    """A rack's router."""

    name: str
    netns: str
    rack: str
    asn: int
    ipv4: IPv4Interface
    """On the spine; its router id too."""
    ipv6: IPv6Interface
    port: str
    """Its port on the spine's bridge."""


def tor_of(lab: str, rack: RackSpec, number: int, asn: int) -> LabTor:
    """The router of the rack with that number, from 1."""
    host = _FIRST_TOR_HOST + number
    name = f"tor{number}"
    return LabTor(
        name=name,
        netns=f"{lab}-{name}",
        rack=rack.name,
        asn=asn,
        ipv4=IPv4Interface((SPINE_V4.network[host], SPINE_V4.network.prefixlen)),
        # Written like the other family's: 172.20.0.11 and fd00:20::11.
        ipv6=IPv6Interface((IPv6Address(f"fd00:20::{host}"), SPINE_V6.network.prefixlen)),
        port=name,
    )


def cables_of(node: int, uplinks: int) -> tuple[Cable, ...]:
    """Those of the node with that number, from 1."""
    return tuple(_cable(node, number) for number in range(1, uplinks + 1))


def rack_of(racks: tuple[RackSpec, ...], node: int) -> str:
    """Name of the rack in which the node with that number stands; "" in a lab without racks."""
    for rack in racks:
        if node <= rack.nodes:
            return rack.name
        node -= rack.nodes
    return ""


def _cable(node: int, number: int) -> Cable:
    first = IPv4Address(f"172.20.{node}.0") + (number - 1) * _CABLE_HOSTS
    return Cable(
        device=f"eth{number - 1}",
        port=f"node{node}-{number}",
        tor_ipv4=IPv4Interface(f"{first + 1}/30"),
        node_ipv4=IPv4Interface(f"{first + 2}/30"),
        tor_ipv6=IPv6Interface(f"fd00:20:{node}:{number}::1/126"),
        node_ipv6=IPv6Interface(f"fd00:20:{node}:{number}::2/126"),
    )
