"""Flows that were seen, from connections and from events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from netloom.agent.policy_seen import connections, events, protocol_number
from netloom.model.address import Address
from netloom.policy.explain import End
from netloom.policy.whatif import Seen

ONE, OTHER = ip_address("10.244.1.2"), ip_address("10.244.2.3")
EXPECTED = Seen(End(256, ONE), End(257, OTHER), (6, 80), 40000)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Connection:
    source: Address = ONE
    destination: Address = OTHER
    source_port: int = 40000
    protocol: int | str = 6
    service: int = 80
    source_identity: int = 256
    destination_identity: int = 257


@dataclass(frozen=True)
class Packet:
    protocol: str = "tcp"
    source_port: int | None = 40000
    source: Address | None = ONE
    destination: Address | None = OTHER


@dataclass(frozen=True)
class Event:
    packet: Packet = Packet()
    tracking: str = "new"
    service: int = 80
    source_identity: int = 256
    destination_identity: int = 257


def test_a_connection_is_a_flow_from_whoever_began_it() -> None:
    source = connections(lambda: [Connection(), Connection(protocol="tcp")])
    assert (source.name, list(source.read())) == ("connections", [EXPECTED, EXPECTED])


def test_of_events_first_packets_count_alone() -> None:
    """Replies go the other way, and what is established was new before."""
    found = [Event(), *(Event(tracking=word) for word in ("", "established", "reply", "related"))]
    assert list(events(lambda: found).read()) == [EXPECTED]


def test_events_without_addresses_are_passed_over() -> None:
    packet = replace(Packet(), protocol="arp", source=None)
    assert list(events(lambda: [Event(packet=packet), Event(packet=Packet(protocol="0x88cc"))]).read()) == []


def test_protocols_are_known_by_name_and_number() -> None:
    assert [protocol_number(text) for text in ("icmp6", "132", "arp", 17)] == [58, 132, None, 17]
