"""The node's proxy on a packet's way: whose connection it has, what it says of requests, and what it sends then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from netloom.agent.policy_views import request_view
from netloom.agent.walk.stack import Sent, addresses, leave
from netloom.agent.walk.state import Found, InStack, Step, Walk
from netloom.bpf.twin import Entry
from netloom.datapath import connection_records, craft
from netloom.datapath.proxy import MARK_FROM_PROXY
from netloom.edge.paths import NoPath, Question
from netloom.model.connection import Connection
from netloom.model.walk import Ending, Fate, Place
from netloom.policy.l7_trace import RequestTrace
from netloom.policy.l7_verdicts import L7Verdict


def connection_of(entry: Entry) -> Connection:
    """What programs have written of a connection: the proxy reads from there who its ends are."""
    return next(connection_records.read(entry.key, entry.value, time.monotonic_ns()))


def judge(walk: Walk, handed: InStack, requests: Sequence[RequestTrace]) -> Ending | None:
    """Note what the proxy says; an ending where it lets a request go no further."""
    name = walk.around.facts.node.name
    denied = [one for one in requests if one.verdict is L7Verdict.DENIED]
    text = f"the proxy of {name} lets it go on"
    if denied:
        some = f"{len(denied)} of {len(requests)} requests " if len(requests) > 1 else ""
        text = f"{some}denied by the proxy of {name}"
    found = Found(text=text, requests=tuple(map(request_view, requests)))
    walk.note(Place.PROXY, found, handed.frame, handed.frame)
    return Ending(fate=Fate.DENIED, text=text, answer=_answer(denied[0])) if denied else None


def _answer(denied: RequestTrace) -> str:
    """What the client gets."""
    if denied.egress is None and denied.ingress is None:
        return "a reset: no rule is about the connection"
    return " ".join(f"{name}={word}" for name, word in denied.answer.items())


def pass_on(walk: Walk, handed: InStack) -> None:
    """Note that the proxy asks nothing of an answer."""
    found = Found(text=f"the proxy of {walk.around.facts.node.name} passes the answer on")
    walk.note(Place.PROXY, found, handed.frame, handed.frame)


def leave_proxy(walk: Walk, handed: InStack) -> Step:
    """The proxy has a connection of its own with the other end, in the name of whoever speaks."""
    name, frame = walk.around.facts.node.name, craft.with_ttl(handed.frame, craft.DEFAULT_TTL)
    at, ends = replace(handed, mark=MARK_FROM_PROXY), addresses(frame)
    assert ends is not None  # noqa: S101 - programs hand over packets of TCP alone
    path = walk.around.path(Question(destination=ends[1], mark=at.mark))
    if isinstance(path, NoPath):
        return walk.kernel_drops(Place.STACK, Found(text=path.text), frame)
    if path.is_here:
        # A server of this node would have the addresses and ports of the client's own socket: it sees the node.
        frame = craft.with_source(frame, path.source) if path.source else frame
        found = Found(text=f"the proxy of {name} asks within the node, by lo, in the node's name")
        walk.note(Place.STACK, found, handed.frame, frame)
        return Ending(fate=Fate.DELIVERED, text=f"delivered to node {name} itself")
    return leave(walk, at, Sent(frame=frame, ends=ends, verb="sends"), path)
