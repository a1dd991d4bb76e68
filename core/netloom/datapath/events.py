"""Records of the event ring: bytes to flows. How flows are printed stands in :mod:`netloom.datapath.event_lines`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from netloom.datapath.connections import Tracking
from netloom.datapath.layout import decode, layout_of
from netloom.datapath.packets import read_packet
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.datapath.registry import CAPTURE_BYTES, EventHeader, EventType, PolicyVerdict
from netloom.model.flow import Flow, FlowKind

_HEADER = layout_of(EventHeader).packer
HEADER_BYTES = _HEADER.size
POLICY_DROPS: Final = frozenset(
    {
        DropReason.POLICY,
        DropReason.POLICY_DENY,
        DropReason.NO_POLICY,
        DropReason.POLICY_UNKNOWN_PEER,
        DropReason.POLICY_INCOMPLETE,
    }
)
"""Drops that policies caused, which are verdicts too."""

_OBSERVATIONS: dict[int, str] = {
    Observation.TO_ENDPOINT: "-> endpoint",
    Observation.TO_PROXY: "-> proxy",
    Observation.TO_HOST: "-> host",
    Observation.TO_STACK: "-> stack",
    Observation.TO_OVERLAY: "-> overlay",
    Observation.FROM_ENDPOINT: "<- endpoint",
    Observation.FROM_PROXY: "<- proxy",
    Observation.FROM_HOST: "<- host",
    Observation.FROM_OVERLAY: "<- overlay",
    Observation.FROM_NETWORK: "<- network",
    Observation.TO_NETWORK: "-> network",
}
"""The arrow shows which way the packet passes the observation point; words as in Cilium's monitor."""
_DIRECTIONS = {int(item): item.name.lower() for item in Direction}
_REASONS = {int(reason): reason.text for reason in DropReason}
_VERDICTS = {int(item): item.name.lower().replace("_", " ") for item in PolicyVerdict}
_TRACKINGS = {int(item): item.name.lower() for item in Tracking if item is not Tracking.NONE}
_KINDS = {
    int(EventType.DROP): FlowKind.DROP,
    int(EventType.TRACE): FlowKind.TRACE,
    int(EventType.POLICY_VERDICT): FlowKind.VERDICT,
}
_ONE_KIND = {kind: frozenset({kind}) for kind in FlowKind}
_DENIAL = frozenset({FlowKind.DROP, FlowKind.VERDICT})


class Head(NamedTuple):
    """An :class:`EventHeader` as it is unpacked where every event counts: the same fields in the same order."""

    type: int
    code: int
    direction: int
    tracking: int
    source_identity: int
    destination_identity: int
    endpoint_id: int
    captured_bytes: int
    packet_bytes: int
    ifindex: int
    hash: int
    line: int
    service: bytes
    """As on the wire."""


def read_head(raw: bytes) -> Head | None:
    """The fixed part of a record; None when that is cut short."""
    return Head._make(_HEADER.unpack_from(raw)) if len(raw) >= HEADER_BYTES else None


def frame_of(raw: bytes, captured_bytes: int) -> bytes:
    """The captured bytes of the packet."""
    return raw[HEADER_BYTES : HEADER_BYTES + min(captured_bytes, CAPTURE_BYTES)]


def kinds_of(raw: bytes) -> frozenset[FlowKind]:
    """As what a record may be asked for: a drop by policies is a verdict too; what is not known is a trace."""
    if raw[:1] == b"\x01" and raw[1:2] and raw[1] in POLICY_DROPS and len(raw) >= HEADER_BYTES:
        return _DENIAL
    kind = _KINDS.get(raw[0], FlowKind.TRACE) if len(raw) >= HEADER_BYTES else FlowKind.TRACE
    return _ONE_KIND[kind]


def decode_event(raw: bytes, at_ns: int) -> Flow:
    """Read one record, an :class:`EventHeader` and the first bytes of the packet. Never raises.

    A record that cannot be one gives a trace whose text says so. ``at_ns`` is the wall clock of the reader.
    """
    if len(raw) < HEADER_BYTES:
        header = decode(EventHeader, raw.ljust(HEADER_BYTES, b"\0"))
        return _flow(header, FlowKind.TRACE, f"event of {len(raw)} bytes, cut short", b"", at_ns)
    header = decode(EventHeader, raw[:HEADER_BYTES])
    kind = _KINDS.get(header.type, FlowKind.TRACE)
    return _flow(header, kind, _text(header), frame_of(raw, header.captured_bytes), at_ns)


def as_verdict(flow: Flow) -> Flow | None:
    """A drop by policies as the verdict that it is; None for any other flow."""
    if flow.kind is FlowKind.DROP and flow.code in POLICY_DROPS:
        return replace(flow, kind=FlowKind.VERDICT)
    return None


def action_of(kind: int, code: int) -> str:
    """What policies said, in Cilium's words: ``allow``, ``audit`` or ``deny``; "" for an event that is no verdict."""
    if kind == EventType.DROP:
        return "deny" if code in POLICY_DROPS else ""
    if kind != EventType.POLICY_VERDICT:
        return ""
    return "allow" if code == PolicyVerdict.ALLOWED else "audit"


def _text(header: EventHeader) -> str:
    match header.type:
        case EventType.DROP:
            return _REASONS.get(header.code, f"reason {header.code}")
        case EventType.TRACE:
            return _OBSERVATIONS.get(header.code, f"observation {header.code}")
        case EventType.POLICY_VERDICT:
            return _VERDICTS.get(header.code, f"verdict {header.code}")
        case _:
            return f"unknown event type {header.type}"


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
        tracking=_TRACKINGS.get(header.tracking, ""),
        service=header.service,
    )
