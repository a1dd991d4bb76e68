"""What routers have learnt, which of it this node takes, and what it wants of each prefix. Pure.

A hundred thousand prefixes must cost little to keep and to compare, so here a prefix is a few bytes, its *key*, and
next hops are shared. Both come from the contract's values by :func:`key_of` and :class:`Book`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from netloom.model.address import Address, Network
from netloom.plugins.contract import LearnedRoute

Key = bytes
"""Length of a prefix in one byte, then its network address in network byte order: 5 or 17 bytes."""
Hops = tuple[bytes, ...]
"""Next hops, each as 4 or 16 bytes; sorted, since the kernel promises no order."""
_NOBODYS = tuple(
    (ip_network(text), what)
    for text, what in (
        ("0.0.0.0/8", "addresses of this network"),
        ("127.0.0.0/8", "loopback addresses"),
        ("169.254.0.0/16", "link-local addresses"),
        ("224.0.0.0/4", "multicast addresses"),
        ("240.0.0.0/4", "reserved addresses"),
        ("::/128", "the unspecified address"),
        ("::1/128", "the loopback address"),
        ("::ffff:0:0/96", "mapped addresses"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
    )
)
"""Addresses that no router may lead to (RFC 6890)."""


def key_of(prefix: Network) -> Key:
    """The prefix as a key."""
    return bytes((prefix.prefixlen,)) + prefix.network_address.packed


def prefix_of(key: Key) -> Network:
    """Inverse of :func:`key_of`."""
    return (IPv4Network if len(key) == 5 else IPv6Network)((key[1:], key[0]))


def addresses_of(hops: Hops) -> tuple[Address, ...]:
    """Next hops as addresses."""
    return tuple(ip_address(hop) for hop in hops)


def in_order(keys: Iterable[Key]) -> list[Key]:
    """IPv4 first, then by address, wider prefixes first."""
    # One string of bytes for each: compared in a third of the time of tuples, for which every other thread waits.
    return sorted(keys, key=lambda key: bytes((len(key),)) + key[1:] + key[:1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What of this node decides which prefixes it takes."""

    pod_cidrs: tuple[Network, ...] = ()
    """Of its own pods."""
    segments: tuple[Network, ...] = ()
    """Subnets of the underlay it stands in."""
    addresses: tuple[Address, ...] = ()
    """Its own: its gateways, and those on the underlay."""


class Rules:
    """Which learnt routes are not taken, and why. What only the kernel can know, it is left to say."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._own = frozenset(address.packed for address in facts.addresses)
        self._closed: dict[int, list[tuple[int, int, int, str]]] = {5: [], 17: []}
        for network, what in _NOBODYS:
            self._close(network, network.prefixlen, f"these are {what}, to which nobody leads")
        for cidr in facts.pod_cidrs:
            self._close(cidr, cidr.prefixlen, f"it lies in {cidr}, which is for this node's own pods")
        for segment in facts.segments:
            self._close(segment, segment.prefixlen + 1, f"it is a part of {segment}, a segment this node stands in")

    def refusal(self, key: Key, hops: Hops) -> str:
        """A sentence's second half; "" for a route that is taken."""
        length, start = key[0], int.from_bytes(key[1:])
        if not length:
            return "a default route is not taken from a router"
        for first, last, least, text in self._closed[len(key)]:
            if first <= start <= last and length >= least:
                return text
        for hop in hops:
            if hop in self._own:
                return f"its next hop {ip_address(hop)} is this node itself"
            if len(hop) == 16 and hop[0] == 0xFE and hop[1] & 0xC0 == 0x80:
                return f"its next hop {ip_address(hop)} is link-local, which says nothing without a device"
        return ""

    def _close(self, network: Network, least: int, text: str) -> None:
        """Refuse prefixes of at least that length in ``network``."""
        first, last = int(network.network_address), int(network.broadcast_address)
        self._closed[5 if network.version == 4 else 17].append((first, last, least, text))


class Book:
    """What each router says stands; where two lead to one prefix, the router that was named first wins."""

    def __init__(self, routers: Iterable[str]) -> None:
        self._told: dict[str, dict[Key, Hops]] = {router: {} for router in routers}
        self._shared: dict[Hops, Hops] = {}

    def hold(self, router: str, route: LearnedRoute) -> Key:
        """The router leads there; the key."""
        hops = tuple(sorted({route.via.packed, *(hop.packed for hop in route.more)}))
        key = key_of(route.prefix)
        self._told[router][key] = self._shared.setdefault(hops, hops)
        return key

    def drop(self, router: str, key: Key) -> None:
        """It leads there no longer; no error when it never did."""
        self._told[router].pop(key, None)

    def keys_of(self, router: str) -> set[Key]:
        """Where a router leads."""
        return set(self._told[router])

    def owner(self, key: Key) -> str | None:
        """Whose route to take; None when nobody leads there."""
        return next((router for router, told in self._told.items() if key in told), None)

    def wanted(self, key: Key) -> Hops | None:
        """The next hops to take; None when nobody leads there."""
        for told in self._told.values():
            if (hops := told.get(key)) is not None:
                return hops
        return None

    def keys(self) -> set[Key]:
        """Where anybody leads."""
        return set().union(*self._told.values())
