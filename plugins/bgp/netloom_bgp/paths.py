"""Routes in GoBGP's messages: written for what is announced, read for what is learnt. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from netloom.model.address import Address, Network
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.attributes import (
    AS_PATH,
    COMMUNITIES,
    LOCAL_PREFERENCE,
    MED,
    NEXT_HOPS,
    ORIGIN,
    read_attribute,
)
from netloom_bgp.model import RouteView
from netloom_bgp.places import Place, place
from netloom_bgp.settings import Exports, FamilyName

FAMILIES: Final = {
    "ipv4": pb.Family(afi=pb.Family.AFI_IP, safi=pb.Family.SAFI_UNICAST),
    "ipv6": pb.Family(afi=pb.Family.AFI_IP6, safi=pb.Family.SAFI_UNICAST),
}
_SHARED: Final = 4096
"""Next hops that are remembered once read."""
_OWN: Final = frozenset({"", "<nil>"})
"""How GoBGP names the neighbour of a path that was added by its API."""


class Hop(NamedTuple):
    """One of the equally good ways to a prefix."""

    via: Address
    neighbor: str
    """Address of the peer that told of it."""


class Told(NamedTuple):
    """What one message says of a prefix: all the best ways there are now."""

    prefix: Place
    hops: tuple[Hop, ...]
    """None when there is no way, or the prefix is this node's own."""


def family_name(value: Address | Network) -> FamilyName:
    """By IP version."""
    return "ipv4" if value.version == 4 else "ipv6"


def own_path(prefix: Network, exports: Exports, *, withdraw: bool = False) -> pb.Path:
    """A path of this node's own. The next hop is unspecified: GoBGP writes the session's own address."""
    path = pb.Path(family=FAMILIES[family_name(prefix)], is_withdraw=withdraw)
    path.nlri.Pack(_nlri(prefix))
    path.pattrs.add().Pack(pb.OriginAttribute(origin=0))
    if prefix.version == 4:
        path.pattrs.add().Pack(pb.NextHopAttribute(next_hop="0.0.0.0"))
    else:
        reach = pb.MpReachNLRIAttribute(family=FAMILIES["ipv6"], next_hops=["::"])
        reach.nlris.add().Pack(_nlri(prefix))
        path.pattrs.add().Pack(reach)
    if exports.med is not None:
        path.pattrs.add().Pack(pb.MultiExitDiscAttribute(med=exports.med))
    if exports.local_preference is not None:
        path.pattrs.add().Pack(pb.LocalPrefAttribute(local_pref=exports.local_preference))
    if exports.communities:
        numbers = sorted({_community(text) for text in exports.communities})
        path.pattrs.add().Pack(pb.CommunitiesAttribute(communities=numbers))
    return path


def is_own(path: pb.Path) -> bool:
    """Whether it was added by the API, not learnt."""
    return path.neighbor_ip in _OWN


def prefix_of(path: pb.Path) -> Place:
    """The path's prefix. Raises ValueError for one that is no prefix of IPv4 or IPv6."""
    nlri = pb.IPAddressPrefix.FromString(path.nlri.value)
    return place(nlri.prefix, nlri.prefix_len)


def next_hop_of(path: pb.Path) -> Address | None:
    """The first next hop, global before link-local as RFC 2545 has it; None when the path names none."""
    for attribute in path.pattrs:
        name = attribute.type_url
        if name.endswith(".NextHopAttribute"):
            return _next_hop(attribute.value)
        if name.endswith(".MpReachNLRIAttribute"):
            hops = pb.MpReachNLRIAttribute.FromString(attribute.value).next_hops
            return _address(hops[0]) if hops else None
    return None


def told(paths: Iterable[pb.Path]) -> list[Told]:
    """What an event says, prefix by prefix: with several ways, GoBGP writes all of a prefix one after the other."""
    found: dict[Place, list[Hop | None]] = {}
    for path in paths:
        hops = found.setdefault(prefix_of(path), [])
        if is_own(path):
            hops.append(None)
        elif not path.is_withdraw and (via := next_hop_of(path)) is not None:
            hops.append(Hop(via, path.neighbor_ip))
    return [Told(prefix, tuple(hop for hop in hops if hop and None not in hops)) for prefix, hops in found.items()]


def view(prefix: str, path: pb.Path, now_s: float) -> RouteView:
    """The path to a prefix as shown, with attributes as BGP has them; ``now_s`` in seconds since the epoch."""
    values = dict(read_attribute(raw) for raw in path.pattrs_binary)
    return RouteView(
        prefix=prefix,
        next_hops=values.get(NEXT_HOPS, ()),
        peer="" if is_own(path) else path.neighbor_ip,
        age_s=max(0, int(now_s - path.age.seconds)),
        as_path=values.get(AS_PATH, ""),
        origin=values.get(ORIGIN, "incomplete"),
        local_preference=values.get(LOCAL_PREFERENCE),
        med=values.get(MED),
        communities=values.get(COMMUNITIES, ()),
        best=path.best,
        stale=path.stale,
    )


@lru_cache(maxsize=_SHARED)
def _next_hop(raw: bytes) -> Address | None:
    return _address(pb.NextHopAttribute.FromString(raw).next_hop)


def _nlri(prefix: Network) -> pb.IPAddressPrefix:
    return pb.IPAddressPrefix(prefix=str(prefix.network_address), prefix_len=prefix.prefixlen)


def _community(text: str) -> int:
    high, _, low = text.partition(":")
    return int(high) << 16 | int(low)


@lru_cache(maxsize=_SHARED)
def _address(text: str) -> Address | None:
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        return None
