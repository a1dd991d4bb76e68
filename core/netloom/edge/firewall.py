"""The node's firewall: masquerading, and the guard that keeps workloads out of the host's stack.

**Masquerading**: packets from pods to addresses outside the cluster take the node's address. Off means that the table
is not there.

**The guard**: programs of ours never hand a packet on to the stack behind their device; what the host is to see goes
in at ``loom_host``. So whatever enters the stack by any other device of ours has met no program: somebody took it off.
The guard drops it, until the agent has put the program back.

**The proxy** has a connection with either end of a proxied one, and both have the same addresses and ports. Between it
and pods of this node nothing is tracked, else what leaves the node would pass for what the kernel has seen before, and
keep a pod's address. What comes back for a connection of the proxy with the world is its own, whatever address it is
for: the kernel would find the socket, and still think that it has to forward the packet, and drop it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from netloom.datapath.proxy import MARK_FROM_PROXY, MARK_TO_PROXY
from netloom.edge.nft import FirewallError, Json, any_of, base_chain, match, put_table, remove_table, rule
from netloom.edge.ownership import LINK_GROUP, guard_table, masquerade_table, proxy_table
from netloom.model.address import Network

__all__ = ["FirewallError", "MasqueradeSpec", "ensure_guard", "ensure_masquerade", "ensure_proxy", "remove_firewall"]

_NAT_CHAIN = "postrouting"
_SRCNAT_PRIORITY = 100
"""NF_IP_PRI_NAT_SRC of linux/netfilter_ipv4.h, where source translation belongs."""
_GUARD_CHAIN = "prerouting"
_RAW_PRIORITY = -300
"""NF_IP_PRI_RAW: before connection tracking, and before whatever else a node looks at."""
_MANGLE_PRIORITY = -150
"""NF_IP_PRI_MANGLE: behind connection tracking, before a route is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MasqueradeSpec:
    """What is to be masqueraded."""

    node_name: str
    pod_cidrs: tuple[Network, ...]
    """Of this node: packets from these are concerned."""
    cluster_cidrs: tuple[Network, ...]
    """Of all nodes: packets to these keep their source. This node's are added if left out."""
    devices: tuple[str, ...]
    """Our own devices (``lxc*`` names many): packets leaving by these keep their source."""


def ensure_masquerade(spec: MasqueradeSpec) -> bool:
    """Put the table in place unless it is there as wanted; says whether it had to.

    Connections under way keep the address they have. Raises Unsupported without nft, FirewallError when nft refuses.
    """
    return put_table(masquerade_table(spec.node_name), render_masquerade(spec))


def remove_masquerade(node_name: str) -> bool:
    """Remove the table; says whether it was there. Raises as :func:`ensure_masquerade`."""
    return remove_table(masquerade_table(node_name))


def ensure_guard(node_name: str, doors: Iterable[str]) -> bool:
    """Let no packet into the host's stack by devices of ours, but for ``doors``; says whether something had to be done.

    Raises as :func:`ensure_masquerade`.
    """
    return put_table(guard_table(node_name), render_guard(node_name, doors))


def ensure_proxy(node_name: str, pod_cidrs: Iterable[Network], doors: Iterable[str]) -> bool:
    """Have connections of the node's proxy found and masqueraded; says whether something had to be done.

    ``pod_cidrs``: this node's. Raises as :func:`ensure_masquerade`.
    """
    return put_table(proxy_table(node_name), render_proxy(node_name, pod_cidrs, doors))


def remove_firewall(node_name: str) -> tuple[str, ...]:
    """Remove all tables of a node; says which were there."""
    tables = {"masquerading": masquerade_table(node_name), "guard": guard_table(node_name)}
    tables["proxy"] = proxy_table(node_name)
    return tuple(f"firewall table {name} ({purpose})" for purpose, name in tables.items() if remove_table(name))


