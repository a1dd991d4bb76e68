"""A node that reaches others natively: CAROL's and DAVE's node, and a prefix outside that knows a way back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from netloom.datapath import registry
from netloom.datapath.registry import IpcacheFlag
from netloom.model.address import Address
from netloom.model.identity import Reserved
from support import packets
from support.packets import UDP
from support.pipeline import CAROL, WORLD, Pipeline

PREFIXES = (ip_network("10.244.2.0/24"), ip_network("fd00:10:244:2::/64"))
"""Of the other node's pods."""
OTHER_NODE = (ip_address("192.0.2.2"), ip_address("2001:db8:1::2"))
"""The other node's underlay addresses."""
KNOWING = (ip_address("198.51.100.7"), ip_address("2001:db8:99::7"))
"""Outside the cluster, in native_cidrs."""


def make_native(pipeline: Pipeline) -> None:
    """Write what the agent of such a node would, tunnels left out."""
    tunnels = pipeline.maps.of(registry.TUNNELS)
    for prefix in PREFIXES:
        tunnels.delete(registry.TunnelKey(prefix))
        pipeline.write_ipcache(prefix, flags=IpcacheFlag.NATIVE)
    for everything in ("0.0.0.0/0", "::/0"):
        pipeline.write_ipcache(ip_network(everything), identity=Reserved.WORLD)
    for address in (CAROL.ipv4, CAROL.ipv6):
        pipeline.write_ipcache(ip_network(address), identity=CAROL.identity, flags=IpcacheFlag.NATIVE)
    for address in OTHER_NODE:
        pipeline.write_ipcache(ip_network(address), identity=Reserved.REMOTE_NODE, flags=IpcacheFlag.NATIVE)
    for prefix in (ip_network("198.51.100.0/24"), ip_network("2001:db8:99::/64")):
        pipeline.write_ipcache(prefix, identity=Reserved.WORLD, flags=IpcacheFlag.NATIVE)


def coming(destination: Address, source: Address | None = None, payload: bytes | None = None, **given: int) -> bytes:
    """A frame as an underlay device receives it: from CAROL unless told otherwise."""
    own: Address = CAROL.ipv4 if destination.version == 4 else CAROL.ipv6
    body = packets.udp() if payload is None else payload
    protocol, ttl = given.get("protocol", UDP), given.get("ttl", 64)
    packet = packets.ip(body, source=source or own, destination=destination, protocol=protocol, ttl=ttl)
    # Test runs take frames for the loopback device, whose address is zero.
    return packets.ethernet(packet, source=CAROL.node_mac, destination=bytes(6))


def of_world(family: int) -> IPv4Address | IPv6Address:
    """An address that no ipcache entry knows."""
    return WORLD[0] if family == 4 else WORLD[1]
