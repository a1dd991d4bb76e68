"""Structs and maps of connection tracking.

A connection is one entry, whichever way its packets go: its key names the two ends in the order of their addresses,
and the entry says which of them began. So a packet costs one lookup, and between two pods of one node the same entry
answers for the policies of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from netloom.datapath.layout import U8, U16, U32, U64, Addr, Be16
from netloom.datapath.maps import MapKind, MapSpec


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """Both ends of a connection, the lower first: by the last 32 bits of the addresses, then by the others."""

    low: Addr
    high: Addr
    low_port: Be16
    """Of ICMP queries: their number at the end that asks, their type at the end that is asked."""
    high_port: Be16
    protocol: U8

    def __str__(self) -> str:
        return f"{self.low} port {self.low_port}, {self.high} port {self.high_port}, protocol {self.protocol}"


class ConnectionFlag(IntFlag):
    """Bits of ``connection_info.flags``."""

    BEGUN_BY_HIGH = 1
    """The second end of the key sent the first packet."""
    ANSWERED = 2
    """The other end has sent something too; of TCP, something that is no refusal."""
    CLOSED_BY_SOURCE = 4
    """TCP: whoever began has sent FIN."""
    CLOSED_BY_DESTINATION = 8
    """TCP: the other end has sent FIN."""
    RESET = 16
    """TCP: one of them has sent RST."""
    ESTABLISHED = 32
    """Of TCP, something came behind SYN and its answer: only now an entry lives long."""
    REFUSED = 64
    """Its last packet was refused: policies, or who its ends are, have changed since it began."""
    PROXIED = 128
    """Its packets go to the node's proxy, which has a connection of its own with each end."""
    BY_PROXY = 256
    """The proxy began it in the name of this node: what it carries was judged."""


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What is known of a connection; its *source* is whoever began it."""

    expires_ns: U64
    """As ktime_get_ns() counts: from then on it is as if the entry were not there."""
    sent_packets: U64
    """By the source."""
    sent_bytes: U64
    received_packets: U64
    """By the source: what the other end sent."""
    received_bytes: U64
    source_identity: U32
    """When it was last judged."""
    destination_identity: U32
    epoch: U32
    """``node_config.policy_epoch`` when it was last judged: judged again when that is another one."""
    service: Be16
    """Destination port of the first packet, or type of ICMP: what policies were asked about."""
    flags: U16


@dataclass(frozen=True, slots=True)
class FragmentKey:
    """One packet that was cut."""

    source: Addr
    destination: Addr
    id: U32
    """As it stands in the header: only ever compared."""
    protocol: U8
    """Of IPv4: one end's numbers are for each protocol anew; of IPv6 0."""

    def __str__(self) -> str:
        return f"{self.source} to {self.destination}, protocol {self.protocol}, id {self.id}"


@dataclass(frozen=True, slots=True)
class FragmentInfo:
    """What its first fragment says of all."""

    source_port: Be16
    destination_port: Be16
    service: Be16
    """As ``connection_info.service``."""
    protocol: U8
    """Behind all extension headers."""
    role: U8
    """:class:`Role` of the whole packet."""


class Role(IntEnum):
    """A packet's part in a connection."""

    NONE = 0
    """It has none: most ICMP."""
    EITHER = 1
    """Whoever sends first begins."""
    QUERY = 2
    """ICMP that begins, and that nobody answers with."""
    ANSWER = 3
    """ICMP that answers, and never begins."""
    ERROR = 4
    """ICMP about a packet of a connection, which it quotes."""


class Tracking(IntEnum):
    """How a packet stands to its connection; in events, one more than Cilium's numbers, so that 0 can be none."""

    NONE = 0
    """No policy of this node was to be asked."""
    NEW = 1
    ESTABLISHED = 2
    REPLY = 3
    RELATED = 4
    """An ICMP error about a connection."""


CONNECTIONS_TCP = MapSpec(
    "connections_tcp", MapKind.LRU_HASH, ConnectionKey, ConnectionInfo, 524288, "TCP connections of this node's pods"
)
CONNECTIONS_ANY = MapSpec(
    "connections_any",
    MapKind.LRU_HASH,
    ConnectionKey,
    ConnectionInfo,
    262144,
    "what this node's pods speak by other protocols than TCP",
)
FRAGMENTS = MapSpec("fragments", MapKind.LRU_HASH, FragmentKey, FragmentInfo, 8192, "ports of packets that were cut")
CONNECTION_MAPS = (CONNECTIONS_TCP, CONNECTIONS_ANY, FRAGMENTS)
