"""The network between the nodes, and the world outside: one bridge that is everybody's gateway."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

from netloom.edge.netns import create_named_netns
from netloom.lab.inside import ip_batch
from netloom.lab.journal import Journal
from netloom.lab.racks import LabTor
from netloom.lab.topology import (
    GATEWAY_V4,
    GATEWAY_V6,
    OUTSIDE_V4,
    OUTSIDE_V6,
    UNDERLAY_MTU_BYTES,
    LabNode,
    Topology,
)

BRIDGE = "underlay"
DEVICE = "eth0"
"""A node's device on the underlay."""


def build(topology: Topology, journal: Journal) -> None:
    """Make all namespaces of a lab and the links between underlay and nodes."""
    make_namespaces(topology, journal)
    ip_batch(
        topology.underlay_netns,
        [*bridge(GATEWAY_V4, GATEWAY_V6), *(line for node in topology.nodes for line in port(node))],
    )
    for node in topology.nodes:
        ip_batch(node.netns, far_end(node, GATEWAY_V4, GATEWAY_V6))


def make_namespaces(topology: Topology, journal: Journal) -> None:
    """All of them, each written down first. Pods get only their loopback."""
    for name in topology.namespaces:
        journal.namespace(name)
        create_named_netns(name)
    for pod in topology.pods:
        ip_batch(pod.netns, ["link set lo up"])


def unplug(topology: Topology, node: LabNode) -> None:
    """Cut a node off the underlay; nothing else changes."""
    ip_batch(topology.underlay_netns, [f"link set {node.port} down"])


def plug(topology: Topology, node: LabNode) -> None:
    """Undo :func:`unplug`."""
    ip_batch(topology.underlay_netns, [f"link set {node.port} up"])


def bridge(ipv4: IPv4Interface, ipv6: IPv6Interface) -> list[str]:
    """Lines of ``ip`` that make the underlay's own end and the world outside."""
    return [
        "link set lo up",
        f"address add {OUTSIDE_V4}/32 dev lo",
        f"address add {OUTSIDE_V6}/128 dev lo nodad",
        # Snooping would hold back neighbour solicitations until it has learnt who listens.
        f"link add name {BRIDGE} mtu {UNDERLAY_MTU_BYTES} type bridge mcast_snooping 0",
        f"address add {ipv4} dev {BRIDGE}",
        f"address add {ipv6} dev {BRIDGE} nodad",
        f"link set {BRIDGE} up",
    ]


def port(host: LabNode | LabTor) -> list[str]:
    """Lines of ``ip`` that plug somebody into the bridge."""
    peer = f"peer name {DEVICE} mtu {UNDERLAY_MTU_BYTES} netns {host.netns}"
    return [
        f"link add name {host.port} mtu {UNDERLAY_MTU_BYTES} type veth {peer}",
        f"link set {host.port} master {BRIDGE} up",
    ]


def far_end(host: LabNode | LabTor, ipv4: IPv4Interface, ipv6: IPv6Interface) -> list[str]:
    """Lines of ``ip`` for its own end, with the bridge's addresses as gateways."""
    return [
        "link set lo up",
        f"address add {host.ipv4} dev {DEVICE}",
        f"address add {host.ipv6} dev {DEVICE} nodad",
        f"link set {DEVICE} up",
        f"route add default via {ipv4.ip}",
        f"route add default via {ipv6.ip}",
    ]
