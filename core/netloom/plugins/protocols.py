"""The contract of application protocols: what a parser is given, and what it may want done.

A parser is sans-IO: it sees the bytes of one connection in both directions and says which of them go on. Whether a
request may go on is not its to decide: it asks the judge, each time, so that rules which change reach connections
that are open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec


class OpKind(StrEnum):
    """What a parser wants done with bytes of a stream."""

    MORE = "more"
    """Wait until ``count`` more bytes have come."""
    WAIT = "wait"
    """Wait until the other direction has been heard, whatever comes in this one; even an end of it."""
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    DROP = "drop"
    INJECT = "inject"
    """Send ``data``: to the client, or with ``reply`` false to the server."""
    CLOSE = "close"
    """All is said: both directions end, after what was passed and injected so far."""
    ERROR = "error"
    """Not the protocol: break the connection, after what was passed and injected. ``data`` says why, in UTF-8."""


class Op(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One instruction of a parser; PASS and DROP may reach past the bytes at hand."""

    kind: OpKind
    count: int = 0
    data: bytes = b""
    reply: bool = True
    """Of INJECT: whether ``data`` belongs to the stream of replies."""


class Parser(Protocol):
    """State of one connection; does no I/O. Bounded: it may not keep more than 64 KiB."""

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        """What to do with ``data``, all bytes of one direction not yet passed or dropped, from the first one on.

        Called when bytes have come, and once with ``end`` when no more will. Bytes no instruction speaks of stay, and
        come again at the front of the next call.
        """


class Exchange(Protocol):
    """One request that was judged, until it is answered."""

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""

    @property
    def rules(self) -> tuple[Any, ...]:
        """The rules that hold for it, as policies give them; none where no rule is asked."""

    def answered(self, **said: str) -> None:
        """Its answer has begun, by the server or by the parser; ``said`` is what the access log tells of it."""


Judge = Callable[[Any], Exchange]
"""Called with a request of the protocol, in the order in which requests came.

An object that is given again is the same request as before, and is not matched again while the rules are the same: a
parser may keep those that come often, and must not change one.
"""


class Untold(Exception):
    """Of a request that was recalled, a rule asks what the access log has not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Protocol:
    """A protocol that policies may name."""

    name: str
    rule_type: type
    """Dataclass of one rule, read like a config section."""
    matcher: Callable[[Any], Callable[[Any], bool]]
    """Called with each rule as a policy is given: returns what says whether it holds for a request. Raises Invalid for
    a rule that means nothing, and the policy is refused."""
    describe: Callable[[Any], Mapping[str, str]]
    """What the access log tells of a request: few words, by name."""
    new_parser: Callable[[Judge], Parser]
    """Called once a connection."""
    recall: Callable[[Mapping[str, str]], Any] | None = None
    """The request of which ``describe`` has told this, for questions about policies that are not in force. What was not
    told raises :exc:`Untold` as soon as a rule asks for it, so that nobody guesses. None: requests of the protocol are
    not asked about again."""
