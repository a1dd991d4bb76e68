"""Flows as lines for people: what ``netctl monitor`` prints, in words like those of Cilium's monitor."""

from __future__ import annotations

from dataclasses import replace

from netloom.model.address import Address
from netloom.model.flow import Because, Flow, FlowKind, FlowVerdict, L7Request, Packet, RuleHit
from netloom.model.visibility import ANNOTATION

_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
_ACTIONS = {
    FlowVerdict.FORWARDED: "allow",
    FlowVerdict.AUDIT: "audit",
    FlowVerdict.DROPPED: "deny",
    FlowVerdict.REDIRECTED: "redirect",
}
_CAUSES = {
    "allowed": "allowed by",
    "denied": "denied by",
    "denied by default": "isolated by",
    "audited": "would be denied by",
    "redirected": "sent to the proxy by",
    "audited by default": "would be isolated by",
}


def format_flow(flow: Flow) -> str:
    """One line, as ``netctl monitor`` prints it.

    A drop: ``xx drop (TTL exceeded) flow 0x1c2d to endpoint 7, ifindex 12, line 88, identity 300->301: <packet>``.
    A trace: ``-> endpoint 7 flow 0x1c2d, identity 300->301 state new ifindex 12: <packet>``.
    A verdict: ``Policy verdict log: flow 0x1c2d local EP ID 7, remote ID 301, proto 6, egress, action allow,
    match L3-L4, <packet>``. A request: ``l7 http denied 10.0.0.1:40000 -> 10.0.0.2:80 method=PUT path=/jobs/1 =>
    status=403, 0.2 ms, identity 300->301``. What policies decided ends with who was the cause, in brackets.
    """
    if flow.request is not None:
        return _request(flow, flow.request) + _cause(flow)
    if flow.kind is FlowKind.VERDICT:
        return _verdict(flow) + _cause(flow)
    identities = f"identity {flow.source_identity}->{flow.destination_identity}"
    packet = format_packet(flow.packet)
    if flow.kind is FlowKind.DROP:
        place = f"to endpoint {flow.endpoint_id}, ifindex {flow.ifindex}, line {flow.line}"
        return f"xx drop ({flow.text}) flow 0x{flow.hash:x} {place}, {identities}: {packet}" + _cause(flow)
    at = f"{flow.text} {flow.endpoint_id}" if flow.text.endswith("endpoint") else flow.text
    state = f" state {flow.tracking}" if flow.tracking else ""
    return f"{at} flow 0x{flow.hash:x}, {identities}{state} ifindex {flow.ifindex}: {packet}"


def format_cause(because: Because) -> str:
    """Who was the cause, as ``isolated by NetworkPolicy/shop/a, NetworkPolicy/shop/b``; "" when nobody was."""
    if because.outdated:
        return "policies are others by now"
    if not because.verdict:
        return f"isolated by {', '.join(map(str, because.isolated_by))}" if because.isolated_by else ""
    # Who isolates is a matter of whole policies; who allows or denies, of one place in them.
    name = _name if because.verdict.endswith("by default") else _place
    return f"{_CAUSES[because.verdict]} {', '.join(dict.fromkeys(map(name, because.rules)))}" if because.rules else ""


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


def _verdict(flow: Flow) -> str:
    local_is_source = (flow.direction == "egress") != (flow.tracking == "reply")
    remote = flow.destination_identity if local_is_source else flow.source_identity
    protocol = _NUMBERS.get(flow.packet.protocol, flow.packet.protocol or "unknown")
    match = flow.because.match if flow.because else "none"
    action = _ACTIONS[flow.verdict]
    return (
        f"Policy verdict log: flow 0x{flow.hash:x} local EP ID {flow.endpoint_id}, remote ID {remote}, "
        f"proto {protocol}, {flow.direction or 'unknown'}, action {action}, match {match}, {format_packet(flow.packet)}"
    )


def _request(flow: Flow, request: L7Request) -> str:
    identities = f"identity {flow.source_identity}->{flow.destination_identity}"
    ends = format_packet(replace(flow.packet, protocol="", detail="")).removesuffix(" unknown packet:")
    return f"l7 {request.protocol} {request.verdict} {ends} {format_request(request)}, {identities}"


def format_request(request: L7Request) -> str:
    """A request with its answer: ``method=GET path=/jobs/1 => status=200, 1.3 ms``."""
    words = [" ".join(f"{name}={word}" for name, word in request.fields.items())]
    if request.answer:
        words += ["=>", " ".join(f"{name}={word}" for name, word in request.answer.items())]
    text = " ".join(filter(None, words))
    facts = [f"{request.latency_ns / 1e6:.1f} ms"] if request.latency_ns else []
    return ", ".join(filter(None, (text, *facts, request.why)))


def _cause(flow: Flow) -> str:
    cause = format_cause(flow.because) if flow.because else ""
    return f" [{cause}]" if cause else ""


def _name(rule: RuleHit) -> str:
    """Its policy, or the key of the node config, or the pod's annotation, that is as good as one."""
    if rule.policy is not None:
        return str(rule.policy)
    return rule.origin.path if rule.origin.path == ANNOTATION else f"policy.{rule.origin.path}"


def _place(rule: RuleHit) -> str:
    return f"{rule.policy} ({rule.origin})" if rule.policy is not None else _name(rule)


def _end(address: Address, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
