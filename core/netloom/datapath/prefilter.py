"""Maps of the prefilter: source addresses whose packets go no further than the underlay device's driver.

Families and kinds stand apart, since this is about speed under attack: a hash of four bytes costs less than a walk
through a trie of sixteen, and most of what a list of attackers holds is single IPv4 addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

from netloom.datapath.layout import U8, Addr, Addr4, Prefix, Prefix4
from netloom.datapath.maps import NO_PREALLOC, MapKind, MapSpec


@dataclass(frozen=True, slots=True)
class PrefilterIp4:
    """An IPv4 address that is refused."""

    address: Addr4

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class PrefilterIp6:
    """An IPv6 address that is refused."""

    address: Addr

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class PrefilterNet4:
    """A range of IPv4 addresses that is refused."""

    prefix: Prefix4

    def __str__(self) -> str:
        return str(self.prefix)


@dataclass(frozen=True, slots=True)
class PrefilterNet6:
    """A range of IPv6 addresses that is refused."""

    prefix: Prefix

    def __str__(self) -> str:
        return str(self.prefix)


@dataclass(frozen=True, slots=True)
class Prefiltered:
    """Nothing but that the key is there, for which the kernel wants a byte."""

    present: U8 = 1


_SINGLES, _RANGES = 131_072, 512_000
_ADDRESSES, _RANGES_OF = "single {} addresses refused at the underlay device", "ranges of {} addresses refused there"

PREFILTER_IP4 = MapSpec(
    "prefilter_ip4", MapKind.HASH, PrefilterIp4, Prefiltered, _SINGLES, _ADDRESSES.format("IPv4"), flags=NO_PREALLOC
)
PREFILTER_IP6 = MapSpec(
    "prefilter_ip6", MapKind.HASH, PrefilterIp6, Prefiltered, _SINGLES, _ADDRESSES.format("IPv6"), flags=NO_PREALLOC
)
PREFILTER_NET4 = MapSpec(
    "prefilter_net4",
    MapKind.LPM_TRIE,
    PrefilterNet4,
    Prefiltered,
    _RANGES,
    _RANGES_OF.format("IPv4"),
    flags=NO_PREALLOC,
)
PREFILTER_NET6 = MapSpec(
    "prefilter_net6",
    MapKind.LPM_TRIE,
    PrefilterNet6,
    Prefiltered,
    _RANGES,
    _RANGES_OF.format("IPv6"),
    flags=NO_PREALLOC,
)
PREFILTER_MAPS = (PREFILTER_IP4, PREFILTER_IP6, PREFILTER_NET4, PREFILTER_NET6)
