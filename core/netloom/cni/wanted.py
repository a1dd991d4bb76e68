"""Addresses and a MAC of the runtime's choice, by CNI's conventions (CONVENTIONS.md). Pure.

There are three places to ask in: ``runtimeConfig``, the config's ``args.cni``, and CNI_ARGS. Where more than one is
used they must agree. Whether the node has such an address, and whether it is free, the IPAM plugin says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Any, NamedTuple, TypeVar

from netloom.cni.errors import CniError, Code
from netloom.cni.request import Request, bad_variable, table, text, texts, wrong_kind

T = TypeVar("T")

_Address = IPv4Address | IPv6Address
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_GROUP_BIT = 0x01
"""Of the first byte of a MAC address: it is a group's (IEEE 802)."""


class Wanted(NamedTuple):
    """What the container's interface shall have."""

    addresses: tuple[_Address, ...] = ()
    """At most one of each IP version, IPv4 first."""
    mac: bytes | None = None
    """6 bytes."""


class _Wish(NamedTuple):
    """One thing asked for, as it came."""

    place: str
    text: str
    is_variable: bool = False
    """Whether it came by the environment, not by the network config."""

    def refusal(self, expected: str) -> CniError:
        refuse = bad_variable if self.is_variable else wrong_kind
        return refuse(self.place, self.text, expected)


def wanted_of(request: Request) -> Wanted:
    """Read what an ADD asks for; raises CniError for what cannot be had, or contradicts itself."""
    addresses = [(_address(wish), wish) for wish in _wishes(request, "ips", texts, "IP")]
    ipv4 = _agreed("IPv4 address", [item for item in addresses if item[0].version == 4])
    ipv6 = _agreed("IPv6 address", [item for item in addresses if item[0].version == 6])
    macs = [(_mac(wish), wish) for wish in _wishes(request, "mac", _text, "MAC")]
    return Wanted(
        addresses=tuple(address for address in (ipv4, ipv6) if address is not None), mac=_agreed("MAC address", macs)
    )


def _wishes(
    request: Request, key: str, read: Callable[[str, Mapping[str, Any], str], list[str]], variable: str
) -> Iterator[_Wish]:
    places = {
        "runtimeConfig": table(request.config, "runtimeConfig"),
        "args.cni": table(table(request.config, "args"), "cni"),
    }
    for name, place in places.items():
        for found in read(name, place, key):
            yield _Wish(f"{name}.{key}", found)
    # The plugin "static" takes several addresses in IP, with commas between.
    for found in request.arguments.get(variable, "").split(","):
        if found.strip():
            yield _Wish(f"{variable} of CNI_ARGS", found.strip(), is_variable=True)


def _text(place: str, parent: Mapping[str, Any], key: str) -> list[str]:
    del place
    found = text(parent, key, "") if parent.get(key) else ""
    return [found] if found else []


def _agreed(what: str, asked: list[tuple[T, _Wish]]) -> T | None:
    """The one thing that all ask for; None when nobody does."""
    if not asked:
        return None
    first, first_wish = asked[0]
    for value, wish in asked:
        if value != first:
            raise CniError(
                Code.UNSUPPORTED_FIELD,
                f"{first_wish.place} asks for {first_wish.text:.60} and {wish.place} for {wish.text:.60}, "
                f"but a container gets one {what}",
                "ask for one of them",
            )
    return first


def _address(wish: _Wish) -> _Address:
    """The length of a prefix is of no account: a container is alone in its own. Scopes (RFC 4007) name links."""
    try:
        interface = ip_interface(wish.text)
    except ValueError:
        interface = None
    if interface is None or "%" in wish.text:
        raise wish.refusal("an IP address, with or without the length of a prefix")
    return interface.ip


def _mac(wish: _Wish) -> bytes:
    raw = bytes.fromhex(wish.text.replace("-", ":").replace(":", "")) if _MAC.fullmatch(wish.text) else bytes(6)
    if not any(raw) or raw[0] & _GROUP_BIT:
        raise wish.refusal("a MAC address of one interface: six pairs of hex digits, as 02:00:00:00:00:01")
    return raw
