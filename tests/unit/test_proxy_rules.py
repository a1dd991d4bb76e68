"""Which rules apply to a connection, and what they say of a request."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.address import parse_address
from netloom.model.l7 import L7Entry, L7Prefix, L7Rule, L7Table
from netloom.model.l7_messages import Tables
from netloom.policy.l7_verdicts import decide
from netloom.proxy.rules import REQUESTS_KEPT, Applied, Ends, Rule, Rulebook
from support.line_protocol import LINES, Line

POD, SHOP, WORLD = 300, 400, 2
ENDS = Ends(
    source=parse_address("10.0.1.1"),
    source_port=40000,
    source_identity=POD,
    destination=parse_address("10.0.2.1"),
    destination_port=80,
    destination_identity=SHOP,
)


def rule(begins: str, *, denies: bool = False) -> L7Rule:
    return L7Rule(rule=json.dumps({"begins": begins}), policy="p", origin=begins, denies=denies)


def entry(*rules: L7Rule, peers: tuple[int, ...] | None = None) -> L7Entry:
    return L7Entry(peers=peers, ports=((80, 90),), protocol="lines", rules=rules)


def applying(
    *, ingress: tuple[L7Entry, ...] = (), egress: tuple[L7Entry, ...] = (), ends: Ends = ENDS
) -> Applied | None:
    """What tables of both ends make of a connection."""
    book = Rulebook({"lines": LINES})
    tables = (L7Table(subject=SHOP, ingress=ingress), L7Table(subject=POD, egress=egress))
    book.put(Tables(revision=1, whole=True, tables=tables))
    return book.applying(ends)


def may(applied: Applied | None, text: str) -> bool:
    assert applied is not None
    return applied.judge(Line(size_bytes=1, text=text))[0] != "denied"


def test_what_no_rule_allows_is_denied() -> None:
    applied = applying(ingress=(entry(rule("get")),))
    assert (may(applied, "get a"), may(applied, "set a")) == (True, False)


def test_an_entry_without_rules_lets_everything_pass() -> None:
    assert may(applying(ingress=(entry(),)), "set a")


def test_one_that_denies_wins_over_those_that_allow() -> None:
    applied = applying(ingress=(entry(), entry(rule("set", denies=True))))
    assert (may(applied, "get a"), may(applied, "set a")) == (True, False)


def test_an_entry_that_denies_only_allows_nothing() -> None:
    assert not may(applying(ingress=(entry(rule("set", denies=True)),)), "get a")


def test_both_ends_must_allow() -> None:
    applied = applying(ingress=(entry(rule("get")),), egress=(entry(rule("get a")),))
    assert [may(applied, text) for text in ("get a", "get b", "set a")] == [True, False, False]
    assert applied is not None
    assert applied.direction == "both"


def test_an_end_that_says_nothing_of_the_connection_is_not_asked() -> None:
    applied = applying(ingress=(entry(rule("get"), peers=(1,)),), egress=(entry(),))
    assert may(applied, "set a")
    assert applied is not None
    assert applied.direction == "egress"


def test_one_ends_denial_holds_where_the_other_lets_everything_pass() -> None:
    assert not may(applying(ingress=(entry(),), egress=(entry(rule(""), rule("set", denies=True)),)), "set a")


def test_no_entry_about_peer_or_port_is_none_at_all() -> None:
    assert applying(ingress=(entry(peers=(1, 2)),)) is None
    assert applying(ingress=(entry(),), ends=replace(ENDS, destination_port=91)) is None


def test_the_deciding_rule_is_told() -> None:
    applied = applying(ingress=(entry(rule("get"), rule("set", denies=True)),))
    assert applied is not None
    decided = [applied.judge(Line(size_bytes=1, text=text))[1] for text in ("get a", "set a", "put a")]
    assert [found.said.origin if found else "" for found in decided] == ["get", "set", ""]


def test_all_rules_that_hold_are_given_to_the_parser() -> None:
    applied = applying(ingress=(entry(rule("get"), rule("get a"), rule("set")),))
    assert applied is not None
    assert [given.begins for given in applied.holding(Line(size_bytes=1, text="get a"))] == ["get", "get a"]


def test_a_request_that_comes_again_is_asked_once() -> None:
    asked: list[Line] = []

    def matches(line: Line) -> bool:
        asked.append(line)
        return True

    holds = Rule(matches, None, rule("get"))
    applied, again = Applied(protocol="lines", allows=((holds,),)), Line(size_bytes=1, text="get a")
    for line in (again, again, Line(size_bytes=1, text="get b")):
        assert applied.judged(line).verdict == "allowed"
    assert [line.text for line in asked] == ["get a", "get b"]


def test_more_requests_than_are_remembered_are_judged_alike() -> None:
    applied = applying(ingress=(entry(rule("get")),))
    assert applied is not None
    lines = [Line(size_bytes=1, text=f"{word} a") for word in ("get", "set") * REQUESTS_KEPT]
    assert [applied.judged(line).verdict for line in lines * 2] == ["allowed", "denied"] * 2 * REQUESTS_KEPT


def test_who_has_the_same_ends_is_asked_for_once_until_tables_change() -> None:
    book = Rulebook({"lines": LINES})
    for word, allowed in (("get", True), ("set", False)):
        book.put(Tables(revision=1, tables=(L7Table(subject=SHOP, ingress=(entry(rule(word)),)),)))
        assert book.applying(ENDS) is book.applying(replace(ENDS, source_port=40001))
        assert may(book.applying(ENDS), "get a") is allowed


@pytest.mark.parametrize(
    ("identity", "with_endpoints", "address", "applies"),
    [
        (WORLD, False, "10.0.1.1", True),
        (POD, False, "10.0.1.1", False),
        (POD, True, "10.0.1.1", True),
        (WORLD, True, "10.0.1.9", False),
        (WORLD, True, "10.0.3.1", False),
    ],
)
def test_prefixes_are_about_addresses(identity: int, with_endpoints: bool, address: str, applies: bool) -> None:
    """Of the world, unless endpoints are meant too; never those that are excepted."""
    prefix = L7Prefix(network="10.0.1.0/24", excepts=("10.0.1.8/29",), with_endpoints=with_endpoints)
    ends = replace(ENDS, source=parse_address(address), source_identity=identity)
    assert (applying(ingress=(replace(entry(peers=()), prefixes=(prefix,)),), ends=ends) is not None) is applies


@pytest.mark.parametrize(
    "closing",
    [
        replace(entry(), protocol="gopher"),
        entry(replace(rule("get"), rule='{"ends":"x"}')),
        entry(replace(rule("get"), rule="[")),
    ],
)
def test_what_cannot_be_read_closes(closing: L7Entry) -> None:
    """Whatever else allows."""
    applied = applying(ingress=(entry(), closing))
    assert not may(applied, "get a")
    assert applied is not None
    assert applied.problem


def test_two_protocols_at_once_close() -> None:
    book = Rulebook({"lines": LINES, "other": replace(LINES, name="other")})
    entries = (entry(), replace(entry(), protocol="other"))
    book.put(Tables(revision=1, tables=(L7Table(subject=SHOP, ingress=entries),)))
    applied = book.applying(ENDS)
    assert not may(applied, "get a")
    assert applied is not None
    assert "lines and as other" in applied.problem


def test_a_change_leaves_other_tables_alone() -> None:
    book = Rulebook({"lines": LINES})
    table = L7Table(subject=SHOP, ingress=(entry(),))
    book.put(Tables(revision=1, tables=(table,)))
    book.put(Tables(revision=2, tables=(replace(table, subject=500),)))
    assert book.applying(ENDS) is not None
    book.put(Tables(revision=3, gone=(SHOP,)))
    assert book.applying(ENDS) is None
    assert (book.revision, book.changes) == (3, 3)


def test_a_whole_set_replaces_everything() -> None:
    book = Rulebook({"lines": LINES})
    book.put(Tables(revision=1, tables=(L7Table(subject=SHOP, ingress=(entry(),)),)))
    book.put(Tables(revision=2, whole=True))
    assert book.applying(ENDS) is None


@given(
    entries=st.lists(
        st.builds(
            lambda begins, denies, audit, default: replace(
                entry(*(rule(word, denies=no) for word, no in zip(begins, denies, strict=False))),
                audit=audit,
                default=default,
            ),
            begins=st.lists(st.sampled_from(["get", "set", "put"]), max_size=3),
            denies=st.lists(st.booleans(), min_size=3, max_size=3),
            audit=st.booleans(),
            default=st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ),
    text=st.sampled_from(["get a", "set a", "put a", "cut a"]),
)
def test_it_says_what_traces_say(entries: list[L7Entry], text: str) -> None:
    """Of one end; of two, both must let the request go on."""
    applied = applying(ingress=tuple(entries))
    assert applied is not None
    expected = decide(entries, lambda one: text.startswith(json.loads(one.rule)["begins"]))
    assert applied.judge(Line(size_bytes=1, text=text))[0] == expected.verdict
