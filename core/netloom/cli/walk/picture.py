"""A walk as a picture: nodes are boxes, devices and programs are stations, the packet's way is a line. Pure.

The packet goes down through the first node, along the wire, and up through the next, as it does through their layers.
An answer goes back on a dashed line. Where the packet died there is a cross.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any
from xml.sax.saxutils import escape

import click

from netloom.cli.request_text import request_lines
from netloom.cli.walk.text import BOOKKEEPING, changes, headline, verdict

View = dict[str, Any]

_SANS = "system-ui, 'DejaVu Sans', sans-serif"
_MONO = "ui-monospace, 'DejaVu Sans Mono', monospace"
_INK, _GREY, _WAY, _DEAD, _NODE_LINE = "#1b1f24", "#57606a", "#3a8f3a", "#d1242f", "#4c78a8"
_FILLS = {"pod": "#f1faf1", "program": "#fff8ec", "device": "#ffffff", "stack": "#eef4ff", "proxy": "#f6f0ff"}
_EDGES = {"pod": "#3a8f3a", "program": "#c98a1b", "device": "#57606a", "stack": "#4c78a8", "proxy": "#7a4fb5"}
_LEFT, _TOP, _GAP = 24, 64, 28
_STATION_WIDTH, _LINE_HEIGHT, _PADDING = 540, 15, 9
_NODE_GAP, _NODE_PADDING, _TITLE = 60, 20, 30
_MAX_DETAILS, _MAX_CHARACTERS = 7, 82
_LEAST_WIDTH = 760
_ARROW = 'marker-end="url(#way)"'
_ARROW_HEAD = (
    '<defs><marker id="way" viewBox="0 0 8 8" refX="10" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
    f'<path d="M0 0 8 4 0 8z" fill="{_WAY}"/></marker></defs>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Station:
    """A hop with the words that stand in its box."""

    hop: View
    title: str
    details: tuple[str, ...]

    @property
    def height(self) -> int:
        return 2 * _PADDING + _LINE_HEIGHT * (1 + len(self.details))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A station and its box."""

    station: _Station
    x: int
    y: int

    @property
    def middle(self) -> int:
        return self.y + self.station.height // 2


def picture(document: View) -> str:
    """An SVG document."""
    columns = [
        (node, [_station(hop) for hop in hops]) for node, hops in groupby(document["hops"], lambda hop: hop["node"])
    ]
    inner = max((_column_height(stations) for _, stations in columns), default=0)
    width = 2 * _LEFT + len(columns) * (_STATION_WIDTH + 2 * _NODE_PADDING + _NODE_GAP) - _NODE_GAP
    width = max(width, _LEAST_WIDTH)
    bottom = _TOP + _TITLE + inner + _NODE_PADDING
    placed = [_place(stations, column, inner) for column, (_, stations) in enumerate(columns)]
    body = [
        _text(_LEFT, 34, headline(document), size=16, bold=True),
        *(_node_box(column, name, inner) for column, (name, _) in enumerate(columns)),
        *(_box(item) for items in placed for item in items),
        *_lines([item for items in placed for item in items]),
        _ending(document["outcome"], bottom + 32),
    ]
    return _document(width, bottom + 84, headline(document), body)


def _station(hop: View) -> _Station:
    has_device = hop["place"] not in ("stack", "proxy")
    where = f"{hop['device']} {hop['direction']}" if has_device else f"the node's {hop['place']}"
    program = f" · {hop['program']}" if hop["program"] else " · pod" if hop["place"] == "pod" else ""
    calls = [
        f"{stage['program']}: {call['text']}"
        for stage in hop["stages"]
        for call in stage["calls"]
        if call["map"] not in BOOKKEEPING
    ]
    calls += [line.strip() for one in hop["requests"] for line in map(click.unstyle, request_lines(one))]
    details = [*calls[: _MAX_DETAILS - 2], *changes(hop["changes"], verbose=False)][:_MAX_DETAILS]
    if hop["text"] not in " ".join(details):
        details.append(hop["text"])
    return _Station(hop=hop, title=where + program, details=tuple(_cut(item) for item in details))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"


def _column_height(stations: list[_Station]) -> int:
    return sum(station.height for station in stations) + _GAP * (len(stations) - 1)


