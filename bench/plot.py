"""Bars as SVG, without a plotting library. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 860
_LEFT = 150
_RIGHT = 130
_TOP = 56
_BAR = 16
_GAP = 18
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
