"""Requests looked at before the kernel sees them, so that the refusal says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable

from netloom.model.address import Address
from netloom.model.endpoint import MAX_IFNAME_BYTES
from netloom.model.errors import Invalid

_MIN_MTU_BYTES = {4: 576, 6: 1280}
"""What every host must be able to take: RFC 791, section 3.1; RFC 8200, section 5."""
MAX_MTU_BYTES = 65535
"""The longest IPv4 packet."""
MAC_BYTES = 6


def check_ifname(name: str) -> None:
    """Raise Invalid unless Linux takes the name, literally, for a device."""
    raw = os.fsencode(name)
    bad = not raw or name in (".", "..") or any(letter in "/:%" or letter.isspace() for letter in name) or b"\0" in raw
    if bad or len(raw) > MAX_IFNAME_BYTES:
        raise Invalid(
            f'interface name "{name[:80]}" is {len(raw)} bytes long, expected 1 to {MAX_IFNAME_BYTES} bytes '
            "without white space, / : and %"
        )


def new_mac() -> bytes:
    """A random unicast address of the locally administered range (IEEE 802, second bit of the first byte)."""
    raw = bytearray(os.urandom(6))
    raw[0] = raw[0] & 0xFE | 0x02
    return bytes(raw)


def check_mac(mac: bytes) -> None:
    """Raise Invalid unless an interface may have it: 6 bytes, not all zero, no group's (first bit, IEEE 802)."""
    if len(mac) != MAC_BYTES or not any(mac) or mac[0] & 0x01:
        raise Invalid(
            f"MAC address {mac.hex(':') or '(none)'} is no interface's, expected one station's {MAC_BYTES} bytes"
        )


def check_mtu(mtu_bytes: int, addresses: Iterable[Address]) -> None:
    """Raise Invalid unless a device of that MTU may carry the families of the addresses."""
    wanted = tuple(addresses)
    least = max((_MIN_MTU_BYTES[address.version] for address in wanted), default=_MIN_MTU_BYTES[4])
    if not least <= mtu_bytes <= MAX_MTU_BYTES:
        raise Invalid(
            f"an MTU of {mtu_bytes} bytes does not do for {', '.join(map(str, wanted)) or 'any address'}, "
            f"expected {least} to {MAX_MTU_BYTES}; raise the underlay's MTU, or leave a family out"
        )