def _place(stations: list[_Station], column: int, inner: int) -> list[_Placed]:
    """From the top down on the first node; on every later one from the wire up."""
    x = _LEFT + _NODE_PADDING + column * (_STATION_WIDTH + 2 * _NODE_PADDING + _NODE_GAP)
    placed, top, bottom = [], _TOP + _TITLE, _TOP + _TITLE + inner
    for station in stations:
        y = top if column == 0 else bottom - station.height
        placed.append(_Placed(station=station, x=x, y=y))
        top, bottom = top + station.height + _GAP, bottom - station.height - _GAP
    return placed


def _node_box(column: int, name: str, inner: int) -> str:
    width = _STATION_WIDTH + 2 * _NODE_PADDING
    x = _LEFT + column * (width + _NODE_GAP)
    height = _TITLE + inner + _NODE_PADDING
    return (
        f'<rect x="{x}" y="{_TOP}" width="{width}" height="{height}" rx="10" fill="#fafbfc" stroke="{_NODE_LINE}" '
        f'stroke-width="1.5"/>{_text(x + 14, _TOP + 20, name, size=13, bold=True)}'
    )


def _box(item: _Placed) -> str:
    station, place = item.station, item.station.hop["place"]
    edge = _DEAD if station.hop["drop"] else _EDGES[place]
    rect = (
        f'<rect x="{item.x}" y="{item.y}" width="{_STATION_WIDTH}" height="{station.height}" rx="6" '
        f'fill="{_FILLS[place]}" stroke="{edge}" stroke-width="1.5"/>'
    )
    parts = [rect, _text(item.x + 30, item.y + _PADDING + 11, station.title, size=12.5, bold=True)]
    for number, line in enumerate(station.details, 2):
        y = item.y + _PADDING - 4 + _LINE_HEIGHT * number
        parts.append(_text(item.x + 30, y, line, size=10, family=_MONO, colour=_GREY))
    return "".join(parts)


def _lines(placed: list[_Placed]) -> Iterator[str]:
    """The way from station to station: a dot in each, a line between two, a cross where it ends badly."""
    for one, other in pairwise(placed):
        dashes = ' stroke-dasharray="6 4"' if other.station.hop["answer"] else ""
        yield f'<path d="{_course(one, other)}" fill="none" stroke="{_WAY}" stroke-width="2.5"{dashes} {_ARROW}/>'
    for item in placed:
        x, y = item.x + 14, item.middle
        if item.station.hop["drop"]:
            yield f'<path d="M{x - 6} {y - 6}l12 12M{x - 6} {y + 6}l12 -12" stroke="{_DEAD}" stroke-width="3.5"/>'
        else:
            yield f'<circle cx="{x}" cy="{y}" r="4.5" fill="{_WAY}"/>'


def _course(one: _Placed, other: _Placed) -> str:
    start, end = (one.x + 14, one.middle), (other.x + 14, other.middle)
    if one.x == other.x:
        return f"M{start[0]} {start[1]}L{end[0]} {end[1]}"
    # Out at the right side of one node, along the wire, in at the left side of the other.
    wire = max(one.y + one.station.height, other.y + other.station.height) + 10
    return f"M{start[0]} {start[1]}V{wire}H{end[0]}V{end[1]}"


def _ending(outcome: View, top: int) -> str:
    drop, colour = outcome["drop"], _DEAD if outcome["fate"] in ("dropped", "denied") else _INK
    more = [drop["hint"]] if drop and drop["hint"] else []
    more += [f"sent back: {outcome['answer']}"] if outcome["answer"] else []
    lines = [_text(_LEFT, top + 18 * place, line, size=11, colour=_GREY) for place, line in enumerate(more, 1)]
    return "".join([_text(_LEFT, top, verdict(outcome), size=14, bold=True, colour=colour), *lines])


def _text(
    x: int, y: int, text: str, *, size: float, bold: bool = False, family: str = _SANS, colour: str = _INK
) -> str:
    weight = "bold" if bold else "normal"
    return (
        f'<text x="{x}" y="{y}" font-family="{family}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _document(width: int, height: int, title: str, body: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{escape(title)}</title>\n{_ARROW_HEAD}\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    )
    return "\n".join([head, *body, "</svg>", ""])