def render_guard(node_name: str, doors: Iterable[str]) -> list[Json]:
    """The commands that fill an empty table. Devices are known by their group, which they have from their birth."""
    table = guard_table(node_name)
    ours = match({"meta": {"key": "iifgroup"}}, LINK_GROUP)
    elsewhere = match({"meta": {"key": "iifname"}}, any_of(sorted(doors)), "!=")
    return [
        base_chain(table, _GUARD_CHAIN, "filter", "prerouting", _RAW_PRIORITY),
        rule(table, _GUARD_CHAIN, [ours, elsewhere, {"counter": None}, {"drop": None}]),
    ]


def render_proxy(node_name: str, pod_cidrs: Iterable[Network], doors: Iterable[str]) -> list[Json]:
    """The commands that fill an empty table."""
    table = proxy_table(node_name)
    to_proxy, from_proxy = _mark(MARK_TO_PROXY), _mark(MARK_FROM_PROXY)
    inside = any_of(sorted(("lo", *doors)))
    commands = [
        base_chain(table, "from_pods", "filter", "prerouting", _RAW_PRIORITY),
        base_chain(table, "to_pods", "filter", "output", _RAW_PRIORITY),
        rule(table, "to_pods", [from_proxy, match({"meta": {"key": "oifname"}}, inside), {"notrack": None}]),
        base_chain(table, "to_world", "filter", "output", _MANGLE_PRIORITY),
        rule(table, "to_world", [from_proxy, _put({"ct": {"key": "mark"}}, MARK_FROM_PROXY)]),
        base_chain(table, "from_world", "filter", "prerouting", _MANGLE_PRIORITY),
        rule(
            table,
            "from_world",
            [match({"ct": {"key": "mark"}}, MARK_FROM_PROXY), _put({"meta": {"key": "mark"}}, MARK_TO_PROXY)],
        ),
    ]
    for protocol, kind in (("ip", IPv4Network), ("ip6", IPv6Network)):
        if pods := [cidr for cidr in pod_cidrs if isinstance(cidr, kind)]:
            by_pods = match(_field(protocol, "saddr"), _prefixes(pods))
            commands.append(rule(table, "from_pods", [to_proxy, by_pods, {"notrack": None}]))
    return commands


def _mark(value: int) -> Json:
    return match({"meta": {"key": "mark"}}, value)


def _put(key: Json, value: int) -> Json:
    return {"mangle": {"key": key, "value": value}}


def render_masquerade(spec: MasqueradeSpec) -> list[Json]:
    """The commands that fill an empty table."""
    table = masquerade_table(spec.node_name)
    commands = [base_chain(table, _NAT_CHAIN, "nat", "postrouting", _SRCNAT_PRIORITY)]
    if spec.devices:
        by_ours = match({"meta": {"key": "oifname"}}, any_of(sorted(spec.devices)))
        commands.append(rule(table, _NAT_CHAIN, [by_ours, {"accept": None}]))
    for protocol, kind in (("ip", IPv4Network), ("ip6", IPv6Network)):
        pods = [cidr for cidr in spec.pod_cidrs if isinstance(cidr, kind)]
        cluster = [cidr for cidr in (*spec.pod_cidrs, *spec.cluster_cidrs) if isinstance(cidr, kind)]
        if pods:
            inside = match(_field(protocol, "saddr"), _prefixes(pods))
            outside = match(_field(protocol, "daddr"), _prefixes(cluster), "!=")
            commands.append(rule(table, _NAT_CHAIN, [inside, outside, {"masquerade": None}]))
    return commands


def _field(protocol: str, name: str) -> Json:
    return {"payload": {"protocol": protocol, "field": name}}


def _prefixes(networks: Iterable[Any]) -> Json:
    """Sorted and without overlaps, which nft would refuse."""
    merged = collapse_addresses(networks)
    return any_of({"prefix": {"addr": str(each.network_address), "len": each.prefixlen}} for each in merged)
