"""Flows of ``/v1/flows`` as text, in the words and order of ``hubble observe``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from netloom.cli.monitor import lost
from netloom.cli.output import printable, table
from netloom.datapath.reasons import Observation
from netloom.model.identity import Reserved

View = dict[str, Any]
_BOTH = "EGRESS+INGRESS"
"""Of a request about which both ends' policies were asked, by the one proxy of their node."""
COLUMNS = ("TIMESTAMP", "SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY")
_VERDICTS = {"forwarded": "ALLOWED", "audit": "AUDITED", "dropped": "DENIED", "redirected": "REDIRECTED"}
_POINTS = {int(point): point.name.lower().replace("_", "-") for point in Observation}
_RESERVED = {item.value: item.label.key for item in Reserved}


class Row(NamedTuple):
    """A flow in a few words."""

    time: str
    source: str
    arrow: str
    destination: str
    kind: str
    verdict: str
    summary: str


def row(view: View) -> Row:
    """A reply is shown as what it answers, with the arrow turned."""
    ends = _end(view, "source"), _end(view, "destination")
    turned = view["tracking"] == "reply" and view["kind"] == "trace"
    first, second = reversed(ends) if turned else ends
    summary = "; ".join(filter(None, (_packet(view), (view["policy"] or {}).get("cause"))))
    return Row(_time(view["at_ns"]), first, "<-" if turned else "->", second, _kind(view), _verdict(view), summary)


def compact(view: View) -> str:
    """One line."""
    if view["kind"] == "lost":
        return lost(view)
    found = row(view)
    packet = _packet(view)
    cause = (view["policy"] or {}).get("cause")
    words = f"{found.time}: {found.source} {found.arrow} {found.destination} {found.kind} {found.verdict}"
    words += f" ({packet})" if packet else ""
    return printable(f"{words}; {cause}" if cause else words)


def as_table(views: Iterable[View]) -> str:
    """All of them below each other; what was lost is said in its place."""
    return table(COLUMNS, map(_cells, views))


def _cells(view: View) -> tuple[str, ...]:
    if view["kind"] == "lost":
        return _time(view["at_ns"]), "", "", "lost", "", lost(view)
    found = row(view)
    return found.time, found.source, found.destination, found.kind, found.verdict, found.summary


def as_dict(view: View) -> str:
    """A line for each thing that is known, and one that ends it."""
    if view["kind"] == "lost":
        return lost(view) + "\n------------"
    return "\n".join(f"{name:>12}: {printable(value)}" for name, value in _fields(view) if value) + "\n------------"


def _fields(view: View) -> Iterator[tuple[str, str]]:
    found, policy = row(view), view["policy"] or {}
    yield "TIMESTAMP", found.time
    for side in ("source", "destination"):
        yield side.upper(), _end(view, side)
        yield "LABELS", ", ".join(view[f"{side}_labels"])
    yield "TYPE", found.kind
    yield "VERDICT", found.verdict
    yield "DIRECTION", view["direction"]
    yield "STATE", view["tracking"]
    yield "PACKET", _packet(view)
    yield "CAUSE", policy.get("cause", "")
    for rule in policy.get("rules", ()):
        yield "RULE", " ".join(filter(None, (rule["policy"], _place(rule), rule["description"])))
    yield "ISOLATED BY", ", ".join(policy.get("isolated_by", ()))
    yield "PREFIX", policy.get("prefix") or ""


def _place(rule: View) -> str:
    return f"{rule['file']}:{rule['line']}: {rule['path']}" if rule["file"] else str(rule["path"])


def _time(at_ns: int) -> str:
    """In the reader's time zone, to the millisecond."""
    return datetime.fromtimestamp(at_ns / 1e9).astimezone().strftime("%b %d %H:%M:%S.%f")[:-3]


def _end(view: View, side: str) -> str:
    """``namespace/pod:port (ID:256)``; without a pod the address, and what its identity stands for."""
    identity, pod = view[f"{side}_identity"], view[f"{side}_pod"]
    address, port = view["packet"][side], view["packet"][f"{side}_port"]
    place = pod or address or "?"
    if port is not None:
        place = f"[{place}]:{port}" if ":" in place else f"{place}:{port}"  # pods have no colon in their names
    if identity in _RESERVED:
        return f"{place} ({_RESERVED[identity]})"
    labels = "" if pod else " ".join(view[f"{side}_labels"])
    return f"{place} (ID:{identity}{labels and ' ' + labels})"


def _kind(view: View) -> str:
    if view["kind"] == "trace":
        return _POINTS.get(view["code"]) or str(view["text"])
    if view["kind"] == "l7":
        direction = _BOTH if view["request"]["direction"] == "both" else view["request"]["direction"].upper()
        return f"l7:{view['request']['protocol']}{direction and ' ' + direction}"
    if view["kind"] == "drop":
        return f"{view['text']}{view['direction'] and ' ' + view['direction'].upper()}"
    match = view["policy"]["match"] if view["policy"] else "none"
    return f"policy-verdict:{match} {view['direction'].upper()}"


def _verdict(view: View) -> str:
    return _VERDICTS[view["verdict"]] if view["kind"] == "policy-verdict" else str(view["verdict"]).upper()


def _packet(view: View) -> str:
    """The packet, or the request, in few words."""
    if view["kind"] == "l7":
        return str(view["request"]["text"])
    protocol, detail = str(view["packet"]["protocol"]), str(view["packet"]["detail"])
    if protocol == "tcp" and detail:
        return f"TCP Flags: {detail}"
    name = {"icmp": "ICMPv4", "icmp6": "ICMPv6"}.get(protocol, protocol.upper())
    return f"{name} {detail}".strip()
