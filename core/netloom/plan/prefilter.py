"""The prefilter's set of prefixes: read, compared, looked up in, and what speaks against it. Pure.

Lists of attackers are long, so a prefix is kept in few bytes: those of its address in network order, 4 or 16, and one
that says how many bits of them count. That form (:data:`Cidr`) is also how prefixes are ordered and compared.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

from netloom.datapath.layout import encode
from netloom.datapath.maps import MapSpec
from netloom.datapath.prefilter import (
    PREFILTER_IP4,
    PREFILTER_IP6,
    PREFILTER_MAPS,
    PREFILTER_NET4,
    PREFILTER_NET6,
    Prefiltered,
)
from netloom.model.address import Address, Network
from netloom.model.errors import Exhausted, Invalid
from netloom.model.node import Node

Cidr: TypeAlias = bytes
"""Address and length; see above."""
Entries: TypeAlias = Mapping[str, Collection[bytes]]
"""Keys as the kernel has them, by name of map."""

PRESENT = encode(Prefiltered())
"""The value of every entry."""
NEXT_TO_US = IPv6Network("fe80::/10")
"""Without answers from these addresses nobody is found on the link, not even the router."""
TOLD = 5
"""So many of what is wrong are told; a list with one mistake may have thousands."""
_PREFIX_LEN = struct.Struct("=I")
_EXPECTED = "an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32"


class NoCidr(Invalid):
    """A text that is no prefix, or hardly the one that was meant."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found = found
        self.expected = expected


def parse(text: str) -> Cidr:
    """A single address is a prefix of all its bits. Raises NoCidr."""
    head, slash, tail = text.partition("/")
    try:
        address = ip_address(head)
        bits = _bits(tail, address) if slash else address.max_prefixlen
    except ValueError:
        raise NoCidr(f'"{text[:60]}"', _EXPECTED) from None
    if isinstance(address, IPv6Address):
        _refuse_odd(text, address, bits)
    if (number := int(address)) & ((1 << address.max_prefixlen - bits) - 1):
        network = (IPv4Network if address.version == 4 else IPv6Network)((number, bits), strict=False)
        expected = f'"{network}" for the whole range or "{address}" for the one address'
        raise NoCidr(f'"{text[:60]}", whose bits behind the first {bits} are not zero', expected)
    return address.packed + bytes([bits])


def _bits(text: str, address: Address) -> int:
    """No netmask: 255.0.0.0 and 0.255.255.255 are told apart too easily by those who mean one of them."""
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= address.max_prefixlen):
        raise ValueError(text)
    return int(text)


def _refuse_odd(text: str, address: IPv6Address, bits: int) -> None:
    if address.scope_id is not None:
        raise NoCidr(f'"{text[:60]}", which names a device', "an address that means the same on each")
    if address.ipv4_mapped is not None and bits >= 96:
        plain = f"{address.ipv4_mapped}/{bits - 96}" if bits < 128 else str(address.ipv4_mapped)
        raise NoCidr(f'"{text[:60]}", which never stands in an IPv6 packet', f'"{plain}" for IPv4')


def parse_all(texts: Iterable[str]) -> frozenset[Cidr]:
    """All of them, doubles once. Raises Invalid for those that are none, :data:`TOLD` of them by name."""
    found: set[Cidr] = set()
    problems: list[str] = []
    for text in texts:
        try:
            found.add(parse(text))
        except NoCidr as error:
            problems.append(str(error))
    if problems:
        raise Invalid(f"nothing was changed: {_some(problems)}")
    return frozenset(found)


def network_of(cidr: Cidr) -> Network:
    """As a value."""
    return IPv4Network((cidr[:-1], cidr[-1])) if len(cidr) == 5 else IPv6Network((cidr[:-1], cidr[-1]))


