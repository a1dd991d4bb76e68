"""What separates two answers of the matrix, port by port."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netloom.policy.explain import End
from netloom.policy.matrix import ANY, LAST_OF, PROTOCOLS, Passing, Reach, matrix
from netloom.policy.ports import ICMP, TCP
from netloom.policy.reaches import compare
from netloom.policy.repository import Repository
from support.policy_oracle import Standing
from support.policy_worlds import PORTS, standings

EVERYTHING = (Reach(ANY, 0, 65535, audited=False),)


def state(found: tuple[Reach, ...], protocol: int, port: int) -> Passing | None:
    for reach in found:
        if reach.protocol in (ANY, protocol) and reach.first <= port <= reach.last:
            return Passing(reach.audited, reach.by_proxy)
    return None


@given(standings, standings)
def test_each_port_is_in_what_became_of_it(one: Standing, other: Standing) -> None:
    cells = []
    for standing in (one, other):
        made = Repository()
        made.add_identities(one.identities | other.identities)
        made.upsert(*standing.policies.values())
        cells.append(matrix(made, [End(number) for number in sorted(made.identities()) if number >= 256]))
    for before, after in zip(*cells, strict=True):
        change = compare(before.reach, after.reach)
        assert bool(change) == (before.reach != after.reach)
        for protocol in PROTOCOLS:
            for port in {port for port in (*PORTS, 8, 128) if port <= LAST_OF[protocol]}:
                was, now = (state(cell.reach, protocol, port) for cell in (before, after))
                assert state(change.opened, protocol, port) == (now if was is None else None)
                assert state(change.closed, protocol, port) == (was if now is None else None)
                for turned, field in ((change.audited, 0), (change.redirected, 1)):
                    differs = was is not None and now is not None and was[field] != now[field]
                    assert state(turned, protocol, port) == (now if differs else None)


def test_what_goes_by_the_proxy_from_now_on_is_told_apart() -> None:
    by_proxy = (Reach(TCP, 80, 80, audited=False, by_proxy=True),)
    change = compare((Reach(TCP, 80, 80, audited=False),), by_proxy)
    assert (change.redirected, change.opened, change.closed, change.audited) == (by_proxy, (), (), ())


def test_all_protocols_that_go_together_are_one() -> None:
    assert compare(EVERYTHING, ()).closed == EVERYTHING
    assert compare((), EVERYTHING).opened == EVERYTHING


def test_what_is_left_of_everything_is_not_among_what_is_closed() -> None:
    closed = compare(EVERYTHING, (Reach(TCP, 80, 80, audited=False),)).closed
    assert [reach for reach in closed if reach.protocol == TCP] == [
        Reach(TCP, 0, 79, audited=False),
        Reach(TCP, 81, 65535, audited=False),
    ]
    assert Reach(ICMP, 0, 255, audited=False) in closed


@given(st.sampled_from([EVERYTHING, (), (Reach(TCP, 1, 2, audited=True),)]))
def test_equal_answers_do_not_differ(found: tuple[Reach, ...]) -> None:
    assert not compare(found, found)
