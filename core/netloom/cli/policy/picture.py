"""The matrix as a picture: rows send, columns receive, a square for each pair. Pure.

A full square lets everything pass, an empty one nothing, one with a letter what the legend says; so no colour is needed
to read it. Each square tells its pair and services to whoever points at it. Dark where its reader's screen is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

from netloom.cli.policy.everybody_text import ALL, NONE, Grid, grid
from netloom.cli.policy.words import reaches_text

View = dict[str, Any]

_CELL, _GAP = 22, 10
_MARGIN, _TITLE = 24, 58
_CHARACTER = 6.6
"""Width of one at the size of names."""
_MAX_NAME = 46
_LEGEND_LINE, _LEGEND_CHARACTERS = 20, 110
_LIGHT = {
    "ink": "#1b1f24",
    "grey": "#57606a",
    "paper": "#ffffff",
    "line": "#d0d7de",
    "all": "#3b78b8",
    "some": "#f3c969",
    "mark": "#3d2f00",
    "none": "#f6f8fa",
    "band": "#eaeef2",
}
_DARK = {
    "ink": "#e6edf3",
    "grey": "#9198a1",
    "paper": "#0d1117",
    "line": "#3d444d",
    "all": "#4a8fd6",
    "some": "#9a6f1d",
    "mark": "#fff4d6",
    "none": "#161b22",
    "band": "#1f2732",
}


def _colours(theme: dict[str, str]) -> str:
    """Plain colours: not everything that draws SVG knows variables."""
    fills = "".join(
        f" .m .{name} {{ fill: {theme[name]}; }}" for name in ("grey", "paper", "all", "some", "none", "band")
    )
    return (
        f".m {{ fill: {theme['ink']}; }}{fills} .m text.mark {{ fill: {theme['mark']}; }}"
        f" .m rect.all, .m rect.some, .m rect.none {{ stroke: {theme['line']}; }}"
        f" .m rect.audited, .m g.cell:hover rect {{ stroke: {theme['ink']}; }}"
        f" .m path.proxied {{ fill: {theme['ink']}; }}"
    )


_STYLE = (
    "\n.m { font-family: system-ui, 'DejaVu Sans', sans-serif; font-size: 12px; }"
    " .m .title { font-size: 16px; font-weight: 600; }"
    " .m .mark { font-size: 11px; text-anchor: middle; pointer-events: none; }"
    " .m rect.audited { stroke-width: 1.5; stroke-dasharray: 3 2; } .m g.cell:hover rect { stroke-width: 2; }"
    f"\n{_colours(_LIGHT)}\n@media (prefers-color-scheme: dark) {{ {_colours(_DARK)} }}\n"
)


class _Plan:
    """Where everything is."""

    def __init__(self, view: View) -> None:
        self.ends: list[View] = view["ends"]
        self.audited = any(_is(cell, "audited") for cell in view["cells"])
        self.by_proxy = any(_is(cell, "by_proxy") for cell in view["cells"])
        self.grid: Grid = grid(view)
        self.names = [_cut(name) for name in self.grid.names]
        self.offsets = list(_offsets(self.ends))
        longest = max(map(len, self.names), default=0) * _CHARACTER
        self.left = _MARGIN + longest + 14
        self.top = _TITLE + longest * 0.72 + 24
        self.size = (self.offsets[-1] + _CELL) if self.offsets else 0
        # Names of columns lean over the last one.
        self.width = max(self.left + self.size + longest * 0.72 + _MARGIN, 560)
        self.legend_top = self.top + self.size + 34

    @property
    def height(self) -> float:
        return self.legend_top + _LEGEND_LINE * len(list(_legend(self))) + _MARGIN


def picture(view: View) -> str:
    """An SVG document."""
    plan = _Plan(view)
    revision = f"revision {view['enforced_revision']} of policies, {len(plan.ends)} ends"
    body = [
        f'<rect class="paper" width="{plan.width:.0f}" height="{plan.height:.0f}"/>',
        _text(_MARGIN, 30, "Who reaches whom", "title"),
        _text(_MARGIN, 48, f"rows send, columns receive; {revision}", "grey"),
        *_names(plan),
        *_cells(plan, view),
        *_legend_lines(plan),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="m" role="img" width="{plan.width:.0f}" '
        f'height="{plan.height:.0f}" viewBox="0 0 {plan.width:.0f} {plan.height:.0f}"><title>Who reaches whom</title>'
        f"\n<style>{_STYLE}</style>"
    )
    return "\n".join([head, *body, "</svg>", ""])


def html(view: View) -> str:
    """A page with the picture, and everything in it once more as a list that can be searched."""
    names = [end["name"] for end in view["ends"]]
    rows = "\n".join(
        f"<tr><td>{escape(names[cell['source']])}</td><td>{escape(names[cell['destination']])}</td>"
        f"<td>{escape(reaches_text(cell['reach']))}</td></tr>"
        for cell in view["cells"]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Who reaches whom</title>\n'
        "<style>:root { color-scheme: light dark; } body { font: 14px system-ui, sans-serif; margin: 16px; "
        "background: light-dark(#fff, #0d1117); color: light-dark(#1b1f24, #e6edf3); } "
        "td, th { text-align: left; padding: 2px 16px 2px 0; vertical-align: top; } "
        ".wide { overflow-x: auto; }</style></head><body>\n"
        f'<div class="wide">{picture(view)}</div>\n<details><summary>As a list</summary><table>'
        f"<tr><th>From</th><th>To</th><th>Services</th></tr>\n{rows}\n</table></details>\n</body></html>\n"
    )


def _offsets(ends: list[View]) -> Iterator[float]:
    """Of each row and column from the first; namespaces stand apart."""
    at, before = 0.0, None
    for end in ends:
        kind = _kind(end)
        at += _GAP if before is not None and kind != before else 0
        yield at
        at, before = at + _CELL, kind


def _kind(end: View) -> str:
    return end["group"] or ("" if end["judged"] else "outside")


def _is(cell: View, how: str) -> bool:
    return any(reach[how] for reach in cell["reach"])


def _names(plan: _Plan) -> Iterator[str]:
    for end, name, offset in zip(plan.ends, plan.names, plan.offsets, strict=True):
        hint = f"<title>{escape(_hint(end))}</title>"
        y, x = plan.top + offset + _CELL * 0.68, plan.left + offset + _CELL * 0.6
        yield f'<g>{hint}<text x="{plan.left - 8:.1f}" y="{y:.1f}" text-anchor="end">{escape(name)}</text></g>'
        turned = f'transform="translate({x:.1f} {plan.top - 8:.1f}) rotate(-45)"'
        yield f"<g>{hint}<text {turned}>{escape(name)}</text></g>"
    for _, group in groupby(zip(plan.ends, plan.offsets, strict=True), key=lambda item: _kind(item[0])):
        members = list(group)
        if not members[0][0]["judged"]:
            continue
        offsets = [offset for _, offset in members]
        length = offsets[-1] - offsets[0] + _CELL
        yield (
            f'<rect class="band" x="{plan.left + offsets[0] - 3:.1f}" y="{plan.top + offsets[0] - 3:.1f}" '
            f'width="{length + 6:.1f}" height="{length + 6:.1f}" rx="4"/>'
        )


def _hint(end: View) -> str:
    """What is known of an end."""
    pods = end["pods"][:10] + ([f"and {len(end['pods']) - 10} more"] if len(end["pods"]) > 10 else [])
    lines = [end["name"], f"identity {end['identity']}", *end["labels"], *(f"pod {pod}" for pod in pods)]
    return "\n".join(line for line in lines if line)


def _cells(plan: _Plan, view: View) -> Iterator[str]:
    for cell in view["cells"]:
        source, destination = cell["source"], cell["destination"]
        x, y = plan.left + plan.offsets[destination], plan.top + plan.offsets[source]
        mark = plan.grid.marks[source, destination]
        kind = {ALL: "all", NONE: "none"}.get(mark, "some")
        if _is(cell, "audited"):
            kind += " audited"
        words = f"{view['ends'][source]['name']} → {view['ends'][destination]['name']}\n{reaches_text(cell['reach'])}"
        letter = "" if mark in (ALL, NONE) else _text(x + _CELL / 2, y + _CELL * 0.68, mark, "mark")
        letter += _corner(x + _CELL - 1, y + 1) if _is(cell, "by_proxy") else ""
        yield (
            f'<g class="cell"><title>{escape(words)}</title><rect class="{kind}" x="{x + 1:.1f}" y="{y + 1:.1f}" '
            f'width="{_CELL - 2}" height="{_CELL - 2}" rx="3"/>{letter}</g>'
        )


def _corner(right: float, top: float) -> str:
    """What marks a square where the proxy judges requests."""
    return f'<path class="proxied" d="M{right - 8:.1f} {top:.1f}h8v8z"/>'


def _legend(plan: _Plan) -> Iterator[tuple[str, str, str]]:
    """Class, mark and meaning of each kind of square."""
    found = plan.grid
    yield "all", "", "everything"
    yield "none", "", "nothing"
    for mark, text in found.legend.items():
        yield "some", mark, text if len(text) <= _LEGEND_CHARACTERS else f"{text[: _LEGEND_CHARACTERS - 1]}…"
    if plan.audited:
        yield "none audited", "", "passes only because those who would deny it are audit policies"
    if plan.by_proxy:
        yield "none proxied", "", "some of it passes by the proxy, which judges each request, or tells of it"


def _legend_lines(plan: _Plan) -> Iterator[str]:
    for number, (kind, mark, text) in enumerate(_legend(plan)):
        y = plan.legend_top + number * _LEGEND_LINE
        yield f'<rect class="{kind}" x="{_MARGIN}" y="{y - 12:.1f}" width="16" height="16" rx="3"/>'
        yield _text(_MARGIN + 8, y, mark, "mark") if mark else ""
        yield _corner(_MARGIN + 16, y - 12) if "proxied" in kind else ""
        yield _text(_MARGIN + 26, y + 1, text, "")


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
