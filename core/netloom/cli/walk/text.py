"""A walk as people read it: one block for each hop. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import click

from netloom.cli.output import printable
from netloom.cli.request_text import request_lines

View = dict[str, Any]

BOOKKEEPING = ("metrics", "handoff", "node_config", "scratch", "verdict_budget")
"""Maps that every program asks and nobody wonders about."""
_FATES = {
    "delivered": ("green", "delivered"),
    "dropped": ("red", "dropped"),
    "world": ("green", "left the cluster"),
    "proxy": ("cyan", "handed to the proxy"),
    "denied": ("red", "denied"),
    "unknown": ("yellow", "not followed"),
}
_OUTER = "outer."
_INDENT = "    "


def render(document: View, *, verbose: bool) -> str:
    """The whole walk, and the way back if it was walked too."""
    lines = [*_way(document, verbose=verbose)]
    if document.get("reply"):
        lines += ["", click.style("the way back", bold=True), *_way(document["reply"], verbose=verbose)]
    return "\n".join(lines)


def headline(document: View) -> str:
    """Who sends what to whom."""
    packet = document["packet"]
    ends = f"{document['from']} → {document['to']}"
    if packet["destination"] != document["to"]:
        ends += f" ({packet['destination']})"
    details = [packet["protocol"]]
    if packet["port"]:
        details.append(f"port {packet['port']}")
    if packet["size_bytes"]:
        details.append(f"{packet['size_bytes']} bytes")
    if packet["dont_fragment"]:
        details.append("not to be cut")
    if packet["source"] and packet["source"] != document["from"]:
        details.append(f"claiming to be {packet['source']}")
    return f"{ends}: {', '.join(details)}, TTL {packet['ttl']}"


def verdict(ending: View) -> str:
    """What became of it, in words."""
    word = _FATES[ending["fate"]][1]
    text: str = ending["text"]
    return text if text.startswith(word) else f"{word}: {text}"


def outcome(document: View) -> str:
    """How it ended, in a line."""
    ending = document["outcome"]
    line = click.style(printable(verdict(ending)), fg=_FATES[ending["fate"]][0], bold=True)
    drop = ending["drop"]
    if drop and drop["reason"]:
        line += f"  ({drop['name']}, reason {drop['reason']}, {drop['direction']}, line {drop['line']})"
    if drop and drop["hint"]:
        line += f"\n{printable(drop['hint'])}"
    if ending["answer"]:
        line += f"\nsent back: {printable(ending['answer'])}"
    if ending["fate"] == "proxy":
        line += "\nask about a request, and walk on with it: --http 'METHOD PATH', --grpc SERVICE/METHOD or --l7"
    return line


def _way(document: View, *, verbose: bool) -> Iterator[str]:
    yield printable(headline(document))
    for node, hops in groupby(document["hops"], lambda hop: hop["node"]):
        yield ""
        yield click.style(node, bold=True, underline=True)
        for hop in hops:
            yield from _hop(hop, verbose=verbose)
    yield ""
    yield outcome(document)
    has_arrived = document["outcome"]["fate"] in ("delivered", "world")
    if document.get("asked") and has_arrived and not any(hop["place"] == "proxy" for hop in document["hops"]):
        yield "note: no proxy was on the way, so nobody judged the request"


def _hop(hop: View, *, verbose: bool) -> Iterator[str]:
    yield f"  {_place(hop)}"
    for stage in hop["stages"]:
        yield from _stage(stage, verbose=verbose)
    for line in changes(hop["changes"], verbose=verbose):
        yield f"{_INDENT}{click.style(line, fg='cyan')}"
    for one in hop["requests"]:
        yield from (f"{_INDENT}{line}" for line in request_lines(one))
    if hop["text"] not in [call["text"] for stage in hop["stages"] for call in stage["calls"]]:
        colour = "red" if hop["drop"] else "yellow" if hop["answer"] else None
        yield f"{_INDENT}{click.style(printable(hop['text']), fg=colour)}"
    for note in hop["notes"]:
        yield f"{_INDENT}{click.style(f'note: {printable(note)}', dim=True)}"
    if verbose:
        yield f"{_INDENT}{click.style(printable(hop['packet']), dim=True)}"


def _place(hop: View) -> str:
    if hop["place"] == "stack":
        return click.style("the node's stack", bold=True)
    if hop["place"] == "proxy":
        return click.style("the node's proxy", bold=True)
    words = [click.style(hop["device"], bold=True), hop["direction"]]
    if hop["program"]:
        words.append(f"{hop['program']} ({hop['tag']})")
    elif hop["place"] == "pod":
        words.append("in the pod")
    if not hop["captured"]:
        words.append(click.style("no capture sees it", dim=True))
    return " ".join(words)


def _stage(stage: View, *, verbose: bool) -> Iterator[str]:
    calls = [call for call in stage["calls"] if verbose or call["map"] not in BOOKKEEPING]
    width = len(stage["program"])
    for position, call in enumerate(calls):
        name = stage["program"] if position == 0 else " " * width
        yield f"{_INDENT}{name}  {click.style(printable(call['text']), dim=True)}"


def changes(found: Iterable[View], *, verbose: bool) -> Iterator[str]:
    """Header rewrites, tunnel headers that come or go in one line."""
    rest = {item["field"]: item for item in found}
    if "vni" in rest:
        side = "after" if rest["vni"]["after"] else "before"
        said = {name: item[side] for name, item in rest.items()}
        verb = "+ outer" if side == "after" else "- outer"
        yield (
            f"{verb} {said.get('outer.source', '')} → {said.get('outer.destination', '')}, "
            f"udp {said.get('outer.destination_port', '')}, VNI {said['vni']}, ttl {said.get('outer.ttl', '')}"
        )
        rest = {name: item for name, item in rest.items() if name != "vni" and not name.startswith(_OUTER)}
    for name, item in rest.items():
        if verbose or not name.endswith("_mac") or item["before"]:
            yield f"{name.replace('_', ' ')} {item['before'] or '(none)'} → {item['after'] or '(none)'}"
