"""Desired and actual contents: the law that only the claims that stand decide."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netloom.plan.delta import Delta

Keys = st.sampled_from("abcd")
Entries = st.dictionaries(Keys, st.integers(0, 3), max_size=4)
Owners = st.sampled_from(["endpoint/1", "endpoint/2", "node"])
Steps = st.lists(st.tuples(Owners, st.none() | Entries), max_size=12)


def play(delta: Delta[str, int], steps: list[tuple[str, dict[str, int] | None]]) -> None:
    for owner, entries in steps:
        if entries is None:
            delta.withdraw(owner)
        else:
            delta.claim(owner, entries)


def settle(delta: Delta[str, int], table: dict[str, int]) -> None:
    changes = delta.pending()
    for key in changes.deletes:
        table.pop(key, None)
        delta.applied(key, None)
    for key, value in changes.upserts.items():
        table[key] = value
        delta.applied(key, value)


def oracle(steps: list[tuple[str, dict[str, int] | None]]) -> dict[str, int]:
    """The slow obvious way: last claim per owner, then the first owner by name wins each key."""
    standing = dict(steps)
    union: dict[str, int] = {}
    for owner in sorted(standing, reverse=True):
        union |= standing[owner] or {}
    return union


@given(Steps, Entries)
def test_applying_what_is_pending_makes_the_table_what_the_claims_say(
    steps: list[tuple[str, dict[str, int] | None]], table: dict[str, int]
) -> None:
    """Whatever the kernel held before."""
    delta: Delta[str, int] = Delta()
    play(delta, steps)
    delta.observe(table)
    settle(delta, table)
    assert table == oracle(steps)
    assert not delta.pending()


@given(Steps, st.data())
def test_settling_in_between_changes_nothing_in_the_end(
    steps: list[tuple[str, dict[str, int] | None]], data: st.DataObject
) -> None:
    """The path taken does not matter."""
    delta: Delta[str, int] = Delta()
    table: dict[str, int] = {}
    cut = data.draw(st.integers(0, len(steps)))
    play(delta, steps[:cut])
    settle(delta, table)
    play(delta, steps[cut:])
    settle(delta, table)
    assert table == oracle(steps)


def test_a_second_claimant_takes_over_when_the_first_withdraws() -> None:
    """Two owners of one key: the one that sorts first wins while it stands."""
    delta: Delta[str, int] = Delta()
    delta.claim("b", {"k": 2})
    delta.claim("a", {"k": 1})
    assert delta.desired("k") == 1
    delta.withdraw("a")
    assert delta.desired("k") == 2


def test_an_entry_that_a_stranger_deleted_is_pending_after_observing() -> None:
    """Repair begins with noticing."""
    delta: Delta[str, int] = Delta()
    delta.claim("a", {"k": 1})
    delta.applied("k", 1)
    assert not delta.pending()
    delta.observe({})
    assert delta.pending().upserts == {"k": 1}


def test_claims_tells_whose_entry_a_key_is() -> None:
    """A failed write is reported to the owner it concerns."""
    delta: Delta[str, int] = Delta()
    delta.claim("a", {"k": 1})
    assert delta.claims("a", "k")
    assert not delta.claims("b", "k")
