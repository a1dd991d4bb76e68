"""IP addresses and prefixes, and their one 16-byte form.

Every shared key carries an address as 16 bytes in network order. An IPv4 address a.b.c.d is written
as ``::ffff:a.b.c.d`` (RFC 4291, section 2.5.5.2), so one map serves both families and the family
needs no field of its own.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Literal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Family = Literal[4, 6]

V4_PREFIX_BITS = 96
_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


def pack(address: Address) -> bytes:
    """16 bytes, network order; IPv4 becomes v4-mapped."""
    return _V4_MAPPED + address.packed if isinstance(address, IPv4Address) else address.packed


def unpack(raw: bytes) -> Address:
    """Inverse of :func:`pack`; raises ValueError unless ``raw`` is 16 bytes."""
    if len(raw) != 16:
        raise ValueError(f"an address is 16 bytes, found {len(raw)}")
    return IPv4Address(raw[12:]) if raw.startswith(_V4_MAPPED) else IPv6Address(raw)


def pack_prefix(network: Network) -> tuple[int, bytes]:
    """Prefix length over the 16-byte form (0 to 128), and the 16 bytes."""
    extra = V4_PREFIX_BITS if isinstance(network, IPv4Network) else 0
    return network.prefixlen + extra, pack(network.network_address)


def unpack_prefix(prefix_len: int, raw: bytes) -> Network:
    """Inverse of :func:`pack_prefix`; raises ValueError on a length out of range."""
    address = unpack(raw)
    if isinstance(address, IPv4Address) and prefix_len >= V4_PREFIX_BITS:
        return IPv4Network((address, prefix_len - V4_PREFIX_BITS), strict=False)
    return IPv6Network((IPv6Address(raw), prefix_len), strict=False)


def link_local_of(mac: bytes) -> IPv6Address:
    """The link-local address that goes with a MAC of 6 bytes (RFC 4291, 2.5.6 and appendix A: modified EUI-64)."""
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:6])


def host_prefix(address: Address) -> Network:
    """The prefix that holds this address alone (/32 or /128)."""
    if isinstance(address, IPv4Address):
        return IPv4Network((int(address), 32))
    return IPv6Network((int(address), 128))


def family_of(value: Address | Network) -> Family:
    """4 or 6."""
    return 4 if value.version == 4 else 6


def parse_address(text: str) -> Address:
    """Parse without a prefix length; raises ValueError."""
    return ip_address(text)


def parse_network(text: str) -> Network:
    """Parse a prefix whose host bits are zero; raises ValueError."""
    return ip_network(text, strict=True)
