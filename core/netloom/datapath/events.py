"""Records of the event ring: bytes to flows, flows to the lines ``netctl monitor`` prints."""

from __future__ import annotations

from netloom.datapath.layout import decode, layout_of
from netloom.datapath.packets import read_packet
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.datapath.registry import CAPTURE_BYTES, EventHeader, EventType
from netloom.model.address import Address
from netloom.model.flow import Flow, FlowKind, Packet

HEADER_BYTES = layout_of(EventHeader).size

_OBSERVATIONS = {
    Observation.TO_ENDPOINT: "-> endpoint",
    Observation.TO_HOST: "-> host",
    Observation.TO_STACK: "-> stack",
    Observation.TO_OVERLAY: "-> overlay",
    Observation.FROM_ENDPOINT: "<- endpoint",
    Observation.FROM_HOST: "<- host",
    Observation.FROM_OVERLAY: "<- overlay",
}
"""The arrow shows which way the packet passes the observation point; words as in Cilium's monitor."""
_DIRECTIONS = {int(item): item.name.lower() for item in Direction}
_REASONS = {int(reason): reason.text for reason in DropReason}


def decode_event(raw: bytes, at_ns: int) -> Flow:
    """Read one record, an :class:`EventHeader` and the first bytes of the packet. Never raises.

    A record that cannot be one gives a trace whose text says so. ``at_ns`` is the wall clock of the reader.
    """
    if len(raw) < HEADER_BYTES:
        header = decode(EventHeader, raw.ljust(HEADER_BYTES, b"\0"))
        return _flow(header, FlowKind.TRACE, f"event of {len(raw)} bytes, cut short", b"", at_ns)
    header = decode(EventHeader, raw[:HEADER_BYTES])
    frame = raw[HEADER_BYTES : HEADER_BYTES + min(header.captured_bytes, CAPTURE_BYTES)]
    if header.type == EventType.DROP:
        return _flow(header, FlowKind.DROP, _REASONS.get(header.code, f"reason {header.code}"), frame, at_ns)
    if header.type == EventType.TRACE:
        text = _OBSERVATIONS.get(header.code, f"observation {header.code}")  # type: ignore[call-overload]
        return _flow(header, FlowKind.TRACE, text, frame, at_ns)
    return _flow(header, FlowKind.TRACE, f"unknown event type {header.type}", frame, at_ns)


def _flow(header: EventHeader, kind: FlowKind, text: str, frame: bytes, at_ns: int) -> Flow:
    return Flow(
        kind=kind,
        at_ns=at_ns,
        code=header.code,
        text=text,
        direction=_DIRECTIONS.get(header.direction, ""),
        source_identity=header.source_identity,
        destination_identity=header.destination_identity,
        endpoint_id=header.endpoint_id,
        ifindex=header.ifindex,
        hash=header.hash,
        packet_bytes=header.packet_bytes,
        packet=read_packet(frame),
        line=header.line,
    )


def format_flow(flow: Flow) -> str:
    """One line, as ``netctl monitor`` prints it.

    A drop: ``xx drop (TTL exceeded) flow 0x1c2d to endpoint 7, ifindex 12, line 88, identity 300->301: <packet>``.
    A trace: ``-> endpoint 7 flow 0x1c2d, identity 300->301 ifindex 12: <packet>``.
    """
    identities = f"identity {flow.source_identity}->{flow.destination_identity}"
    packet = format_packet(flow.packet)
    if flow.kind is FlowKind.DROP:
        place = f"to endpoint {flow.endpoint_id}, ifindex {flow.ifindex}, line {flow.line}"
        return f"xx drop ({flow.text}) flow 0x{flow.hash:x} {place}, {identities}: {packet}"
    at = f"{flow.text} {flow.endpoint_id}" if flow.text.endswith("endpoint") else flow.text
    return f"{at} flow 0x{flow.hash:x}, {identities} ifindex {flow.ifindex}: {packet}"


def format_packet(packet: Packet) -> str:
    """Both ends, protocol and detail.

    For example ``10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN``, ``fd00::1 -> fd00::2 EchoRequest``.
    """
    # An ICMP type says by itself that it is ICMP, as in Cilium's monitor.
    named = packet.protocol in ("icmp", "icmp6") and packet.detail
    words = [packet.detail] if named else [packet.protocol or "unknown packet:", packet.detail]
    if packet.source is not None and packet.destination is not None:
        ends = f"{_end(packet.source, packet.source_port)} -> {_end(packet.destination, packet.destination_port)}"
        words.insert(0, ends)
    return " ".join(word for word in words if word)


def _end(address: Address, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
