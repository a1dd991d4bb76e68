"""Events as the data path writes them, and flows as the agent decodes them, for tests."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from netloom.datapath.connections import Tracking
from netloom.datapath.layout import encode
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import EventHeader, EventType
from netloom.model.address import Address
from netloom.model.flow import Flow, FlowKind, Packet
from netloom.model.labels import label_set

HEADER = EventHeader(
    type=EventType.DROP,
    code=DropReason.POLICY,
    direction=Direction.INGRESS,
    tracking=Tracking.NEW,
    source_identity=257,
    destination_identity=256,
    endpoint_id=0,
    captured_bytes=0,
    packet_bytes=74,
    ifindex=12,
    hash=0xCAFE,
    line=79,
    service=80,
)


def frame(source: Address, destination: Address, protocol: int = 6, ports: tuple[int, int] = (40000, 80)) -> bytes:
    """An Ethernet frame up to the ports, then zeros."""
    body = struct.pack(">HH", *ports) + bytes(16)
    if source.version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
        return bytes(12) + b"\x08\x00" + head + source.packed + destination.packed + body
    head = struct.pack(">IHBB", 6 << 28, len(body), protocol, 64)
    return bytes(12) + b"\x86\xdd" + head + source.packed + destination.packed + body


def event(source: str = "10.0.0.1", destination: str = "10.0.0.2", protocol: int = 6, **header: Any) -> bytes:
    """A record of the ring; ``header``: fields of the header that are others."""
    packet = frame(ip_address(source), ip_address(destination), protocol)
    return encode(replace(HEADER, captured_bytes=len(packet), **header)) + packet


VERDICT: dict[str, Any] = {"type": EventType.POLICY_VERDICT, "code": 0}
TRACE: dict[str, Any] = {"type": EventType.TRACE, "code": 0}
FLOW = Flow(
    kind=FlowKind.VERDICT,
    at_ns=1_772_359_200_000_000_000,
    code=0,
    text="allowed",
    direction="ingress",
    source_identity=257,
    destination_identity=256,
    endpoint_id=7,
    ifindex=12,
    hash=0xCAFE,
    packet_bytes=74,
    packet=Packet(
        protocol="tcp",
        source=ip_address("10.244.1.2"),
        destination=ip_address("10.244.2.3"),
        source_port=40000,
        destination_port=80,
        detail="SYN",
    ),
    line=0,
    tracking="new",
    service=80,
    source_labels=label_set(["k8s:app=client", "k8s:io.kubernetes.pod.namespace=shop"]),
    destination_labels=label_set(["k8s:app=web", "any:tier=front"]),
    source_pod="shop/client-1",
    destination_pod="web/web-1",
)
