"""Bars and lines as SVG, without a plotting library. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10

WIDTH = 860
_LEFT = 150
_RIGHT = 130
_TOP = 56
_BAR = 16
_GAP = 18
_PANEL = 110
"""Height of a panel of lines."""
_COLOURS = ("#8c8c8c", "#4c78a8", "#e4572e", "#72b7b2", "#b279a2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar."""

    label: str
    length: float
    text: str
    """Written at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Bars that belong together."""

    title: str
    bars: tuple[Bar, ...]


def bar_chart(title: str, subtitle: str, groups: Sequence[Group]) -> str:
    """A whole SVG document; bars of all groups share one scale, and equal labels one colour."""
    longest = max(bar.length for group in groups for bar in group.bars)
    labels = list(dict.fromkeys(bar.label for group in groups for bar in group.bars))
    parts = [_text(16, 24, title, size=16, weight="bold"), _text(16, 43, subtitle, size=12, colour="#555")]
    y = _TOP
    for group in groups:
        parts.append(_text(16, y + _BAR - 3, group.title, size=13, weight="bold"))
        y += _BAR + 6
        for bar in group.bars:
            colour = _COLOURS[labels.index(bar.label) % len(_COLOURS)]
            parts += _bar(bar, y, bar.length / longest, colour)
            y += _BAR + 3
        y += _GAP
    return _document(y, parts)


def _bar(bar: Bar, y: int, share: float, colour: str) -> list[str]:
    width = share * (WIDTH - _LEFT - _RIGHT)
    return [
        _text(_LEFT - 8, y + _BAR - 4, bar.label, size=12, anchor="end"),
        f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
        _text(_LEFT + width + 6, y + _BAR - 4, bar.text, size=12),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: the points of a panel's x, and what is written at each."""

    label: str
    values: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines that share a scale, which begins at 0."""

    title: str
    lines: tuple[Line, ...]


def line_chart(title: str, subtitle: str, x: Sequence[int], panels: Sequence[Panel]) -> str:
    """A whole SVG document: panels below each other over one logarithmic x, each with a scale of its own."""
    parts = [_text(16, 24, title, size=16, weight="bold"), _text(16, 43, subtitle, size=12, colour="#555")]
    y = _TOP
    for panel in panels:
        parts.append(_text(16, y + _BAR - 3, panel.title, size=13, weight="bold"))
        y += 2 * _BAR
        parts += _panel(panel, [_across(value, x) for value in x], y)
        y += _PANEL
        parts += [_text(_across(value, x), y + _BAR, f"{value:,}", size=11, anchor="middle") for value in x]
        y += _BAR + _GAP
    return _document(y, parts)


def _across(value: int, x: Sequence[int]) -> float:
    share = (log10(value) - log10(x[0])) / (log10(x[-1]) - log10(x[0])) if x[-1] > x[0] else 0.5
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _panel(panel: Panel, across: Sequence[float], top: int) -> list[str]:
    highest = max(value for line in panel.lines for value in line.values)
    foot = top + _PANEL
    parts = [f'<line x1="{_LEFT}" y1="{foot}" x2="{WIDTH - _RIGHT}" y2="{foot}" stroke="#bbb"/>']
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[1 + number % (len(_COLOURS) - 1)]
        down = [foot - value / highest * _PANEL for value in line.values]
        points = " ".join(f"{one:.1f},{other:.1f}" for one, other in zip(across, down, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for one, other, text in zip(across, down, line.texts, strict=True):
            parts.append(f'<circle cx="{one:.1f}" cy="{other:.1f}" r="3" fill="{colour}"/>')
            parts.append(_text(one, other - 6, text, size=11, anchor="middle", colour=colour))
        parts.append(_text(WIDTH - _RIGHT + 24, down[-1] + 4, line.label, size=12, colour=colour))
    return parts


def _text(
    x: float, y: float, text: str, *, size: int, weight: str = "normal", anchor: str = "start", colour: str = "#111"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _document(height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    )
    background = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    return "\n".join([head, background, *parts, "</svg>", ""])
