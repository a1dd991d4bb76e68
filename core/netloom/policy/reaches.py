"""What separates two answers of the matrix. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from netloom.policy.matrix import ANY, LAST_OF, PROTOCOLS, Reach
from netloom.policy.ports import LAST_PORT

_State = bool | None
"""Whether it passes only for being audited; None: it does not pass."""
_Ranges = Mapping[int, list[tuple[int, int, bool]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachChange:
    """Services by what becomes of them."""

    opened: tuple[Reach, ...]
    """They pass, and did not."""
    closed: tuple[Reach, ...]
    """They do not pass any more."""
    audited: tuple[Reach, ...]
    """They pass as before, but are now reported as what an audit policy denies; not being ``audited``, no more."""

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed or self.audited)


def compare(before: tuple[Reach, ...], after: tuple[Reach, ...]) -> ReachChange:
    """Range by range."""
    if before == after:
        return ReachChange(opened=(), closed=(), audited=())
    one, other = _expanded(before), _expanded(after)
    return ReachChange(
        opened=_where(one, other, lambda was, now: now if was is None else None),
        closed=_where(one, other, lambda was, now: was if now is None else None),
        audited=_where(one, other, lambda was, now: now if None not in (was, now) and was != now else None),
    )


def _expanded(found: Iterable[Reach]) -> _Ranges:
    """By protocol."""
    ranges: dict[int, list[tuple[int, int, bool]]] = {protocol: [] for protocol in PROTOCOLS}
    for reach in found:
        for protocol in PROTOCOLS if reach.protocol == ANY else (reach.protocol,):
            last = LAST_OF[protocol] if reach.protocol == ANY else reach.last
            ranges[protocol].append((reach.first, last, reach.audited))
    return ranges


def _where(one: _Ranges, other: _Ranges, chosen: Callable[[_State, _State], _State]) -> tuple[Reach, ...]:
    """Ranges of which ``chosen`` says something, all protocols in one where they are alike."""
    found = {protocol: tuple(_of_protocol(protocol, one, other, chosen)) for protocol in PROTOCOLS}
    states = {ranges[0].audited for ranges in found.values() if ranges}
    if len(states) == 1 and all(_is_whole(protocol, ranges) for protocol, ranges in found.items()):
        return (Reach(ANY, 0, LAST_PORT, states.pop()),)
    return tuple(reach for protocol in sorted(found) for reach in found[protocol])


def _is_whole(protocol: int, ranges: tuple[Reach, ...]) -> bool:
    return len(ranges) == 1 and (ranges[0].first, ranges[0].last) == (0, LAST_OF[protocol])


def _of_protocol(
    protocol: int, one: _Ranges, other: _Ranges, chosen: Callable[[_State, _State], _State]
) -> Iterator[Reach]:
    ranges = (*one[protocol], *other[protocol])
    starts = sorted({0, *(first for first, _, _ in ranges), *(last + 1 for _, last, _ in ranges)})
    begun: tuple[int, bool] | None = None
    for start in (start for start in starts if start <= LAST_OF[protocol]):
        now = chosen(_state(one[protocol], start), _state(other[protocol], start))
        if begun is not None and now != begun[1]:
            yield Reach(protocol, begun[0], start - 1, begun[1])
            begun = None
        if begun is None and now is not None:
            begun = start, now
    if begun is not None:
        yield Reach(protocol, begun[0], LAST_OF[protocol], begun[1])


def _state(ranges: Iterable[tuple[int, int, bool]], port: int) -> _State:
    return next((audited for first, last, audited in ranges if first <= port <= last), None)
