"""A trace as people read it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from netloom.cli.output import printable
from netloom.cli.request_text import COLOURS, request_lines

View = dict[str, Any]

_DENYING = ("denied", "denied by default")


def render(view: View) -> str:
    """All packets, and what is to be known of all answers."""
    blocks = ["\n".join(_packet(trace)) for trace in view["traces"]]
    notes = [f"note: {printable(note)}" for note in view["notes"]]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _packet(trace: View) -> Iterator[str]:
    yield click.style(f"{_party(trace['source'])} → {_party(trace['destination'])}: {_service(trace)}", bold=True)
    for direction, end in (("egress", "source"), ("ingress", "destination")):
        yield ""
        yield from _side(direction, trace[end], trace[direction])
    yield from _requests(trace)
    yield ""
    yield _final(trace)


def _requests(trace: View) -> Iterator[str]:
    """What becomes of those the question names; that they are asked about, where it names none."""
    if trace["requests"]:
        yield ""
    for one in trace["requests"]:
        yield from request_lines(one)


def _party(party: View) -> str:
    facts = [f"identity {party['identity']}" if party["exists"] else "no such identity"]
    if party["address"] and party["address"] != party["name"]:
        facts.append(party["address"])
    return printable(f"{party['name']} ({', '.join(facts)})")


def _service(trace: View) -> str:
    word = "type" if trace["protocol"].startswith("icmp") else "port"
    return f"{trace['protocol']} {word} {trace['port']}"


def _side(direction: str, party: View, side: View | None) -> Iterator[str]:
    name = printable(party["name"])
    if side is None:
        yield f"{direction} of {name}: no endpoint with policies, so nothing is asked here"
        return
    yield f"{direction} of {name}: {_isolation(side)}"
    if not side["rules"]:
        yield "  no policy selects it"
    for rule in side["rules"]:
        yield from _rule(direction, rule)
    yield f"  {_verdict(side)}"


def _isolation(side: View) -> str:
    by = f" by {', '.join(side['isolated_by'])}" if side["isolated_by"] else " by policy.enforcement: always"
    match side["isolation"]:
        case "enforced":
            return f"isolated{by}"
        case "audited":
            return f"isolated{by}, to be reported only"
        case _:
            return "not isolated"


def _rule(direction: str, rule: View) -> Iterator[str]:
    audit = " (audit)" if rule["audit"] else ""
    about = f": {rule['description']}" if rule["description"] else ""
    yield printable(f"  {rule['policy']}{audit} {rule['path']}{about}")
    if not rule["entries"]:
        yield f"    says nothing of {direction}" + (", but isolates" if rule["isolates"] else "")
    width = max((len(entry["path"]) for entry in rule["entries"]), default=0)
    for entry in rule["entries"]:
        line = f"    {entry['effect']:<5} {printable(entry['path']):<{width}}  {entry['why']}"
        yield click.style(line, fg="green" if entry["effect"] == "allow" else "red") if entry["matches"] else line


def _verdict(side: View) -> str:
    word = click.style(side["verdict"], fg=COLOURS.get(side["verdict"], "red"))
    because = [
        printable(f"{item['policy']} {item['path']}" if item["policy"] else _own(item["path"]))
        for item in side["because"]
    ]
    text = f"{word} by {', '.join(because)}" if because else word
    if side["verdict"] == "allowed" and not because:
        text = f"{word}: nothing isolates it"
    if side["closed"]:
        text += click.style(f"; but the identity is closed: {printable(side['closed'])}", fg="red")
    return text


def _own(path: str) -> str:
    """A key of the node config, or an annotation of the endpoint."""
    return path if "/" in path else f"policy.{path}"


def _final(trace: View) -> str:
    verdict = trace["verdict"]
    if any(one["verdict"] == "denied" for one in trace["requests"]) and verdict not in _DENYING:
        return click.style("Final verdict: DENIED (a request, by the proxy)", fg="red", bold=True)
    if trace["passes"]:
        asks = verdict == "redirected" and not trace["requests"]
        said = "" if verdict == "allowed" else f" ({verdict})"
        if asks:
            said = " (redirected to the proxy, which judges requests: ask about one with --http, --grpc or --l7)"
        return click.style(f"Final verdict: ALLOWED{said}", fg=COLOURS.get(verdict, "yellow"), bold=True)
    said = f" ({verdict})" if verdict not in ("denied", "allowed") else " (closed)" if verdict == "allowed" else ""
    return click.style(f"Final verdict: DENIED{said}", fg="red", bold=True)
