"""What would change were other policies in force: flows that were seen, and who reaches whom. Pure.

Both sides of the comparison are repositories; nothing is judged by other means than the data path's own tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from netloom.model.address import Address
from netloom.model.identity import IdentityId
from netloom.policy.census import Inhabitant
from netloom.policy.explain import End, Trace, trace
from netloom.policy.l7_tables import l7_table
from netloom.policy.l7_words import words_of
from netloom.policy.matrix import matrix
from netloom.policy.questions import Service
from netloom.policy.reaches import ReachChange, compare
from netloom.policy.repository import Repository
from netloom.policy.selection import has_policy
from netloom.policy.table import Decision, Direction, Remote, Verdict, together


class Becomes(StrEnum):
    """What becomes of a flow."""

    DENIED = "would be denied"
    ALLOWED = "would pass"
    AUDITED = "would pass, and be reported by an audit policy"
    UNAUDITED = "would pass without a report"
    REDIRECTED = "would pass by way of the proxy, which judges requests"
    UNREDIRECTED = "would pass without anybody judging its requests"


@dataclass(frozen=True, slots=True)
class Seen:
    """A flow that was seen, from whoever began it."""

    source: End
    destination: End
    service: Service
    source_port: int = 0
    """Tells flows of one kind apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowChange:
    """Flows of one kind that would fare otherwise."""

    seen: Seen
    """One of them."""
    count: int
    becomes: Becomes
    before: Trace
    after: Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChange:
    """A pair of ends for which something would change."""

    source: Inhabitant
    destination: Inhabitant
    change: ReachChange


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestChange:
    """What would be said of requests of one identity, in words, each once."""

    identity: IdentityId
    gone: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that would change."""

    flows: tuple[FlowChange, ...]
    """Those that would be denied first."""
    replayed: int
    cells: tuple[CellChange, ...]
    requests: tuple[RequestChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.flows or self.cells or self.requests)


def what_if(before: Repository, after: Repository, seen: Iterable[Seen], everybody: Sequence[Inhabitant]) -> Comparison:
    """Compare. Both repositories know the same identities; subjects of the question are added to them."""
    seen = tuple(seen)
    asked = {IdentityId(end.identity) for flow in seen for end in (flow.source, flow.destination)}
    asked |= {one.end.identity for one in everybody}
    judged = [number for number in sorted(asked) if has_policy(before.labels_of(number))]
    for one in (before, after):
        one.add_subjects(*judged)
    return Comparison(
        flows=tuple(sorted(_flow_changes(before, after, seen), key=_urgency)),
        replayed=len(seen),
        cells=tuple(_cell_changes(before, after, everybody)),
        requests=tuple(_request_changes(before, after, judged)),
    )


def _request_changes(before: Repository, after: Repository, subjects: Iterable[IdentityId]) -> Iterable[RequestChange]:
    for subject in subjects:
        was, now = (dict.fromkeys(words_of(l7_table(one, subject))) for one in (before, after))
        if was != now:
            gone, new = (tuple(one for one in mine if one not in other) for mine, other in ((was, now), (now, was)))
            if gone or new:
                yield RequestChange(identity=subject, gone=gone, new=new)


def becomes(before: Verdict, after: Verdict) -> Becomes | None:
    """None: nothing that anybody notices."""
    if before.passes != after.passes:
        return Becomes.ALLOWED if after.passes else Becomes.DENIED
    if not before.passes or before is after or (before.is_audited and after.is_audited):
        return None
    if before.is_audited != after.is_audited:
        return Becomes.AUDITED if after.is_audited else Becomes.UNAUDITED
    return Becomes.REDIRECTED if after is Verdict.REDIRECTED else Becomes.UNREDIRECTED


def _urgency(change: FlowChange) -> tuple[int, int]:
    return list(Becomes).index(change.becomes), -change.count


def _flow_changes(before: Repository, after: Repository, seen: Iterable[Seen]) -> Iterable[FlowChange]:
    """Flows of the same identities, prefixes and service are one kind."""
    sides = (Judge(before), Judge(after))
    kinds: dict[tuple[object, ...], tuple[Seen, int]] = {}
    for flow in seen:
        ends = (flow.source, flow.destination)
        key = (flow.service, *(side.remote(end) for side in sides for end in ends))
        first, count = kinds.get(key, (flow, 0))
        kinds[key] = first, count + 1
    for flow, count in kinds.values():
        change = becomes(*(side.verdict(flow) for side in sides))
        if change is not None:
            traces = [trace(one, flow.source, flow.destination, flow.service) for one in (before, after)]
            yield FlowChange(seen=flow, count=count, becomes=change, before=traces[0], after=traces[1])


class Judge:
    """Verdicts of one repository, without the words: there may be a great many flows."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._numbers: dict[Address | None, int] = {}

    def remote(self, end: End) -> Remote:
        """An end as tables know it."""
        number = self._numbers.get(end.address)
        if number is None:
            number = self._numbers[end.address] = self.repository.remote(end.identity, end.address).prefix
        return Remote(end.identity, number)

    def decisions(self, flow: Seen) -> Iterator[Decision]:
        """Of the ends that have policies."""
        ways = ((flow.source, Direction.EGRESS, flow.destination), (flow.destination, Direction.INGRESS, flow.source))
        for own, direction, other in ways:
            if has_policy(self.repository.labels_of(own.identity)):
                yield self.repository.table(own.identity).decide(direction, self.remote(other), *flow.service)

    def verdict(self, flow: Seen) -> Verdict:
        """Of both ends."""
        return together(*(one.verdict for one in self.decisions(flow)))


def _cell_changes(before: Repository, after: Repository, everybody: Sequence[Inhabitant]) -> Iterable[CellChange]:
    ends = [one.end for one in everybody]
    pairs = ((source, destination) for source in everybody for destination in everybody)
    for (source, destination), was, now in zip(pairs, matrix(before, ends), matrix(after, ends), strict=True):
        change = compare(was.reach, now.reach)
        if change:
            yield CellChange(source=source, destination=destination, change=change)
