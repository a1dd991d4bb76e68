"""A node with real devices: the data path attached to them, workloads in namespaces of their own."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_network
from typing import Any

from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import CAPTURE_BYTES, EventType, NodeConfig
from netloom.edge.host import HostSpec, prepare_host
from netloom.edge.netlink import Netlink
from netloom.edge.workload import WorkloadSpec, create_workload
from netloom.lab.agents import wait_until
from netloom.lab.patience import patient
from netloom.plugins.contract import RouteSpec
from netloom_vxlan.mode import VxlanMode
from support import pipeline as table
from support.netns import Namespace
from support.pipeline import GATEWAYS, MTU_BYTES, NODE, REASONS, TUNNEL_PORT, Event, Pipeline, Pod

POD_PREFIXES = (ip_network("10.244.0.0/16"), ip_network("fd00:10:244::/48"))
"""Of all nodes."""
WITHIN_S = patient(5.0)
"""How long a test waits for what must happen; it matters only when the test fails."""
VNET_HEADER = 15
"""PACKET_VNET_HDR (linux/if_packet.h): each frame follows a struct virtio_net_hdr."""
NEEDS_CHECKSUM = 1
"""VIRTIO_NET_HDR_F_NEEDS_CSUM (linux/virtio_net.h)."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload and the namespace it lives in."""

    pod: Pod
    netns: Namespace

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of the namespace, wherever it is used."""
        made = self.netns.call(socket.socket, family, kind, protocol)
        made.settimeout(WITHIN_S)
        return made

    def frames(self) -> socket.socket:
        """Sends and receives whole frames of the workload's interface."""
        made = self.open_socket(socket.AF_PACKET, socket.SOCK_RAW)
        made.bind(("eth0", socket.htons(3)))  # ETH_P_ALL
        return made

    def inject(self, frame: bytes) -> None:
        """Send a frame as it is."""
        with self.frames() as sender:
            sender.send(frame)

    def inject_offloaded(self, frame: bytes, *, linear_bytes: int = 0, checksum: tuple[int, int] | None = None) -> None:
        """Send a frame as a driver with offloads would.

        ``linear_bytes`` of it stand in the buffer's linear part; its checksum is still to be made: given is where
        it starts, and at which offset from there it goes.
        """
        start, offset = checksum or (0, 0)
        header = struct.pack("=BBHHHH", NEEDS_CHECKSUM if checksum else 0, 0, linear_bytes, 0, start, offset)
        with self.frames() as sender:
            sender.setsockopt(263, VNET_HEADER, 1)  # SOL_PACKET
            sender.send(header + frame)


class WireNode:
    """One node. Packets go through real devices; :attr:`pipeline` says what the programs did with them."""

    def __init__(self, pipeline: Pipeline, make_netns: Callable[[str], Namespace]) -> None:
        self.pipeline = pipeline
        self._make_netns = make_netns
        self._underlay = NODE
        self.netns = make_netns("node")
        self.netlink = self.netns.call(Netlink, "wire")
        devices = VxlanMode(TUNNEL_PORT).devices()
        spec = HostSpec(gateways=GATEWAYS, mtu_bytes=MTU_BYTES, devices=devices)
        self.links = self.netns.call(prepare_host, self.netlink, spec)
        for gateway, prefix in zip(GATEWAYS, POD_PREFIXES, strict=True):
            route = RouteSpec(
                prefix=prefix, device="loom_host", source=gateway, via=gateway if prefix.version == 4 else None
            )
            self.netns.call(self.netlink.put_route, route)
        for device, direction, name in (
            ("loom_host", "egress", "from_host"),
            ("loom_vxlan", "ingress", "from_overlay"),
        ):
            self._attach(device, direction, name)
        pipeline.write_node(self.config())

    def open_direct_way(self, device: str, address: IPv4Address) -> None:
        """Let tunnel packets pass by the tunnel device: by ``device``, which has ``address``."""
        self._attach(device, "ingress", "from_underlay")
        ifindex = self.netns.call(self.netlink.require_link, device).ifindex
        self._underlay = replace(NODE, underlay_ipv4=address, underlay_ifindex=ifindex)
        self.pipeline.write_node(self.config())

    def close_direct_way(self) -> None:
        """From now on everything goes by the tunnel device."""
        self._underlay = NODE
        self.pipeline.write_node(self.config())

    def tunnelled(self) -> tuple[int, int]:
        """Packets the tunnel device has received and sent so far."""
        (found,) = json.loads(self.netns.run("ip", "-j", "-s", "link", "show", "loom_vxlan"))
        return found["stats64"]["rx"]["packets"], found["stats64"]["tx"]["packets"]

    def config(self, *, trace: int = 0) -> NodeConfig:
        """The node's facts, with the real devices in them."""
        return replace(
            self._underlay,
            host_ifindex=self.links.host.ifindex,
            host_mac=self.links.host.mac,
            tunnel_ifindex=self.links.devices["loom_vxlan"].ifindex,
            trace=trace,
        )

    def close(self) -> None:
        """Devices end with the namespace."""
        self.netns.call(self.netlink.close)

    def add(self, number: int) -> Workload:
        """A workload with the addresses of :func:`support.pipeline.pod`."""
        inside = self._make_netns(f"pod{number}")
        wanted = table.pod(number, 0)
        program = self.pipeline.programs["from_container"]
        spec = WorkloadSpec(
            host_ifname=f"lxc{number}",
            ifname="eth0",
            netns=str(inside.path),
            addresses=(wanted.ipv4, wanted.ipv6),
            gateways=GATEWAYS,
            mtu_bytes=MTU_BYTES,
            program_fd=program.fd,
            program_name=program.name,
        )
        made = self.netns.call(create_workload, self.netlink, spec)
        # The kernel takes an IPv6 address into use in a work queue of its own: a moment later, when it is busy.
        assert wait_until(
            lambda: str(wanted.ipv6) in inside.run("ip", "-6", "route", "show", "table", "local"), WITHIN_S
        )
        known = replace(wanted, ifindex=made.ifindex, mac=made.mac, node_mac=made.host_mac)
        self.pipeline.write_pod(known)
        return Workload(known, inside)

    def reason_of(self, frame: bytes) -> DropReason | None:
        """Why this very frame is dropped, once it is; None when no such event comes. Other frames are passed over."""
        event = self.await_event(
            lambda item: item.header.type == EventType.DROP and item.frame == frame[:CAPTURE_BYTES]
        )
        return REASONS[event.header.code] if event else None

    def await_event(self, wanted: Callable[[Event], bool]) -> Event | None:
        """The next event that is wanted, or None when none comes; those before it are forgotten."""
        while select.select([self.pipeline.ring_fd], [], [], WITHIN_S)[0]:
            for item in self.pipeline.events():
                if wanted(item):
                    return item
        return None

    def _attach(self, device: str, direction: Any, name: str) -> None:
        program = self.pipeline.programs[name]
        self.netns.call(self.netlink.attach_filter, device, direction, program.fd, program.name)


@contextmanager
def wire_node(pipeline: Pipeline, make_netns: Callable[[str], Namespace]) -> Iterator[WireNode]:
    """A node that ends with the block."""
    node = WireNode(pipeline, make_netns)
    try:
        yield node
    finally:
        node.close()
