"""Requests before they are sent: what becomes of them by the L7 tables of both ends.

The protocol's own parser reads them, so a trace is asked what a client would say, in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from netloom.config.document import compose
from netloom.config.schema import Reader
from netloom.model.errors import ConfigError, Invalid
from netloom.model.l7 import L7Entry, L7Rule
from netloom.plugins.l7.driver import Broken, Driver
from netloom.plugins.protocols import L7Protocol
from netloom.policy.explain import End, Trace
from netloom.policy.l7_tables import l7_table
from netloom.policy.l7_verdicts import L7Decision, L7Verdict, applying, decide
from netloom.policy.ports import TCP
from netloom.policy.repository import Repository
from netloom.policy.table import Direction

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


def sides_of(repository: Repository, source: End, destination: End, port: int) -> Sides:
    """Of a connection to a port of TCP."""
    return Sides(
        egress=_entries(repository, Direction.EGRESS, source, destination, port),
        ingress=_entries(repository, Direction.INGRESS, destination, source, port),
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
    reader = _Reader(said.protocol)
    return tuple(
        RequestTrace(
            described=dict(said.protocol.describe(request)),
            egress=decide(sides.egress, reader.holds(request)) if sides.egress else None,
            ingress=decide(sides.ingress, reader.holds(request)) if sides.ingress else None,
        )
        for request in requests_in(said)
    )


def is_about_requests(found: Trace, service: tuple[int, int]) -> bool:
    """Whether a packet's connection goes by way of the proxy."""
    sides = [side for side in (found.egress, found.ingress) if side is not None]
    return service[0] == TCP and found.verdict.passes and any(side.decision.by_proxy for side in sides)


def requests_in(said: Said) -> tuple[Any, ...]:
    """What the protocol's parser takes the bytes for, as values of its own. Raises Invalid."""
    found: list[Any] = []

    def judge(request: Any) -> _Unjudged:
        if len(found) == MAX_REQUESTS:
            raise Invalid(f"more than {MAX_REQUESTS} requests in one question")
        found.append(request)
        return _Unjudged()

    actions = Driver(said.protocol.new_parser(judge)).feed(said.data, reply=False)
    broken = next((action for action in actions if isinstance(action, Broken)), None)
    if broken is not None:
        raise Invalid(f"{said.data[:60]!r} is no request of {said.protocol.name}: {broken.why}")
    if not found:
        raise Invalid(f"{said.data[:60]!r} is no whole request of {said.protocol.name}: it asks for more bytes")
    return tuple(found)


class _Unjudged:
    """An exchange that nobody waits for."""

    allowed = True
    rules: tuple[Any, ...] = ()

    def answered(self, **said: str) -> None:
        """Nobody hears it."""


class _Reader:
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


def _entries(repository: Repository, direction: Direction, subject: End, peer: End, port: int) -> tuple[L7Entry, ...]:
    table = l7_table(repository, subject.identity)
    if table is None:
        return ()
    entries = table.egress if direction is Direction.EGRESS else table.ingress
    return applying(entries, peer.identity, peer.address, port)
