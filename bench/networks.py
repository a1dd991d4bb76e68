"""The networks that are compared: each gives two namespaces that reach each other over TCP.

All have the MTU of Netloom's overlay, so that no network wins by larger packets, but those of :mod:`bench.routed`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.reference import Reference
from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab.inside import ip_batch, output_of
from netloom.lab.lab import Lab, running
from netloom.lab.topology import LabPod, LabSpec

MTU_BYTES = 1450
MARK = f"bench{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two namespaces, and how they are joined."""

    name: str
    client_netns: str
    server_netns: str
    server_address: str


@contextmanager
def namespaces(*labels: str) -> Iterator[tuple[str, ...]]:
    """Empty namespaces with these labels in their names; they go at the end."""
    names = tuple(f"{MARK}-{label}" for label in labels)
    try:
        for name in names:
            create_named_netns(name)
            ip_batch(name, ["link set lo up"])
        yield names
    finally:
        for name in names:
            delete_named_netns(name)


def _plug(switch: str, pod: str, port: str, address: str) -> None:
    """A veth pair from a namespace to the bridge ``br0`` of another."""
    peer = f"peer name eth0 mtu {MTU_BYTES} netns {pod}"
    ip_batch(
        switch,
        [f"link add name {port} mtu {MTU_BYTES} type veth {peer}", f"link set {port} master br0 up"],
    )
    ip_batch(pod, [f"address add {address}/24 dev eth0", "link set eth0 up"])


@contextmanager
def raw_veth() -> Iterator[Pair]:
    """One veth pair and nothing else: the least a packet between two namespaces can cost."""
    with namespaces("veth-a", "veth-b") as (a, b):
        peer = f"peer name eth0 mtu {MTU_BYTES} netns {b}"
        ip_batch(a, [f"link add name eth0 mtu {MTU_BYTES} type veth {peer}"])
        for name, address in ((a, "10.9.0.1"), (b, "10.9.0.2")):
            ip_batch(name, [f"address add {address}/24 dev eth0", "link set eth0 up"])
        yield Pair(name="veth", client_netns=a, server_netns=b, server_address="10.9.0.2")


@contextmanager
def reference(kind: str) -> Iterator[Pair]:
    """Two pods that a plugin of the CNI project joins, with its ``host-local`` for addresses."""
    labels = (f"{kind}-node", f"{kind}-a", f"{kind}-b")
    with namespaces(*labels) as (node, a, b), tempfile.TemporaryDirectory() as directory:
        plugin = Reference(kind=kind, node=node, subnet="10.9.0.0/24", data_dir=Path(directory), mtu_bytes=MTU_BYTES)
        plugin.attach(a)
        yield Pair(name=kind, client_netns=a, server_netns=b, server_address=plugin.attach(b))


@contextmanager
def bridge_vxlan() -> Iterator[Pair]:
    """Two bridges joined by the kernel's vxlan: the plainest overlay between two machines, one network for all pods."""
    with two_nodes("vxlan") as (nodes, pods):
        for number, (node, pod) in enumerate(zip(nodes, pods, strict=True), 1):
            tunnel = f"id 42 local 10.8.0.{number} remote 10.8.0.{3 - number} dstport 8472"
            ip_batch(
                node,
                [
                    f"link add name br0 mtu {MTU_BYTES} type bridge",
                    f"link add name vxlan0 mtu {MTU_BYTES} type vxlan {tunnel}",
                    "link set vxlan0 master br0 up",
                    "link set br0 up",
                ],
            )
            _plug(node, pod, "port1", f"10.9.0.{number}")
        yield Pair(name="bridge+vxlan", client_netns=pods[0], server_netns=pods[1], server_address="10.9.0.2")


@contextmanager
def flannel() -> Iterator[Pair]:
    """An overlay as flannel builds it: a subnet for each node, routed to the other's vxlan device, bridged to pods.

    The device learns nothing: neighbour, forwarding entry and route stand for each node.
    """
    with two_nodes("flannel") as (nodes, pods), tempfile.TemporaryDirectory() as directory:
        addresses = []
        for number, (node, pod) in enumerate(zip(nodes, pods, strict=True), 1):
            other, mac = 3 - number, "02:00:00:00:09:0"
            tunnel = f"id 1 local 10.8.0.{number} dev eth0 dstport 8472 nolearning"
            ip_batch(
                node,
                [
                    f"link add name flannel.1 address {mac}{number} mtu {MTU_BYTES} type vxlan {tunnel}",
                    f"address add 10.9.{number}.0/32 dev flannel.1",
                    "link set flannel.1 up",
                    f"neighbor add 10.9.{other}.0 lladdr {mac}{other} dev flannel.1 nud permanent",
                    f"route add 10.9.{other}.0/24 via 10.9.{other}.0 dev flannel.1 onlink",
                ],
            )
            output_of(node, ["bridge", "fdb", "add", f"{mac}{other}", "dev", "flannel.1", "dst", f"10.8.0.{other}"])
            plugin = Reference(
                kind="bridge",
                node=node,
                subnet=f"10.9.{number}.0/24",
                data_dir=Path(directory, node),
                mtu_bytes=MTU_BYTES,
            )
            addresses.append(plugin.attach(pod))
        yield Pair(name="flannel", client_netns=pods[0], server_netns=pods[1], server_address=addresses[1])


@contextmanager
def two_nodes(label: str) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Two nodes on an underlay of the lab's kind, at 10.8.0.1 and 10.8.0.2, and a pod's bare namespace for each."""
    labels = (f"{label}-{what}" for what in ("u", "1", "2", "a", "b"))
    with namespaces(*labels) as (underlay, one, two, a, b):
        ip_batch(underlay, ["link add name br0 type bridge", "link set br0 up"])
        for number, node in enumerate((one, two), 1):
            ip_batch(
                underlay,
                [
                    f"link add name node{number} type veth peer name eth0 netns {node}",
                    f"link set node{number} master br0 up",
                ],
            )
            ip_batch(node, [f"address add 10.8.0.{number}/24 dev eth0", "link set eth0 up"])
        yield (one, two), (a, b)


@contextmanager
def netloom() -> Iterator[tuple[Pair, Pair]]:
    """A lab of two nodes: a pair of pods on one node, and a pair on two."""
    with running(LabSpec(name=MARK)) as lab:
        client, near, far, _ = lab.topology.pods
        one, two = pairs_of(lab, ("netloom", client, near), ("netloom over vxlan", client, far))
        yield one, two


def pairs_of(lab: Lab, *joined: tuple[str, LabPod, LabPod]) -> list[Pair]:
    """Pods of a lab: of each pair its name, the client and the server."""
    known = lab.endpoints()
    return [
        Pair(
            name=name,
            client_netns=client.netns,
            server_netns=server.netns,
            server_address=known[server.name]["ipv4"],
        )
        for name, client, server in joined
    ]
