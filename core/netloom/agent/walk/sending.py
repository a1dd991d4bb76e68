"""What a sender's own stack makes of a packet before it leaves: whom it means, and how much goes at once. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from netloom.datapath import craft
from netloom.edge.paths import Path, RouteKind
from netloom.model.address import Address

_LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
_TCP_BYTES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What goes to the interface."""

    packet: bytes
    """Whole, or what goes first of it."""
    note: str = ""
    """What the stack did to it; "" when it goes as it is."""
    refusal: str = ""
    """Why the stack sends nothing; "" when it does."""


def as_sent(probe: craft.Probe, mtu_bytes: int, sender: str) -> Sent:
    """A packet that is larger than the MTU of its path is cut by who sends it, or refused.

    ``sender``: "pod" or "node". Raises Invalid for what cannot be a packet.
    """
    packet = craft.ip_packet(probe)
    if len(packet) <= mtu_bytes:
        return Sent(packet=packet)
    if probe.protocol == "tcp":
        headers = _TCP_BYTES + (20 if probe.source.version == 4 else 40)
        count = -(-(len(packet) - headers) // (mtu_bytes - headers))
        note = f"larger than MTU {mtu_bytes}: TCP sends it in {count} segments; the first is walked"
        return Sent(packet=craft.ip_packet(replace(probe, size_bytes=mtu_bytes)), note=note)
    if probe.dont_fragment:
        return Sent(packet=packet, refusal=f"the {sender}'s own stack refuses it: larger than MTU {mtu_bytes}")
    first, more = craft.first_fragment(packet, mtu_bytes)
    sizes = f"{len(first)} bytes for {len(packet)}"
    note = f"larger than MTU {mtu_bytes}: cut into {1 + more} fragments by the {sender}; the first is walked ({sizes})"
    return Sent(packet=first, note=note)


def meant(destination: Address) -> Address:
    """The unspecified address means the sender itself to its stack."""
    return _LOOPBACK[destination.version] if destination.is_unspecified else destination


def stays(path: Path) -> bool:
    """Whether who sends it receives it too, by its loopback device."""
    return path.kind is RouteKind.LOCAL


def group_mac(path: Path, destination: Address) -> bytes | None:
    """The MAC address that stands for all the packet is for; None when it is for one, whose address must be found."""
    if path.kind is RouteKind.BROADCAST:
        return craft.BROADCAST_MAC
    return craft.group_mac(destination) if destination.is_multicast else None
