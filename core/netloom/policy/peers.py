"""Peers that have no labels: prefixes and entities."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses

from netloom.model.address import Network, host_prefix, unpack_prefix
from netloom.model.policy import CidrPeer, Entity, EntityPeer
from netloom.policy.fields import Place

_FORM = re.compile(r"[^/%]+(/[0-9]{1,3})?")
_MAPPED = IPv6Network("::ffff:0:0/96")
_EXPECTED = "a prefix, such as 10.0.0.0/8"


def prefix(place: Place, *, or_address: bool = False) -> Network | None:
    """A prefix without host bits, or if allowed an address; None is noted."""
    expected = f"{_EXPECTED}, or an address" if or_address else _EXPECTED
    text = place.matching(lambda text: bool(_FORM.fullmatch(text)), expected)
    if not _FORM.fullmatch(text):
        return None
    if or_address and "/" not in text:
        address = place.scalar((IPv4Address, IPv6Address), expected)
        return _plain(place, host_prefix(address)) if address is not None else None
    network = place.scalar((IPv4Network, IPv6Network), expected)
    return _plain(place, network) if network is not None else None


def _plain(place: Place, network: Network) -> Network | None:
    """IPv4 in IPv6's clothes would be told apart from IPv4 here and nowhere else."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        place.refuse(f'the IPv4 prefix "{unpack_prefix(network.prefixlen, network.network_address.packed)}"')
        return None
    return network


def cidr_block(
    place: Place, written: Place | None, excepts: Place | None, *, with_endpoints: bool
) -> tuple[CidrPeer, ...]:
    """A prefix with the prefixes taken out of it, all of one mapping at ``place``."""
    if written is None:
        place.refuse("cidr", "nothing")
    network = prefix(written) if written else None
    taken = [_taken(item, network) for item in (excepts.items() if excepts else ())]
    if network is None:
        return ()
    without = sorted({part for part in taken if part is not None}, key=lambda part: (int(part[0]), part.prefixlen))
    if covered(network, without):
        place.warn(f"nothing of {network} is left by what is taken out of it: it never matches")
    return (CidrPeer(network, tuple(without), with_endpoints),)


def _taken(place: Place, network: Network | None) -> Network | None:
    part = prefix(place)
    if part is not None and network is not None and not inside(part, network):
        place.refuse(f"a prefix inside of {network}")
        return None
    return part


def inside(part: Network, network: Network) -> bool:
    """Whether a prefix is part of another; never across families."""
    if isinstance(part, IPv4Network):
        return isinstance(network, IPv4Network) and part.subnet_of(network)
    return isinstance(network, IPv6Network) and part.subnet_of(network)


def covered(network: Network, parts: Iterable[Network]) -> bool:
    """Whether prefixes of one family together hold all of another."""
    return any(inside(network, whole) for whole in collapse_addresses(parts))  # type: ignore[type-var]


def entity(place: Place) -> tuple[EntityPeer, ...]:
    """One entity."""
    found = place.word(Entity)
    if found is Entity.NONE:
        place.warn('the entity "none" never matches')
    return (EntityPeer(found),) if found else ()
