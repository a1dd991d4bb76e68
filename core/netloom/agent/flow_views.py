"""Flows as the API shows them: plain JSON values. Pure; written out by hand because there may be thousands a second."""

from __future__ import annotations

from netloom.agent.flow_log import Loss
from netloom.agent.views import Json, label_texts
from netloom.datapath.event_lines import format_cause, format_flow, format_request
from netloom.model.flow import Because, Flow, L7Request, Packet


def flow_view(flow: Flow) -> Json:
    """One line of ``/v1/flows``."""
    return {
        "kind": flow.kind.value,
        "verdict": flow.verdict.value,
        "at_ns": flow.at_ns,
        "code": flow.code,
        "text": flow.text,
        "direction": flow.direction,
        "tracking": flow.tracking,
        "service": flow.service,
        "source_identity": flow.source_identity,
        "source_labels": label_texts(flow.source_labels),
        "source_pod": flow.source_pod,
        "destination_identity": flow.destination_identity,
        "destination_labels": label_texts(flow.destination_labels),
        "destination_pod": flow.destination_pod,
        "endpoint_id": flow.endpoint_id,
        "ifindex": flow.ifindex,
        "hash": flow.hash,
        "packet_bytes": flow.packet_bytes,
        "packet": _packet_view(flow.packet),
        "line": flow.line,
        "request": None if flow.request is None else _request_view(flow.request),
        "policy": None if flow.because is None else _because_view(flow.because),
    }


def monitor_view(flow: Flow) -> Json:
    """One line of ``/v1/monitor``: the same, and how it is printed."""
    view = flow_view(flow)
    view["summary"] = format_flow(flow)
    return view


def loss_view(loss: Loss) -> Json:
    """A line of either, where flows are missing."""
    return {"kind": "lost", "where": loss.where.value, "count": loss.count, "at_ns": loss.at_ns}


def _packet_view(packet: Packet) -> Json:
    return {
        "protocol": packet.protocol,
        "source": None if packet.source is None else str(packet.source),
        "destination": None if packet.destination is None else str(packet.destination),
        "source_port": packet.source_port,
        "destination_port": packet.destination_port,
        "detail": packet.detail,
    }


def _request_view(request: L7Request) -> Json:
    return {
        "protocol": request.protocol,
        "verdict": request.verdict,
        "direction": request.direction,
        "fields": dict(request.fields),
        "answer": dict(request.answer),
        "latency_ns": request.latency_ns,
        "why": request.why,
        "text": format_request(request),
    }


def _because_view(because: Because) -> Json:
    return {
        "verdict": because.verdict,
        "match": because.match,
        "cause": format_cause(because),
        "policies": [str(name) for name in because.policies],
        "rules": [
            {
                "policy": "" if rule.policy is None else str(rule.policy),
                "file": rule.origin.file,
                "line": rule.origin.line if rule.origin.file else 0,
                "path": rule.origin.path,
                "description": rule.description,
            }
            for rule in because.rules
        ],
        "isolated_by": [str(name) for name in because.isolated_by],
        "prefix": None if because.prefix is None else str(because.prefix),
        "outdated": because.outdated,
    }
