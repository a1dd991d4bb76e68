"""Parsers for protocols in which requests are answered in turn: say how to read one, and this does the rest. Pure.

Requests may come in any pieces and one behind another; who is denied is answered when it is their turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from netloom.plugins.protocols import Exchange, Judge, Op, OpKind, Parser

WAITING_MAX: Final = 4096
"""Requests of one connection without an answer; who sends more does not read."""


class Unspoken(Exception):
    """The bytes are not the protocol: says what they are instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; subclass it to say more of it."""

    size_bytes: int
    """From its first byte to its last, at least 1; it may reach past the bytes at hand."""
    is_answered: bool = True
    """Whether a reply follows."""


R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class Part:
    """So much of a reply."""

    size_bytes: int
    """At least 1; it may reach past the bytes at hand."""
    is_last: bool = True
    """Whether the reply ends with it."""


class Dialog(Protocol[R]):
    """One connection of the protocol. Each method raises Unspoken for what is no such thing."""

    def parse_request(self, data: bytes) -> R | None:
        """The request at the beginning of ``data``; None while that says too little."""

    def parse_reply(self, data: bytes, request: R) -> Part | None:
        """The reply, or its next part, at the beginning of ``data``; None while that says too little."""

    def deny(self, request: R) -> bytes:
        """What a client is told in place of a reply."""


def in_turn(new_dialog: Callable[[], Dialog[R]]) -> Callable[[Judge], Parser]:
    """Make ``new_parser`` of an :class:`~netloom.plugins.L7Protocol`."""
    return lambda judge: _Turns(new_dialog(), judge)


class _Turns(Generic[R]):
    """A Parser."""

    def __init__(self, dialog: Dialog[R], judge: Judge) -> None:
        self._dialog = dialog
        self._judge = judge
        self._waiting: deque[tuple[R, Exchange]] = deque()
        """Whose answers have not come, in turn."""
        self._left_bytes = 0
        """Of the part of a reply that is passing."""
        self._is_last_part = True

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        del end
        ops: list[Op] = []
        try:
            (self._replies if reply else self._requests)(data, ops)
        except Unspoken as error:
            ops.append(Op(kind=OpKind.ERROR, data=str(error).encode()))
        return tuple(ops)

    def _requests(self, data: bytes, ops: list[Op]) -> None:
        at = 0
        while at < len(data):
            request = self._dialog.parse_request(data[at:] if at else data)
            if request is None:
                return
            if len(self._waiting) >= WAITING_MAX:
                raise Unspoken(f"more than {WAITING_MAX} requests without a reply")
            self._ask(request, ops)
            at += request.size_bytes

    def _ask(self, request: R, ops: list[Op]) -> None:
        exchange = self._judge(request)
        ops.append(Op(kind=OpKind.PASS if exchange.allowed else OpKind.DROP, count=request.size_bytes))
        if not request.is_answered:
            exchange.answered()
        elif exchange.allowed or self._waiting:
            self._waiting.append((request, exchange))
        else:
            self._deny(request, exchange, ops)

    def _replies(self, data: bytes, ops: list[Op]) -> None:
        at = 0
        while at < len(data):
            if not self._left_bytes and not self._begin_part(data[at:] if at else data):
                return
            # Never past the bytes at hand: whoever is denied behind this reply is answered as it ends.
            count = min(self._left_bytes, len(data) - at)
            ops.append(Op(kind=OpKind.PASS, count=count))
            at += count
            self._left_bytes -= count
            if self._is_last_part and not self._left_bytes:
                self._waiting.popleft()
                self._deny_those_in_turn(ops)

    def _begin_part(self, data: bytes) -> bool:
        if not self._waiting:
            raise Unspoken("a reply that nobody has asked for")
        request, exchange = self._waiting[0]
        part = self._dialog.parse_reply(data, request)
        if part is None:
            return False
        if self._is_last_part:  # the part before ended its reply
            exchange.answered()
        self._left_bytes, self._is_last_part = part.size_bytes, part.is_last
        return True

    def _deny_those_in_turn(self, ops: list[Op]) -> None:
        while self._waiting and not self._waiting[0][1].allowed:
            self._deny(*self._waiting.popleft(), ops)

    def _deny(self, request: R, exchange: Exchange, ops: list[Op]) -> None:
        ops.append(Op(kind=OpKind.INJECT, data=self._dialog.deny(request)))
        exchange.answered()
