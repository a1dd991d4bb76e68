"""Tables and documents on standard output. The rendering functions are pure; :func:`show` prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any

import click

GAP = "   "


def printable(text: str) -> str:
    """The text with whatever could steer a terminal replaced: names come from workloads."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns. A cell may have several lines; the row then takes as many."""
    cells = [[_lines(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(line) for row in cells for line in row[column]) for column in range(len(headers))]
    lines = [
        GAP.join(line.ljust(width) for line, width in zip(parts, widths, strict=True)).rstrip()
        for row in cells
        for parts in zip_longest(*row, fillvalue="")
    ]
    return "\n".join(lines)


def scaled(number: int, space: str = "") -> str:
    """A number with the decimal prefix that makes it shortest, exact: ``1500000`` is ``1.5M``."""
    for prefix, power in (("T", 12), ("G", 9), ("M", 6), ("k", 3)):
        if number >= 10**power:
            whole, rest = divmod(number, 10**power)
            return f"{whole}.{rest:0{power}d}".rstrip("0").rstrip(".") + space + prefix
    return f"{number}{space}"


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """``Name:   value`` lines with the values below each other."""
    rows = [(f"{name}:", value) for name, value in items]
    head, *rest = rows
    return table(head, rest)  # type: ignore[arg-type]


def _lines(cell: object) -> list[str]:
    return [printable(line) for line in str(cell).splitlines()] or [""]


def document(value: Any, form: str) -> str:
    """The value as ``json`` or ``yaml``."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip("\n")


def show(value: Any, form: str, render: Callable[[Any], str]) -> None:
    """Print what the agent answered: rendered for people, or as a document for programs."""
    click.echo(render(value) if form == "table" else document(value, form))
