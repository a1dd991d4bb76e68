"""Requests before they are sent: what becomes of them by the L7 tables of both ends.

The protocol's own parser reads them, so a trace is asked what a client would say, in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Any, Final

from netloom.config.document import compose
from netloom.config.schema import Reader
from netloom.model.errors import ConfigError, Invalid
from netloom.model.identity import IdentityId
from netloom.model.l7 import L7Entry, L7Rule, L7Table
from netloom.plugins.l7.driver import Broken, Driver
from netloom.plugins.protocols import L7Protocol
from netloom.policy.explain import End, Trace
from netloom.policy.l7_tables import l7_table
from netloom.policy.l7_verdicts import L7Decision, L7Verdict, applying, decide
from netloom.policy.ports import TCP
from netloom.policy.repository import Repository

MAX_REQUESTS: Final = 100
"""Of one question."""
_ORDER: Final = (L7Verdict.DENIED, L7Verdict.AUDITED, L7Verdict.ALLOWED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a client would say."""

    protocol: L7Protocol
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTrace:
    """One request at both ends; None where that end says nothing of it."""

    described: Mapping[str, str]
    """As the access log has it."""
    egress: L7Decision | None
    ingress: L7Decision | None
    answer: Mapping[str, str] = field(default_factory=dict)
    """What the access log tells of the answer that a client gets in the server's place; nothing where it gets none."""

    @property
    def verdict(self) -> L7Verdict:
        """Who denies decides, then who would. Where neither end says anything, the proxy closes."""
        found = [side.verdict for side in (self.egress, self.ingress) if side is not None]
        return min(found, key=_ORDER.index, default=L7Verdict.DENIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Entries of both ends that apply to one connection."""

    egress: tuple[L7Entry, ...]
    ingress: tuple[L7Entry, ...]


TableOf = Callable[[IdentityId], L7Table | None]
"""The table of a subject; None when nothing is said of its requests."""


def sides_of(repository: Repository, source: End, destination: End, port: int) -> Sides:
    """Of a connection to a port of TCP, by what policies say of both ends."""
    return sides_by(partial(l7_table, repository), source, destination, port)


def sides_by(table_of: TableOf, source: End, destination: End, port: int) -> Sides:
    """Of a connection to a port of TCP, by the tables that one proxy has."""
    egress, ingress = table_of(source.identity), table_of(destination.identity)
    return Sides(
        egress=applying(egress.egress, destination.identity, destination.address, port) if egress else (),
        ingress=applying(ingress.ingress, source.identity, source.address, port) if ingress else (),
    )


def trace_requests(sides: Sides, said: Said) -> tuple[RequestTrace, ...]:
    """What becomes of requests in a connection that goes by way of the proxy. Calls the plugin's code, of any cost.

    Raises Invalid where the ends' entries are of another protocol, or where no request can be read.
    """
    spoken = {entry.protocol for entry in (*sides.egress, *sides.ingress)}
    if spoken and spoken != {said.protocol.name}:
        raise Invalid(
            f"policies judge these requests as {' and '.join(sorted(spoken))}, the question is about "
            f"{said.protocol.name}"
        )
    reader = RuleReader(said.protocol)
    found = tuple(
        RequestTrace(
            described=dict(said.protocol.describe(request)),
            egress=decide(sides.egress, reader.holds(request)) if sides.egress else None,
            ingress=decide(sides.ingress, reader.holds(request)) if sides.ingress else None,
        )
        for request in requests_in(said)
    )
    return tuple(_with_answers(found, said))


def is_about_requests(found: Trace, service: tuple[int, int]) -> bool:
    """Whether a packet's connection goes by way of the proxy."""
    sides = [side for side in (found.egress, found.ingress) if side is not None]
    return service[0] == TCP and found.verdict.passes and any(side.decision.by_proxy for side in sides)


def requests_in(said: Said) -> tuple[Any, ...]:
    """What the protocol's parser takes the bytes for, as values of its own. Raises Invalid."""
    found, broken = _exchanges(said, allowed=True)
    if broken is not None:
        raise Invalid(f"{said.data[:60]!r} is no request of {said.protocol.name}: {broken.why}")
    if not found:
        raise Invalid(f"{said.data[:60]!r} is no whole request of {said.protocol.name}: it asks for more bytes")
    return tuple(exchange.request for exchange in found)


def _with_answers(found: tuple[RequestTrace, ...], said: Said) -> Iterator[RequestTrace]:
    """The parser itself tells how it refuses: it is asked once more, where somebody is denied, and refuses everybody.

    So nobody waits for the answers to those who are allowed. Where a refusal ends the connection, those behind it have
    none.
    """
    is_denied = [one.verdict is L7Verdict.DENIED and (one.egress or one.ingress) is not None for one in found]
    refused = _exchanges(said, allowed=False)[0][: len(found)] if any(is_denied) else []
    for one, denied, exchange in zip_longest(found, is_denied, refused):
        yield replace(one, answer=exchange.answer) if denied and exchange else one


def _exchanges(said: Said, *, allowed: bool) -> tuple[list[_Exchange], Broken | None]:
    """All requests in some bytes, all allowed or all refused, and what broke the connection behind them."""
    found: list[_Exchange] = []

    def judge(request: Any) -> _Exchange:
        if len(found) == MAX_REQUESTS:
            raise Invalid(f"more than {MAX_REQUESTS} requests in one question")
        found.append(_Exchange(request=request, allowed=allowed))
        return found[-1]

    actions = Driver(said.protocol.new_parser(judge)).feed(said.data, reply=False)
    return found, next((action for action in actions if isinstance(action, Broken)), None)


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """As the parsers' contract has it, between nobody and nobody."""

    request: Any
    allowed: bool
    rules: tuple[Any, ...] = ()
    answer: dict[str, str] = field(default_factory=dict)

    def answered(self, **said: str) -> None:
        """By the parser itself: there is no server."""
        self.answer = said


class RuleReader:
    """Rules of one protocol, each read once."""

    def __init__(self, protocol: L7Protocol) -> None:
        self._protocol = protocol
        self._matchers: dict[str, Callable[[Any], bool]] = {}

    def holds(self, request: Any) -> Callable[[L7Rule], bool]:
        """Says of rules whether they hold for a request; raises Invalid for one that cannot be read."""
        return lambda rule: bool(self._matcher(rule)(request))

    def _matcher(self, rule: L7Rule) -> Callable[[Any], bool]:
        if rule.rule not in self._matchers:
            reader = Reader(rule.policy)
            read = reader.section(self._protocol.rule_type, compose(rule.rule, rule.policy), rule.origin)
            try:
                reader.finish()
            except ConfigError as error:
                raise Invalid(f"a rule of {rule.policy} cannot be read, so its port is closed: {error}") from error
            self._matchers[rule.rule] = self._protocol.matcher(read)
        return self._matchers[rule.rule]
