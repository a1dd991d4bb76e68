"""What the proxy tells of a request, as a flow among the others."""

from __future__ import annotations

from netloom.model.flow import L7_VERDICTS, Because, Flow, FlowKind, L7Request, Packet, RuleHit
from netloom.model.policy import Origin, PolicyName

_CODES = {verdict: code for code, verdict in enumerate(L7_VERDICTS)}


def l7_flow(request: L7Request, packet: Packet, identities: tuple[int, int], at_ns: int) -> Flow:
    """The flow of a request; ``packet`` has the ends of its connection, ``identities`` are those of both.

    Pods and labels of the ends are for whoever knows them to add, as with events of programs.
    """
    source, destination = identities
    return Flow(
        kind=FlowKind.L7,
        at_ns=at_ns,
        code=_CODES[request.verdict],
        text=request.verdict,
        direction="" if request.direction == "both" else request.direction,
        source_identity=source,
        destination_identity=destination,
        endpoint_id=0,
        ifindex=0,
        hash=0,
        packet_bytes=0,
        packet=packet,
        line=0,
        service=packet.destination_port or 0,
        because=_because(request),
        request=request,
    )


def _because(request: L7Request) -> Because | None:
    """None where no rule decided."""
    if not request.policy:
        return None
    rule = RuleHit(policy=PolicyName.parse(request.policy), origin=Origin("", 0, request.origin))
    return Because(verdict=request.verdict, rules=(rule,))
