"""What a set of effects makes of a packet, of all sets there are; the programs' own judge is held to the same."""

from __future__ import annotations

from itertools import product

import pytest

from netloom.datapath.enforcement import PolicyEffect
from netloom.policy import table
from netloom.policy.ports import ANY_SERVICE
from netloom.policy.resolve import Clause, slice_of
from netloom.policy.selection import Group
from netloom.policy.table import (
    ALLOW,
    AUDIT_ALLOW,
    AUDIT_DENY,
    DENY,
    INSPECT,
    REDIRECT,
    WATCH,
    Isolation,
    Verdict,
    goes_by_proxy,
    judge,
    needs_proxy,
    together,
)

ALL = range(1, 128)


def normal(effects: int) -> int:
    """As a table keeps them."""
    kept = slice_of([Clause(Group(None), effects, frozenset(), frozenset((ANY_SERVICE,)))], {})
    return kept.entries[ANY_SERVICE].effects


def answers(effects: int, isolation: Isolation) -> tuple[Verdict, bool, bool]:
    verdict = judge(effects, isolation)
    return verdict, verdict.passes and needs_proxy(effects), verdict.passes and goes_by_proxy(effects)


def test_the_programs_know_effects_by_the_same_numbers() -> None:
    assert {effect.name: int(effect) for effect in PolicyEffect} == {
        str(effect.name): getattr(table, str(effect.name)) for effect in PolicyEffect
    }


def test_the_normal_form_answers_as_what_was_merged_with_whatever_else_is_found() -> None:
    for effects, other, isolation in product(ALL, range(128), Isolation):
        assert answers(normal(effects) | other, isolation) == answers(effects | other, isolation)


@pytest.mark.parametrize(
    ("effects", "isolation", "verdict"),
    [
        (0, Isolation.NONE, Verdict.ALLOWED),
        (REDIRECT, Isolation.ENFORCED, Verdict.REDIRECTED),
        (REDIRECT, Isolation.NONE, Verdict.REDIRECTED),
        (REDIRECT | ALLOW, Isolation.ENFORCED, Verdict.ALLOWED),
        (REDIRECT | DENY, Isolation.ENFORCED, Verdict.DENIED),
        (INSPECT, Isolation.ENFORCED, Verdict.DENIED_BY_DEFAULT),
        (INSPECT, Isolation.NONE, Verdict.REDIRECTED),
        (INSPECT | ALLOW, Isolation.ENFORCED, Verdict.REDIRECTED),
        (WATCH, Isolation.ENFORCED, Verdict.DENIED_BY_DEFAULT),
        (WATCH, Isolation.NONE, Verdict.REDIRECTED),
        (WATCH | ALLOW, Isolation.ENFORCED, Verdict.REDIRECTED),
        (WATCH | AUDIT_ALLOW, Isolation.AUDITED, Verdict.REDIRECTED),
        (REDIRECT, Isolation.AUDITED, Verdict.REDIRECTED),
        (REDIRECT | AUDIT_DENY, Isolation.ENFORCED, Verdict.AUDITED),
        (WATCH, Isolation.AUDITED, Verdict.AUDITED_BY_DEFAULT),
    ],
)
def test_a_plain_allow_leaves_nothing_to_ask_and_a_denial_goes_before_all(
    effects: int, isolation: Isolation, verdict: Verdict
) -> None:
    assert judge(effects, isolation) is verdict


@pytest.mark.parametrize(
    ("effects", "needs", "goes"),
    [
        (REDIRECT, True, True),
        (REDIRECT | ALLOW, False, False),
        (REDIRECT | AUDIT_DENY, True, True),
        (INSPECT | ALLOW, True, True),
        (WATCH, False, True),
        (WATCH | REDIRECT, True, True),
        (WATCH | REDIRECT | ALLOW, False, True),
        (AUDIT_ALLOW, False, False),
    ],
)
def test_only_what_policies_enforce_is_closed_without_a_proxy(effects: int, needs: bool, goes: bool) -> None:
    assert (needs_proxy(effects), goes_by_proxy(effects)) == (needs, goes)


def test_of_two_ends_who_denies_decides_then_who_would_then_who_redirects() -> None:
    order = (Verdict.DENIED, Verdict.AUDITED, Verdict.REDIRECTED, Verdict.ALLOWED)
    for one, other in product(order, order):
        assert together(one, other) is order[min(order.index(one), order.index(other))]