def text_of(cidr: Cidr) -> str:
    """As people write it."""
    if len(cidr) == 5:
        a, b, c, d, bits = cidr  # a third of what an IPv4Network takes
        return f"{a}.{b}.{c}.{d}/{bits}"
    return f"{IPv6Address(cidr[:-1])}/{cidr[-1]}"


def in_order(cidrs: Iterable[Cidr]) -> list[str]:
    """As text, IPv4 first, by address, the wider of two that begin alike first."""
    return [text_of(cidr) for cidr in sorted(cidrs, key=lambda cidr: (len(cidr), cidr))]


def spec_of(cidr: Cidr) -> MapSpec[Any, Any]:
    """The map in which it stands."""
    if len(cidr) == 5:
        return PREFILTER_IP4 if cidr[-1] == 32 else PREFILTER_NET4
    return PREFILTER_IP6 if cidr[-1] == 128 else PREFILTER_NET6


def entries(cidrs: Iterable[Cidr]) -> dict[str, set[bytes]]:
    """Keys of all maps, those that stay empty included."""
    found: dict[str, set[bytes]] = {spec.name: set() for spec in PREFILTER_MAPS}
    for cidr in cidrs:
        found[spec_of(cidr).name].add(_key(cidr))
    return found


def _key(cidr: Cidr) -> bytes:
    """The struct of :mod:`netloom.datapath.prefilter`, made without one: there may be a hundred thousand."""
    address, bits = cidr[:-1], cidr[-1]
    if bits == 8 * len(address):
        return address
    # IPv6 stands in the common 16-byte form, so its length needs no shift.
    return _PREFIX_LEN.pack(bits) + address


def check_room(wanted: Entries, sizes: Mapping[str, int]) -> None:
    """Raises Exhausted, naming the first map that would have to hold more than it can."""
    for name, keys in wanted.items():
        if len(keys) > sizes[name]:
            raise Exhausted(
                f'eBPF map "{name}" holds {sizes[name]} entries (setting maps.{name}), and {len(keys)} would have to '
                "stand in it: nothing was changed"
            )


def holder(cidrs: Collection[Cidr], address: Address) -> Cidr | None:
    """The longest of the prefixes that hold an address; None when none does. Costs a look for each possible length."""
    width, number = address.max_prefixlen, int(address)
    for bits in range(width, -1, -1):
        kept = number >> width - bits << width - bits
        cidr = kept.to_bytes(width // 8, "big") + bytes([bits])
        if cidr in cidrs:
            return cidr
    return None


def held_nodes(cidrs: Collection[Cidr], nodes: Iterable[Node]) -> list[str]:
    """A sentence for each underlay address of a node of the cluster that is refused."""
    return [
        f'{text_of(cidr)} holds {address}, the underlay address of node "{node.name}"'
        for node in nodes
        for address in node.underlays
        if (cidr := holder(cidrs, address)) is not None
    ]


def objections(cidrs: Collection[Cidr], nodes: Iterable[Node]) -> list[str]:
    """What speaks against refusing these, each a sentence: the node might be cut off from everybody."""
    return [*_too_wide(cidrs), *held_nodes(cidrs, nodes)]


def _too_wide(cidrs: Iterable[Cidr]) -> Iterator[str]:
    for cidr in cidrs:
        if cidr[-1] == 0:
            yield f"{text_of(cidr)} holds every address, those of the cluster and of its operators among them"
        elif len(cidr) == 17 and NEXT_TO_US.overlaps(network := network_of(cidr)):
            yield f"{network} holds link-local addresses, by which routers and neighbours are found"


def refuse_unless_meant(found: list[str]) -> None:
    """Raises Invalid when something speaks against a change that nobody has insisted on."""
    if found:
        raise Invalid(f"nothing was changed: {_some(found)}; say `--force` if that is meant")


def _some(sentences: list[str]) -> str:
    more = f"; and {len(sentences) - TOLD} more" if len(sentences) > TOLD else ""
    return "; ".join(sentences[:TOLD]) + more
