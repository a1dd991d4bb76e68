"""The network of a lab with racks: namespaces, cables, the spine. Its routers are started by :mod:`.routers`."""

from __future__ import annotations

from netloom.lab.inside import ip_batch, output_of
from netloom.lab.journal import Journal
from netloom.lab.racks import SPINE_V4, SPINE_V6, Cable, LabTor
from netloom.lab.topology import UNDERLAY_MTU_BYTES, LabNode, Topology
from netloom.lab.underlay import bridge, far_end, make_namespaces, port

_ADDRESS_SYSCTLS = ("net.ipv6.conf.all.keep_addr_on_down=1", "net.ipv6.conf.default.keep_addr_on_down=1")
"""A port that goes down and up again would otherwise come back without its IPv6 address."""
_ROUTER_SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    *_ADDRESS_SYSCTLS,
)
_HASH_SYSCTLS = ("net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1")
"""Ports count as well as addresses, so that connections of two pods are spread over all cables."""


def build(topology: Topology, journal: Journal) -> None:
    """Make all namespaces of a lab with racks, and everything that is plugged in."""
    make_namespaces(topology, journal)
    for netns in (topology.underlay_netns, *(tor.netns for tor in topology.tors)):
        _set(netns, *_ROUTER_SYSCTLS, *_HASH_SYSCTLS)
    ip_batch(
        topology.underlay_netns,
        [*bridge(SPINE_V4, SPINE_V6), *(line for tor in topology.tors for line in port(tor))],
    )
    for tor in topology.tors:
        nodes = topology.rack(tor)
        ip_batch(tor.netns, [*far_end(tor, SPINE_V4, SPINE_V6), *(line for node in nodes for line in _ports(node))])
        for node in nodes:
            ip_batch(node.netns, _node_side(node))
            _set(
                node.netns,
                *_HASH_SYSCTLS,
                *_ADDRESS_SYSCTLS,
                *(line for cable in node.cables for line in _carrier_counts(cable)),
            )


def cut(topology: Topology, node: LabNode, cable: Cable) -> None:
    """Take one cable out: both ends lose their carrier."""
    ip_batch(_tor(topology, node).netns, [f"link set {cable.port} down"])


def mend(topology: Topology, node: LabNode, cable: Cable) -> None:
    """Undo :func:`cut`."""
    ip_batch(_tor(topology, node).netns, [f"link set {cable.port} up"])


def _tor(topology: Topology, node: LabNode) -> LabTor:
    return next(tor for tor in topology.tors if tor.rack == node.rack)


def _set(netns: str, *settings: str) -> None:
    output_of(netns, ["sysctl", "-q", "-w", *settings])


def _carrier_counts(cable: Cable) -> tuple[str, str]:
    """A default route over several cables leaves out those that are dead."""
    return (
        f"net.ipv4.conf.{cable.device}.ignore_routes_with_linkdown=1",
        f"net.ipv6.conf.{cable.device}.ignore_routes_with_linkdown=1",
    )


def _ports(node: LabNode) -> list[str]:
    lines = []
    for cable in node.cables:
        peer = f"peer name {cable.device} mtu {UNDERLAY_MTU_BYTES} netns {node.netns}"
        lines += [
            f"link add name {cable.port} mtu {UNDERLAY_MTU_BYTES} type veth {peer}",
            f"address add {cable.tor_ipv4} dev {cable.port}",
            f"address add {cable.tor_ipv6} dev {cable.port} nodad",
            f"link set {cable.port} up",
        ]
    return lines


def _node_side(node: LabNode) -> list[str]:
    lines = ["link set lo up", f"address add {node.ipv4} dev lo", f"address add {node.ipv6} dev lo nodad"]
    for cable in node.cables:
        lines += [
            f"address add {cable.node_ipv4} dev {cable.device}",
            f"address add {cable.node_ipv6} dev {cable.device} nodad",
            f"link set {cable.device} up",
        ]
    v4 = " ".join(f"nexthop via {cable.tor_ipv4.ip} dev {cable.device}" for cable in node.cables)
    v6 = " ".join(f"nexthop via {cable.tor_ipv6.ip} dev {cable.device}" for cable in node.cables)
    # The node speaks with its own address, which stands on no cable: it is the same whichever of them is left.
    return [*lines, f"route add default src {node.ipv4.ip} {v4}", f"route add default src {node.ipv6.ip} {v6}"]
