"""Matrix and comparison as people read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import click

from netloom.cli.output import printable, table
from netloom.cli.policy.words import BY_PROXY, EVERYTHING, NOTHING, reaches_text

View = dict[str, Any]

ALL, NONE = "*", "."
_COLOURS = {
    "would be denied": "red",
    "would pass": "green",
    "would pass, and be reported by an audit policy": "yellow",
    "would pass without a report": "yellow",
    "would pass by way of the proxy, which judges requests": "cyan",
    "would pass without anybody judging its requests": "yellow",
}


@dataclass(frozen=True, slots=True)
class Grid:
    """A matrix with a mark for each different answer."""

    names: tuple[str, ...]
    marks: Mapping[tuple[int, int], str]
    """By place of source and destination."""
    legend: Mapping[str, str]
    """What each mark means, those of a few services alone."""


def grid(view: View) -> Grid:
    """Letters for whatever is neither everything nor nothing."""
    texts = {(cell["source"], cell["destination"]): reaches_text(cell["reach"]) for cell in view["cells"]}
    others = sorted({text for text in texts.values() if text not in (EVERYTHING, NOTHING)})
    marks = {EVERYTHING: ALL, NOTHING: NONE} | dict(zip(others, _letters(), strict=False))
    return Grid(
        tuple(printable(end["name"]) for end in view["ends"]),
        {place: marks[text] for place, text in texts.items()},
        {marks[text]: text for text in others},
    )


def _letters() -> Iterator[str]:
    """``a`` to ``z``, ``aa`` and so on."""
    names = [""]
    while True:
        names = [name + letter for name in names for letter in ascii_lowercase]
        yield from names


def render_matrix(view: View) -> str:
    """Rows send, columns receive."""
    found = grid(view)
    numbers = [str(number) for number in range(1, len(found.names) + 1)]
    rows = [
        (number, name, *(found.marks.get((row, column), "") for column in range(len(numbers))))
        for row, (number, name) in enumerate(zip(numbers, found.names, strict=True))
    ]
    used = {*found.marks.values()}
    legend = [(ALL, EVERYTHING)] if ALL in used else []
    legend += [(NONE, NOTHING)] if NONE in used else []
    lines = [
        table(("", "FROM \\ TO", *numbers), rows),
        "",
        *(f"{mark:<3} {text}" for mark, text in (*legend, *found.legend.items())),
        *(
            [f"{BY_PROXY}: the proxy judges each request, or tells of it; `netctl policy trace --http` asks about one"]
            if any(BY_PROXY in text for text in found.legend.values())
            else []
        ),
    ]
    return "\n".join([*lines, *_notes(view)])


def render_what_if(view: View) -> str:
    """Flows that would fare otherwise, then pairs of ends."""
    lines = [*_flows(view), "", *_replays(view), *_cells(view), *_requests(view)]
    if not view["changes"]:
        lines += ["", click.style("Nothing would change.", bold=True)]
    return "\n".join([*lines, *_notes(view)])


def _notes(view: View) -> list[str]:
    return ["", *(f"note: {printable(note)}" for note in view["notes"])] if view["notes"] else []


def _flows(view: View) -> Iterator[str]:
    counts = ", ".join(f"{count} of {name}" for name, count in view["replayed"]["sources"].items())
    yield f"Flows seen by this node: {view['replayed']['flows']} ({counts or 'none are kept'})"
    for kind, colour in _COLOURS.items():
        found = [flow for flow in view["flows"] if flow["becomes"] == kind]
        if not found:
            continue
        yield click.style(f"  {sum(flow['count'] for flow in found)} {kind}:", fg=colour, bold=True)
        yield from (
            f"    {line}"
            for line in table(("FLOWS", "FROM", "TO", "SERVICE", "BECAUSE"), map(_flow, found)).splitlines()
        )
    yield from _more(view["flow_changes"] - len(view["flows"]), "kinds of flows")


def _flow(flow: View) -> tuple[object, ...]:
    denied = flow["becomes"] in ("would be denied", "would pass, and be reported by an audit policy")
    return (
        flow["count"],
        _end(flow["source"]),
        _end(flow["destination"]),
        f"{flow['protocol']} {flow['port']}",
        because(flow["after"]) if denied else f"now {because(flow['before'])}",
    )


def _replays(view: View) -> Iterator[str]:
    """Requests that would be answered otherwise."""
    replayed = view["replayed"]
    if not replayed["requests"] and not replayed["untold"]:
        return
    yield f"Requests seen by this node: {replayed['requests']}"
    for verdict, colour in (("denied", "red"), ("allowed", "green"), ("audited", "yellow")):
        found = [one for one in view["replays"] if one["after"]["verdict"] == verdict]
        if found:
            total = sum(one["count"] for one in found)
            yield click.style(f"  {total} would be {verdict}:", fg=colour, bold=True)
            rows = table(("REQUESTS", "FROM", "TO", "REQUEST", "CHANGE", "BECAUSE"), map(_replay, found))
            yield from (f"    {line}" for line in rows.splitlines())
    yield from _more(view["replay_changes"] - len(view["replays"]), "kinds of requests")
    yield from (f"  {count} are not known: {printable(why)}" for why, count in replayed["untold"].items())
    yield ""


def _replay(one: View) -> tuple[object, ...]:
    after = one["after"]
    return (
        one["count"],
        _end(one["source"]),
        f"{_end(one['destination'])} port {one['port']}",
        printable(" ".join(f"{name}={word}" for name, word in one["request"].items())),
        f"{one['before']['verdict']} → {after['verdict']}",
        printable(_reason(after)),
    )


def _reason(judged: View) -> str:
    """Why a request fares as it does."""
    if not judged["asked"]:
        said = judged["packets"]
        return f"its packets are {said}" if judged["verdict"] == "denied" else "nobody judges requests"
    rule = judged["rule"]
    if rule is not None:
        return f"{judged['direction']}: {rule['policy']} {rule['path']}"
    if judged["verdict"] == "allowed":
        return "every request is"
    return f"{judged['direction']}: no rule allows it" if judged["direction"] else "no rule is about the connection"


def _end(end: View) -> str:
    return f"{end['address']} (identity {end['identity']})"


def because(verdict: View) -> str:
    """A verdict with whoever is the cause."""
    causes = [f"{item['policy']} {item['path']}" for item in verdict["because"] if item["policy"]]
    by = f" by {', '.join(dict.fromkeys(causes))}" if causes else ""
    isolated = f", isolated by {', '.join(verdict['isolated_by'])}" if verdict["isolated_by"] else ""
    return f"{verdict['verdict']} on {verdict['direction']}{by}{isolated}"


def _cells(view: View) -> Iterator[str]:
    if not view["cells"]:
        yield "Who reaches whom: nothing would change"
        return
    yield f"Who reaches whom: {view['cell_changes']} pairs would change"
    rows = [
        (
            cell["source"]["name"],
            cell["destination"]["name"],
            _lines(cell["closed"]),
            _lines(cell["opened"]),
            _lines(cell["audited"]),
            _lines(cell["redirected"]),
        )
        for cell in view["cells"]
    ]
    headers = ("FROM", "TO", "NO MORE", "NEW", "REPORTED\nOTHERWISE", "REQUESTS JUDGED\nOTHERWISE")
    kept = [column for column in range(len(headers)) if column < 3 or any(row[column] != "-" for row in rows)]
    yield from (
        f"  {line}" for line in table([headers[c] for c in kept], ([row[c] for c in kept] for row in rows)).splitlines()
    )
    yield from _more(view["cell_changes"] - len(view["cells"]), "pairs")


def _requests(view: View) -> Iterator[str]:
    """Rules about requests that would come and go, by whom they are about."""
    if not view["requests"]:
        return
    yield f"Requests: of {view['request_changes']} identities other things would be said"
    for one in view["requests"]:
        yield f"  identity {one['identity']}"
        yield from (click.style(printable(f"    - {line}"), fg="red") for line in one["gone"])
        yield from (click.style(printable(f"    + {line}"), fg="green") for line in one["new"])
    yield from _more(view["request_changes"] - len(view["requests"]), "identities")


def _lines(found: Iterable[View]) -> str:
    text = reaches_text(found)
    return "-" if text == NOTHING else text


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"  and {count} more {what}"
