"""What does not fit together in ``plugins.bgp``, each at its own key. Pure.

Settings come as far as they could be read: what could not is absent, or None among the items of a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final, Literal

from netloom.model.address import Address
from netloom.plugins import Misfit

if TYPE_CHECKING:
    from netloom_bgp.settings import Override, Peer

FamilyName = Literal["ipv4", "ipv6"]
FAMILIES: Final[tuple[FamilyName, ...]] = ("ipv4", "ipv6")
MAX_SOCKET_BYTES: Final = 107
"""Of a unix socket's path (``sun_path``), but for the zero at its end."""


def family(address: Address) -> FamilyName:
    """Of the prefixes that are exchanged with an address unless more is said."""
    return "ipv4" if address.version == 4 else "ipv6"


def of_address(key: str, address: Address | None) -> Iterator[Misfit]:
    """Why nobody can be spoken with at an address, or from it."""
    if address is None:
        return
    mapped = None if isinstance(address, IPv4Address) else address.ipv4_mapped
    if mapped is not None:
        yield Misfit(key, f"{address}, an IPv4 address in IPv6's form", f"it as IPv4: {mapped}")
    elif address.is_link_local:
        yield Misfit(
            key, f"{address}, a link-local address", "an address that routes lead to: BGP unnumbered is not supported"
        )
    elif address.is_unspecified:
        yield Misfit(key, f"{address}, the unspecified address", "the address of one host")
    elif address.is_multicast:
        yield Misfit(key, f"{address}, a multicast address", "the address of one host")
    elif address.version == 4 and address.is_reserved:
        yield Misfit(key, f"{address}, a reserved address", "the address of one host")


def of_peer(values: Mapping[str, Any]) -> Iterator[Misfit]:
    """Of one peer by itself."""
    address, local = values.get("address"), values.get("local_address")
    yield from of_address("address", address)
    yield from of_address("local_address", local)
    if address is not None and local is not None:
        if local.version != address.version:
            yield Misfit("local_address", str(local), f"an address of IP version {address.version}, as the peer's is")
        elif local == address:
            yield Misfit("local_address", f"{local}, the peer's own", "an address of this node")
    yield from _timers(values.get("hold_time_s"), values.get("keepalive_s"))
    yield from _families(address, values.get("families", ()), values.get("next_hops", ()))


def _timers(hold_s: int | None, keepalive_s: int | None) -> Iterator[Misfit]:
    if hold_s is None or keepalive_s is None:
        return
    if hold_s == 0:
        yield Misfit("keepalive_s", f"the number {keepalive_s}", "none: with hold_time_s 0 no keepalives are sent")
    elif keepalive_s >= hold_s:
        yield Misfit(
            "keepalive_s",
            f"the number {keepalive_s}",
            f"less than hold_time_s, which is {hold_s}; a third of it is usual",
        )


def _families(
    address: Address | None, families: Sequence[str | None], hops: Sequence[Address | None]
) -> Iterator[Misfit]:
    yield from _again("families", families)
    seen: dict[str, int] = {}
    for number, hop in enumerate(hops):
        key = f"next_hops[{number}]"
        if hop is None:
            continue
        yield from of_address(key, hop)
        if hop.is_loopback:
            yield Misfit(key, f"{hop}, a loopback address", "an address by which the peer reaches this node")
        if (first := seen.setdefault(family(hop), number)) != number:
            yield Misfit(
                key, f"{hop}, the second {family(hop)} address", f"one of each; next_hops[{first}] is the first"
            )
        if address is not None and None not in families and family(hop) not in (families or (family(address),)):
            words = " and ".join(families or (family(address),))  # type: ignore[arg-type]
            yield Misfit(key, f"{hop}, for a peer with {words}", f"{family(hop)} among families, or no such address")
    if address is None or None in hops:
        return
    for number, name in enumerate(families):
        if name is not None and name != family(address) and name not in seen:
            yield Misfit(
                f"families[{number}]",
                f"{name} for a peer at {address}",
                f"next_hops with the {name} address of this node by which the peer reaches its {name} prefixes",
            )


def _again(key: str, items: Sequence[object]) -> Iterator[Misfit]:
    for number, item in enumerate(items):
        if item is not None and (first := items.index(item)) != number:
            yield Misfit(f"{key}[{number}]", f"{item} again, first in {key}[{first}]", "each once")


def of_lengths(values: Mapping[str, Any]) -> Iterator[Misfit]:
    """Of ``ge`` and ``le`` beside their prefix."""
    prefix, least, most = values.get("prefix"), values.get("ge"), values.get("le")
    if prefix is None:
        return
    for key, length in (("ge", least), ("le", most)):
        if length is not None and not prefix.prefixlen <= length <= prefix.max_prefixlen:
            yield Misfit(
                key,
                f"the number {length}",
                f"a length from {prefix.prefixlen} to {prefix.max_prefixlen}: within {prefix}",
            )
    if least is not None and most is not None and least > most:
        yield Misfit("ge", f"the number {least}", f"at most {most}, which is le")


def of_peers(key: str, peers: Sequence[Peer | None], listen_port: int | None) -> Iterator[Misfit]:
    """Of peers together."""
    addresses = [None if peer is None else peer.address for peer in peers]
    for number, peer in enumerate(peers):
        if peer is None:
            continue
        at = f"{key}[{number}].address"
        if (first := addresses.index(peer.address)) != number:
            yield Misfit(at, f"{peer.address} again, first in {key}[{first}]", "each peer once")
        if peer.address.is_loopback and peer.port == listen_port and not peer.passive:
            yield Misfit(
                at,
                f"{peer.address}, where this node itself listens",
                f"another host's address; a speaker of this node needs another port than {listen_port}",
            )


def of_section(values: Mapping[str, Any]) -> Iterator[Misfit]:
    """Of all settings, those of overrides among them."""
    peers, overrides = values.get("peers", ()), values.get("overrides", ())
    port, socket = values.get("listen_port"), getattr(values.get("speaker"), "socket", None)
    yield from of_peers("peers", peers, port)
    for number, one in enumerate(overrides):
        if one is not None and one.peers is not None:
            own = port if one.listen_port is None else one.listen_port
            yield from of_peers(f"overrides[{number}].peers", one.peers, own)
    if (router_id := values.get("router_id")) is not None and router_id == IPv4Address(0):
        yield Misfit("router_id", "0.0.0.0", "any other number in an IPv4 address's form (RFC 6286)")
    if socket is not None and len(bytes(socket)) > MAX_SOCKET_BYTES:
        yield Misfit("speaker.socket", f"a path of {len(bytes(socket))} bytes", f"{MAX_SOCKET_BYTES} at most")
    if "local_as" in values:
        yield from _nameless(values["local_as"], peers, overrides)


def _nameless(local_as: int | None, peers: Sequence[object], overrides: Sequence[Override | None]) -> Iterator[Misfit]:
    """Peers, but no AS number of this node, whatever labels it has."""
    if local_as is not None or any(one is None or one.local_as is not None for one in overrides):
        return
    where = "peers" if peers else next(
        (f"overrides[{number}].peers" for number, one in enumerate(overrides) if one is not None and one.peers), ""
    )  # fmt: skip
    if where:
        yield Misfit("local_as", f"nothing, but {where}", "the AS number of this node")


def of_override(values: Mapping[str, Any], names: Iterable[str]) -> Iterator[Misfit]:
    """One that changes nothing, whatever of these names it could, was meant to do something."""
    if all(values.get(name, "unreadable") is None for name in names if name != "match_labels"):
        yield Misfit("", "match_labels alone", "settings for the nodes with these labels")
