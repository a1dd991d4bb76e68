"""What would fare otherwise by other policies, as JSON. Pure."""

from __future__ import annotations

from netloom.agent import policy_views as views
from netloom.policy.explain import End, Trace
from netloom.policy.replay import Judged, RequestReplay
from netloom.policy.whatif import FlowChange


def flow_view(change: FlowChange) -> views.Json:
    """Flows of one kind."""
    protocol, service = change.seen.service
    return {
        "source": _end_view(change.seen.source),
        "destination": _end_view(change.seen.destination),
        "protocol": views.protocol_name(protocol),
        "port": service,
        "count": change.count,
        "becomes": str(change.becomes),
        "before": _verdict_view(change.before),
        "after": _verdict_view(change.after),
    }


def _verdict_view(found: Trace) -> views.Json:
    """A verdict with whoever is the cause: of a denial the end that denies, else both."""
    sides = [side for side in (found.egress, found.ingress) if side is not None]
    guilty = [side for side in sides if side.decision.verdict is found.verdict] or sides
    by_default = "default" in found.verdict
    return {
        "verdict": str(found.verdict),
        "direction": guilty[0].direction.name.lower() if guilty else "",
        "because": [views.source_view(source) for side in guilty for source in side.decision.sources],
        "isolated_by": [str(name) for side in guilty for name in side.decision.isolated_by] if by_default else [],
    }


def replay_view(change: RequestReplay) -> views.Json:
    """Requests of one kind."""
    return {
        "source": _end_view(change.seen.source),
        "destination": _end_view(change.seen.destination),
        "port": change.seen.port,
        "protocol": change.seen.protocol,
        "request": dict(change.seen.told),
        "count": change.count,
        "before": _judged_view(change.before),
        "after": _judged_view(change.after),
    }


def _judged_view(judged: Judged) -> views.Json:
    """With the end and the rule that decided, where one was asked."""
    direction, decision = judged.decisive or ("", None)
    return {
        "verdict": str(judged.verdict),
        "packets": str(judged.packets),
        "asked": judged.asked is not None,
        "direction": direction,
        "rule": None if decision is None else views.l7_rule_view(decision.rule),
    }


def _end_view(end: End) -> views.Json:
    return {"identity": int(end.identity), "address": str(end.address)}
