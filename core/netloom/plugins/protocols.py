"""The contract of application protocols: what a parser is given, and what it may want done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class OpKind(StrEnum):
    """What a parser wants done with bytes of a stream."""

    MORE = "more"
    """Wait until ``count`` more bytes have come."""
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    DROP = "drop"
    INJECT = "inject"
    """Send ``data`` to the side that these bytes came from."""
    ERROR = "error"
    """Not the protocol: close the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One instruction of a parser; PASS and DROP may reach past the bytes at hand."""

    kind: OpKind
    count: int = 0
    data: bytes = b""


class Parser(Protocol):
    """State of one connection; does no I/O. Bounded: it may not keep more than 64 KiB."""

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        """What to do with ``data``, all bytes of one direction not yet passed or dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Protocol:
    """A protocol that policies may name."""

    name: str
    rule_type: type
    """Dataclass of one rule, read like a config section."""
    new_parser: Callable[[tuple[Any, ...]], Parser]
    """Called once a connection with the rules that apply to it."""
