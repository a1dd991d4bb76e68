"""One request, from its judgement until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from netloom.model.l7 import L7Rule
from netloom.plugins.protocols import L7Protocol
from netloom.proxy.access import AccessLog, line, members
from netloom.proxy.rules import Applied, Ends, Judged

_NO_RULE: Final = L7Rule(rule="", policy="", origin="")


class Asked:
    """An Exchange of the parsers' contract."""

    __slots__ = ("_applied", "_at_ns", "_done", "_judged", "allowed")

    def __init__(self, applied: Applied | None, request: Any, done: Callable[[Asked, dict[str, str]], None]) -> None:
        """``applied`` None: nothing is asked of it any more. ``done`` is called once."""
        self._applied = applied
        self._judged = applied.judged(request) if applied else None
        self.allowed = self._judged is None or self._judged.verdict != "denied"
        self._done: Callable[[Asked, dict[str, str]], None] | None = done
        self._at_ns = time.monotonic_ns()

    @property
    def rules(self) -> tuple[Any, ...]:
        """Those that hold for it."""
        return self._judged.rules if self._judged else ()

    def answered(self, **said: str) -> None:
        """Its answer has begun."""
        if self._done is not None:
            done, self._done = self._done, None
            done(self, said)

    def record(self, log: AccessLog, protocol: L7Protocol, ends: Ends, said: dict[str, str], why: str = "") -> None:
        """Count it, and tell of it; of one that nothing is asked of only the count."""
        applied, judged = self._applied, self._judged
        if applied is None or judged is None:
            log.count(protocol.name, "", "allowed")
            return
        log.count(protocol.name, applied.direction, judged.verdict)
        if not log.has_room:
            log.lose()
            return
        if not judged.told:
            judged.told = _told(protocol, applied, judged)
        latency_ns = 0 if why else time.monotonic_ns() - self._at_ns
        log.put(line(ends.told, judged.told, latency_ns=latency_ns, answer=said, why=why or applied.problem))


def _told(protocol: L7Protocol, applied: Applied, judged: Judged) -> bytes:
    rule = judged.rule.said if judged.rule else _NO_RULE
    return members(
        protocol=protocol.name,
        verdict=judged.verdict,
        policy=rule.policy,
        origin=rule.origin,
        direction=applied.direction,
        request=dict(protocol.describe(judged.request)),
    )


def broken(protocol: str, ends: Ends, direction: str, why: str) -> bytes:
    """A line about a connection that cannot go on."""
    return line(ends.told, members(protocol=protocol, verdict="error", direction=direction), why=why)
