"""Who sends the packet of a walk, and to whom: words of the command line, looked up among the cluster's nodes. Pure.

A *site* is a node whose agent can be asked from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal

from netloom.cli.errors import AgentAway, Ambiguous, Unusable
from netloom.model.address import Address, Family
from netloom.model.errors import NetloomError, NotFound

WORLD = {4: ip_address("203.0.113.1"), 6: ip_address("2001:db8::1")}
"""Who stands for the world: addresses set aside for documentation (RFC 5737, RFC 3849), so nobody's."""
FORMS = "a pod, namespace/pod, ep:NUMBER, an address, host, or world"

View = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What an agent said of its node."""

    node: View
    """As in ``/v1/nodes``."""
    endpoints: tuple[View, ...]
    """As in ``/v1/endpoints``."""

    @property
    def name(self) -> str:
        """Of the node."""
        return str(self.node["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where the packet comes from."""

    site: str
    """The node whose agent is asked first."""
    kind: Literal["endpoint", "host", "world"]
    label: str
    endpoint: int = 0
    source: Address | None = None
    """None leaves it to the sender."""
    families: tuple[Family, ...] = (4, 6)
    """Those the sender has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The command line."""

    source: str
    destination: str
    forged: str = ""
    """The source address the packet is to claim; "" for the sender's own."""
    six: bool = False
    """Whether IPv6 was asked for."""
    preferred: str = ""
    """The node that was chosen by name; "" when none was."""
    silent: tuple[str, ...] = ()
    """Nodes of the cluster whose agents cannot be asked: nobody here knows their pods."""


def find_start(words: Words, sites: Mapping[str, Site]) -> Start:
    """Who sends. Raises NotFound, AgentAway or Invalid, with what there is instead."""
    text, at, forged = words.source.partition("@")
    source = _claimed(words, forged if at else None)
    own = _parsed(text)
    if words.six and own is not None and own.version == 4 and source is None:
        raise Unusable(f"-6 asks for IPv6, and {own} is an IPv4 address")
    text = str(own) if own is not None else text
    if text == "host":
        return Start(site=_one_site(words, sites, "host"), kind="host", label="host", source=source)
    if text == "world" or _is_foreign(text, sites):
        address = source or (None if text == "world" else ip_address(text))
        site = _site_of_destination(words, sites) or _one_site(words, sites, "world")
        return Start(site=site, kind="world", label=text, source=address)
    if name := _node_with(text, sites):
        return Start(site=name, kind="host", label=f"host {name}", source=source or ip_address(text))
    site, view = _endpoint(text, words, sites)
    families: tuple[Family, ...] = tuple(family for family in (4, 6) if view[f"ipv{family}"])
    if source is None and _parsed(text) is not None:
        families = (4,) if ip_address(text).version == 4 else (6,)
    return Start(
        site=site,
        kind="endpoint",
        label=view["pod_name"] or f"endpoint {view['id']}",
        endpoint=view["id"],
        source=source,
        families=families,
    )


def find_destination(words: Words, sites: Mapping[str, Site], start: Start) -> tuple[str, Address]:
    """Label and address of who is sent to. Raises NotFound, AgentAway or Invalid."""
    text = words.destination
    address = _parsed(text)
    if address is not None:
        if words.six and address.version == 4:
            raise Unusable(f"-6 asks for IPv6, and {address} is an IPv4 address")
        return str(address), address
    family = _family(words, start)
    if text == "world":
        return text, WORLD[family]
    if text == "host":
        gateways = [ip_address(item) for item in sites[start.site].node["gateways"]]
        return f"host {start.site}", _of_family(gateways, family, f"node {start.site}")
    _, view = _endpoint(text, words, sites)
    own = [ip_address(view[f"ipv{each}"]) for each in (4, 6) if view[f"ipv{each}"]]
    return view["pod_name"] or f"endpoint {view['id']}", _of_family(own, family, f'"{text}"')


def source_of(start: Start, destination: Address) -> Address | None:
    """The source address to ask for; None leaves it to the sender. Raises Invalid for one of the other family."""
    source = start.source
    if source is None and start.kind == "world":
        return WORLD[destination.version]
    if source is not None and source.version != destination.version:
        raise Unusable(f"a packet from {source} cannot go to {destination}: one is IPv4, the other IPv6")
    return source


