"""The networks that are compared: each gives two namespaces that reach each other over TCP.

All have the MTU of Netloom's overlay, so that no network wins by larger packets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab import lab
from netloom.lab.inside import ip_batch
from netloom.lab.topology import LabSpec

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
def _namespaces(*labels: str) -> Iterator[tuple[str, ...]]:
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
    with _namespaces("veth-a", "veth-b") as (a, b):
        peer = f"peer name eth0 mtu {MTU_BYTES} netns {b}"
        ip_batch(a, [f"link add name eth0 mtu {MTU_BYTES} type veth {peer}"])
        for name, address in ((a, "10.9.0.1"), (b, "10.9.0.2")):
            ip_batch(name, [f"address add {address}/24 dev eth0", "link set eth0 up"])
        yield Pair(name="veth", client_netns=a, server_netns=b, server_address="10.9.0.2")


@contextmanager
def bridge() -> Iterator[Pair]:
    """Two veth pairs on a bridge: what most container networks of one machine are."""
    with _namespaces("bridge-s", "bridge-a", "bridge-b") as (switch, a, b):
        ip_batch(switch, [f"link add name br0 mtu {MTU_BYTES} type bridge", "link set br0 up"])
        _plug(switch, a, "port1", "10.9.0.1")
        _plug(switch, b, "port2", "10.9.0.2")
        yield Pair(name="bridge", client_netns=a, server_netns=b, server_address="10.9.0.2")


@contextmanager
def bridge_vxlan() -> Iterator[Pair]:
    """Two bridges joined by the kernel's vxlan: the plain overlay between two machines."""
    with _namespaces("vxlan-u", "vxlan-1", "vxlan-2", "vxlan-a", "vxlan-b") as (underlay, one, two, a, b):
        ip_batch(underlay, ["link add name br0 type bridge", "link set br0 up"])
        for number, (node, pod) in enumerate(((one, a), (two, b)), 1):
            ip_batch(
                underlay,
                [
                    f"link add name node{number} type veth peer name eth0 netns {node}",
                    f"link set node{number} master br0 up",
                ],
            )
            ip_batch(node, _vxlan_node(number, other=3 - number))
            _plug(node, pod, "port1", f"10.9.0.{number}")
        yield Pair(name="bridge+vxlan", client_netns=a, server_netns=b, server_address="10.9.0.2")


def _vxlan_node(number: int, *, other: int) -> list[str]:
    tunnel = f"id 42 local 10.8.0.{number} remote 10.8.0.{other} dstport 8472"
    return [
        f"address add 10.8.0.{number}/24 dev eth0",
        "link set eth0 up",
        f"link add name br0 mtu {MTU_BYTES} type bridge",
        f"link add name vxlan0 mtu {MTU_BYTES} type vxlan {tunnel}",
        "link set vxlan0 master br0 up",
        "link set br0 up",
    ]


@contextmanager
def netloom() -> Iterator[tuple[Pair, Pair]]:
    """A lab of two nodes: a pair of pods on one node, and a pair on two."""
    made = lab.up(LabSpec(name=MARK))
    try:
        pods = {pod.name: pod.netns for pod in made.topology.pods}
        addresses = {name: endpoint["ipv4"] for name, endpoint in made.endpoints().items()}

        def pair(name: str, server: str) -> Pair:
            return Pair(
                name=name,
                client_netns=pods["busybox1"],
                server_netns=pods[server],
                server_address=addresses[server],
            )

        yield pair("netloom", "busybox2"), pair("netloom over vxlan", "busybox3")
    finally:
        lab.down(MARK)
