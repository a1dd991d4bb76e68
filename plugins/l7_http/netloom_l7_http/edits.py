"""Edits of requests' heads, made of whole header lines: what is not named stays as the client sent it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OFFERS: Final = (b"upgrade", b"http2-settings")


class Action(StrEnum):
    """What is done where a header is not as a rule wants it."""

    LOG = "LOG"
    ADD = "ADD"
    DELETE = "DELETE"
    REPLACE = "REPLACE"


@dataclass(frozen=True, slots=True)
class Edit:
    """One header that is not as a rule wants it."""

    action: Action
    name: str
    """As a rule spells it."""
    value: str
    """Wanted."""


def edited(head: bytes, edits: Iterable[Edit]) -> bytes:
    """A head after edits, in turn."""
    first, *lines = head[:-4].split(b"\r\n")
    for edit in edits:
        name, value = normal_name(edit.name.encode()), edit.value.encode("latin-1")
        match edit.action:
            case Action.DELETE:
                lines = [line for line in lines if _name(line) != name or _value(line) == value]
            case Action.REPLACE:
                lines = [line for line in lines if _name(line) != name]
        if edit.action in {Action.ADD, Action.REPLACE}:
            lines.append(edit.name.encode() + b": " + value)
    return _head(first, lines)


def withdrawn(head: bytes) -> bytes:
    """A head without its offer to go on with another protocol; a server may always leave such an offer alone."""
    first, *lines = head[:-4].split(b"\r\n")
    kept = []
    for line in lines:
        name = _name(line)
        if name == b"connection":
            words = [word.strip(b" \t") for word in _value(line).split(b",")]
            words = [word for word in words if word.lower() not in OFFERS]
            if words:
                kept.append(b"Connection: " + b", ".join(words))
        elif name not in OFFERS:
            kept.append(line)
    return _head(first, kept)


def normal_name(name: bytes) -> bytes:
    """How names of headers are compared: servers that hand headers on as variables know no other difference."""
    return name.lower().replace(b"_", b"-")


def _name(line: bytes) -> bytes:
    return normal_name(line.partition(b":")[0])


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].strip(b" \t")


def _head(first: bytes, lines: list[bytes]) -> bytes:
    return b"\r\n".join((first, *lines, b"", b""))
