"""One request, from its judgement until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from netloom.model.l7 import L7Rule
from netloom.model.l7_messages import Access
from netloom.plugins.protocols import L7Protocol
from netloom.proxy.access import AccessLog
from netloom.proxy.rules import Applied, Ends, Judgement

_NO_RULE: Final = L7Rule(rule="", policy="", origin="")


class Asked:
    """An Exchange of the parsers' contract."""

    __slots__ = ("_applied", "_at_ns", "_done", "_request", "_rule", "_rules", "_verdict", "allowed")

    def __init__(self, applied: Applied | None, request: Any, done: Callable[[Asked, dict[str, str]], None]) -> None:
        """``applied`` None: nothing is asked of it any more. ``done`` is called once."""
        self._verdict: Judgement = "allowed"
        self._rule = None
        if applied:
            self._verdict, self._rule = applied.judge(request)
        self.allowed = self._verdict != "denied"
        self._applied = applied
        self._rules: tuple[Any, ...] | None = None
        self._request = request
        self._done: Callable[[Asked, dict[str, str]], None] | None = done
        self._at_ns = time.monotonic_ns()

    @property
    def rules(self) -> tuple[Any, ...]:
        """Those that hold for it."""
        if self._rules is None:
            self._rules = self._applied.holding(self._request) if self._applied else ()
        return self._rules

    def answered(self, **said: str) -> None:
        """Its answer has begun."""
        if self._done is not None:
            done, self._done = self._done, None
            done(self, said)

    def record(self, log: AccessLog, protocol: L7Protocol, ends: Ends, said: dict[str, str], why: str = "") -> None:
        """Count it, and tell of it; of one that nothing is asked of only the count."""
        log.count(protocol.name, self._applied.direction if self._applied else "", self._verdict)
        if self._applied is None:
            return
        if not log.has_room:
            log.lose()
            return
        rule = self._rule.said if self._rule else _NO_RULE
        log.put(
            Access(
                at=time.time(),
                protocol=protocol.name,
                verdict=self._verdict,
                policy=rule.policy,
                origin=rule.origin,
                source_identity=ends.source_identity,
                destination_identity=ends.destination_identity,
                source=ends.source_text,
                destination=ends.destination_text,
                source_port=ends.source_port,
                destination_port=ends.destination_port,
                direction=self._applied.direction,
                latency_ns=0 if why else time.monotonic_ns() - self._at_ns,
                request=dict(protocol.describe(self._request)),
                answer=said,
                why=why or self._applied.problem,
            )
        )


def broken(protocol: str, ends: Ends, direction: str, why: str) -> Access:
    """A record about a connection that cannot go on."""
    return Access(
        at=time.time(),
        protocol=protocol,
        verdict="error",
        source_identity=ends.source_identity,
        destination_identity=ends.destination_identity,
        source=ends.source_text,
        destination=ends.destination_text,
        source_port=ends.source_port,
        destination_port=ends.destination_port,
        direction=direction,
        why=why,
    )
