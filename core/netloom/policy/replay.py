"""Requests that were seen, judged once more: by policies that stand, and by those that would. Pure.

A request whose packets do not pass is denied, one whose packets do not go by the proxy is not asked about: so it meets
all that a client would meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from netloom.model.errors import Invalid
from netloom.plugins.protocols import L7Protocol, Untold
from netloom.policy.explain import End
from netloom.policy.l7_tables import l7_table
from netloom.policy.l7_trace import RequestTrace, RuleReader, sides_by
from netloom.policy.l7_verdicts import L7Decision, L7Verdict, decide
from netloom.policy.ports import TCP
from netloom.policy.repository import Repository
from netloom.policy.selection import has_policy
from netloom.policy.table import Verdict, together
from netloom.policy.whatif import Judge, Seen


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that was seen, from whoever asked."""

    source: End
    destination: End
    port: int
    protocol: str
    """Name of the application's."""
    told: tuple[tuple[str, str], ...]
    """What the access log tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What becomes of a request by some policies."""

    verdict: L7Verdict
    packets: Verdict
    """What becomes of its packets; where they pass and nobody is asked, nothing is said of it."""
    asked: RequestTrace | None = None
    """What both ends say of it, where it goes by the proxy."""

    @property
    def decisive(self) -> tuple[str, L7Decision] | None:
        """The end that decided, with its decision; None where none was asked."""
        ends = (("egress", self.asked.egress), ("ingress", self.asked.ingress)) if self.asked else ()
        said = [(name, decision) for name, decision in ends if decision is not None]
        return next((one for one in said if one[1].verdict is self.verdict), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReplay:
    """Requests of one kind that would fare otherwise."""

    seen: SeenRequest
    count: int
    before: Judged
    after: Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """All that was replayed."""

    changes: tuple[RequestReplay, ...]
    """Those that would be denied first."""
    replayed: int
    untold: Mapping[str, int]
    """How many could not be, by why."""


def replay(
    before: Repository, after: Repository, seen: Iterable[SeenRequest], protocols: Mapping[str, L7Protocol]
) -> Replay:
    """Compare. Subjects of the question are added to both repositories; ``protocols`` by name."""
    changes, untold, kinds = [], Counter[str](), Counter(seen)
    asked = {end.identity for request in kinds for end in (request.source, request.destination)}
    subjects = [number for number in sorted(asked) if has_policy(before.labels_of(number))]
    for one in (before, after):
        one.add_subjects(*subjects)
    courts = [_Court(one, protocols) for one in (before, after)]
    for request, count in kinds.items():
        try:
            was, now = (court.judge(request) for court in courts)
        except (Untold, Invalid) as error:
            untold[str(error)] += count
            continue
        if was.verdict is not now.verdict:
            changes.append(RequestReplay(seen=request, count=count, before=was, after=now))
    changes.sort(key=lambda one: (one.after.verdict is not L7Verdict.DENIED, -one.count))
    return Replay(changes=tuple(changes), replayed=kinds.total() - untold.total(), untold=untold)


class _Court:
    """Judges requests by one repository."""

    def __init__(self, repository: Repository, protocols: Mapping[str, L7Protocol]) -> None:
        self._judge = Judge(repository)
        self._table_of = cache(partial(l7_table, repository))
        self._protocols = protocols
        self._readers: dict[str, RuleReader] = {}

    def judge(self, seen: SeenRequest) -> Judged:
        """Raises Untold where it cannot be known, and Invalid for a rule that nobody can read."""
        packet = Seen(seen.source, seen.destination, (TCP, seen.port))
        decisions = tuple(self._judge.decisions(packet))
        packets = together(*(one.verdict for one in decisions))
        if not packets.passes:
            return Judged(verdict=L7Verdict.DENIED, packets=packets)
        if not any(one.by_proxy for one in decisions):
            return Judged(verdict=L7Verdict.ALLOWED, packets=packets)
        asked = self._asked(seen)
        return Judged(verdict=asked.verdict, packets=packets, asked=asked)

    def _asked(self, seen: SeenRequest) -> RequestTrace:
        sides = sides_by(self._table_of, seen.source, seen.destination, seen.port)
        spoken = {entry.protocol for entry in (*sides.egress, *sides.ingress)}
        told = dict(seen.told)
        if spoken != {seen.protocol}:
            return RequestTrace(described=told, egress=None, ingress=None)
        holds = self._reader(seen.protocol).holds(self._recalled(seen.protocol, told))
        return RequestTrace(
            described=told,
            egress=decide(sides.egress, holds) if sides.egress else None,
            ingress=decide(sides.ingress, holds) if sides.ingress else None,
        )

    def _recalled(self, name: str, told: Mapping[str, str]) -> Any:
        protocol = self._protocols.get(name)
        if protocol is None or protocol.recall is None:
            raise Untold(f"requests of {name} cannot be recalled")
        return protocol.recall(told)

    def _reader(self, name: str) -> RuleReader:
        if name not in self._readers:
            self._readers[name] = RuleReader(self._protocols[name])
        return self._readers[name]