def _claimed(words: Words, forged: str | None) -> Address | None:
    """The source that was asked for; None leaves it to the sender."""
    if words.forged and forged is not None:
        raise Unusable(f'"{words.source}" and --source {words.forged} both name the source; give one of them')
    if forged == "":
        raise Unusable(f'"{words.source}" names no source address after the @')
    source = _address(words.forged or forged or "") if words.forged or forged else None
    if words.six and source is not None and source.version == 4:
        raise Unusable(f"-6 asks for IPv6, and {source} is an IPv4 address")
    return source


def _family(words: Words, start: Start) -> Family:
    if start.source is not None:
        return 4 if start.source.version == 4 else 6
    if words.six or 4 not in start.families:
        return 6
    return 4


def _of_family(found: list[Address], family: Family, whose: str) -> Address:
    for address in found:
        if address.version == family:
            return address
    have = ", ".join(map(str, found)) or "none"
    raise Unusable(f"{whose} has no IPv{family} address to send to; it has {have}")


def _endpoint(text: str, words: Words, sites: Mapping[str, Site]) -> tuple[str, View]:
    """Node and view of the endpoint meant."""
    found = [(name, view) for name, site in sites.items() for view in site.endpoints if _is_meant(text, view)]
    preferred = [item for item in found if item[0] == words.preferred]
    found = preferred or found
    if len(found) > 1:
        raise Ambiguous(
            f'"{text}" is an endpoint of {", ".join(name for name, _ in found)}; '
            "choose the node with --node NAME, or name the pod with its namespace"
        )
    if not found:
        raise _nobody(text, words, sites)
    return found[0]


def _nobody(text: str, words: Words, sites: Mapping[str, Site]) -> NetloomError:
    names = sorted({view["pod_name"] for site in sites.values() for view in site.endpoints} - {""})
    known = ", ".join(names) or "none"
    if not words.silent:
        return NotFound(f'there is no "{text[:60]}"; expected {FORMS}; pods are {known}')
    return AgentAway(
        f'there is no "{text[:60]}" among the pods known here ({known}), and the agents of {", ".join(words.silent)} '
        f"cannot be asked from here: pods of those nodes can be named by address alone"
    )


def _is_meant(text: str, view: View) -> bool:
    if text.startswith("ep:"):
        return text[3:] == str(view["id"])
    if text in (view["ipv4"], view["ipv6"], view["pod_name"]) and text:
        return True
    return text == f"{view['pod_namespace']}/{view['pod_name']}"


def _is_foreign(text: str, sites: Mapping[str, Site]) -> bool:
    """Whether it is an address of no endpoint and no node."""
    if _parsed(text) is None or _node_with(text, sites):
        return False
    return not any(_is_meant(text, view) for site in sites.values() for view in site.endpoints)


def _node_with(text: str, sites: Mapping[str, Site]) -> str:
    """The node that has the address; "" when none has."""
    address = _parsed(text)
    for name, site in sites.items():
        own = (*site.node["gateways"], site.node["underlay_ipv4"], site.node["underlay_ipv6"])
        if address is not None and address in [ip_address(item) for item in own if item]:
            return name
    return ""


def _site_of_destination(words: Words, sites: Mapping[str, Site]) -> str:
    """Whose endpoint or own address the destination is; "" when nobody's."""
    owners = [name for name, site in sites.items() for view in site.endpoints if _is_meant(words.destination, view)]
    if words.preferred:
        return words.preferred
    return owners[0] if len(owners) == 1 else _node_with(words.destination, sites)


def _one_site(words: Words, sites: Mapping[str, Site], what: str) -> str:
    if words.preferred or len(sites) == 1:
        return words.preferred or next(iter(sites))
    raise Ambiguous(f'"{what}" could be any of {", ".join(sites)}; choose the node with --node NAME')


def _parsed(text: str) -> Address | None:
    """An address; one of IPv4 in IPv6's form means IPv4, as sockets take it."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _address(text: str) -> Address:
    found = _parsed(text)
    if found is None:
        raise Unusable(f'source "{text[:60]}" is no IP address')
    return found
