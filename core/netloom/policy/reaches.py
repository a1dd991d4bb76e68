"""What separates two answers of the matrix. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from netloom.policy.matrix import ANY, LAST_OF, PROTOCOLS, Passing, Reach, State, put_together, ranges_of

_Ranges = Mapping[int, list[tuple[int, int, Passing]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachChange:
    """Services by what becomes of them."""

    opened: tuple[Reach, ...]
    """They pass, and did not."""
    closed: tuple[Reach, ...]
    """They do not pass any more."""
    audited: tuple[Reach, ...]
    """They pass as before, but are now reported as what an audit policy denies; not being ``audited``, no more."""
    redirected: tuple[Reach, ...] = ()
    """They pass as before, but now by way of the proxy; not being ``by_proxy``, no more."""

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed or self.audited or self.redirected)


def compare(before: tuple[Reach, ...], after: tuple[Reach, ...]) -> ReachChange:
    """Range by range."""
    if before == after:
        return ReachChange(opened=(), closed=(), audited=())
    one, other = _expanded(before), _expanded(after)
    return ReachChange(
        opened=_where(one, other, lambda was, now: now if was is None else None),
        closed=_where(one, other, lambda was, now: was if now is None else None),
        audited=_where(one, other, lambda was, now: now if was and now and was.audited != now.audited else None),
        redirected=_where(one, other, lambda was, now: now if was and now and was.by_proxy != now.by_proxy else None),
    )


def _expanded(found: Iterable[Reach]) -> _Ranges:
    """By protocol."""
    ranges: dict[int, list[tuple[int, int, Passing]]] = {protocol: [] for protocol in PROTOCOLS}
    for reach in found:
        for protocol in PROTOCOLS if reach.protocol == ANY else (reach.protocol,):
            last = LAST_OF[protocol] if reach.protocol == ANY else reach.last
            ranges[protocol].append((reach.first, last, Passing(reach.audited, reach.by_proxy)))
    return ranges


def _where(one: _Ranges, other: _Ranges, chosen: Callable[[State, State], State]) -> tuple[Reach, ...]:
    """Ranges of which ``chosen`` says something."""
    return put_together({protocol: tuple(_of_protocol(protocol, one, other, chosen)) for protocol in PROTOCOLS})


def _of_protocol(
    protocol: int, one: _Ranges, other: _Ranges, chosen: Callable[[State, State], State]
) -> Iterator[Reach]:
    edges = {edge for first, last, _ in (*one[protocol], *other[protocol]) for edge in (first, last + 1)}
    return ranges_of(protocol, edges, lambda port: chosen(_state(one[protocol], port), _state(other[protocol], port)))


def _state(ranges: Iterable[tuple[int, int, Passing]], port: int) -> State:
    return next((state for first, last, state in ranges if first <= port <= last), None)
