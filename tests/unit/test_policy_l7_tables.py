"""What the proxy is told, against an evaluator that goes from policies straight to a request's verdict."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from netloom.model.identity import IdentityId, Reserved
from netloom.model.l7 import L7Entry, L7Prefix, L7Rule, L7Table
from netloom.model.policy import Ports, Protocol
from netloom.policy.l7_tables import L7Tables, both, l7_table
from netloom.policy.l7_verdicts import L7Verdict, applying, decide
from netloom.policy.repository import Repository
from netloom.policy.table import Direction, Verdict
from support.policy_oracle import (
    Packet,
    Peerage,
    Standing,
    about,
    asked,
    cidr,
    endpoints,
    entity,
    entry,
    evaluate,
    goes_on,
    labels,
    policy,
    section,
    select,
    tcp,
)
from support.policy_worlds import POOL, identity_numbers, policies, remotes, standings

REQUESTS = ("a", "b", "c", "d")
A, B, C = (IdentityId(number) for number in (256, 257, 258))
WEB, DB = labels("k8s:app=a"), labels("k8s:app=b")


def build(standing: Standing) -> Repository:
    repository = Repository(allow_host=standing.allow_host)
    repository.add_subjects(*POOL)
    repository.add_identities(standing.identities)
    for identity, names in standing.names.items():
        repository.set_named_ports(identity, names)
    repository.upsert(*standing.policies.values())
    return repository


def entries_of(table: L7Table | None, direction: Direction) -> tuple[L7Entry, ...]:
    if table is None:
        return ()
    return table.egress if direction is Direction.EGRESS else table.ingress


def verdict_of(entries: tuple[L7Entry, ...], request: str) -> L7Verdict:
    return decide(entries, lambda rule: rule.rule == f'"{request}"').verdict


@given(
    standings,
    st.sampled_from(Direction),
    st.lists(st.tuples(remotes, st.sampled_from([53, 79, 80, 8080])), min_size=2, max_size=4),
)
def test_the_proxy_judges_requests_as_the_policies_say(
    standing: Standing, direction: Direction, connections: list[tuple[Peerage, int]]
) -> None:
    repository = build(standing)
    enforced = replace(standing, policies={name: one for name, one in standing.policies.items() if not one.audit})
    for subject in standing.identities:
        table = l7_table(repository, subject)
        for remote, port in connections:
            packet = Packet(6, port)
            verdict = evaluate(standing, direction, subject, remote, packet)
            known = repository.remote(remote.identity, remote.address)
            decision = repository.table(subject).decide(direction, known, packet.protocol, packet.port)
            if not verdict.passes or not decision.by_proxy:
                continue
            found = applying(entries_of(table, direction), remote.identity, remote.address, port)
            assert found
            for request in REQUESTS:
                told = verdict_of(found, request)
                really = goes_on(enforced, direction, subject, remote, packet, request=request)
                assert (told is not L7Verdict.DENIED) == really
                if verdict is Verdict.REDIRECTED and really:  # else packets are told of already
                    wished = goes_on(standing, direction, subject, remote, packet, request=request)
                    assert (told is L7Verdict.AUDITED) == (not wished)


@given(standings, st.lists(st.one_of(policies, identity_numbers), min_size=1, max_size=3))
def test_tables_depend_on_what_stands_and_each_is_told_of_when_it_changes(
    standing: Standing, changes: list[object]
) -> None:
    repository = Repository(allow_host=standing.allow_host)
    tables, told = L7Tables(repository), dict[int, L7Table]()
    updates = [repository.add_subjects(*POOL), repository.add_identities(standing.identities)]
    updates += [repository.set_named_ports(identity, names) for identity, names in standing.names.items()]
    updates.append(repository.upsert(*standing.policies.values()))
    for change in (None, *changes):
        if isinstance(change, int):
            number = IdentityId(change)
            known = repository.labels_of(number) is not None
            updates = [repository.remove_identity(number) if known else repository.add_identity(number, POOL[number])]
        elif change is not None:
            updates = [repository.upsert(change)]  # type: ignore[arg-type]
        for update in updates:
            _take(tables, update, told)
    assert told == tables.tables
    assert told == {
        subject: table for subject in repository.tables if (table := l7_table(repository, subject)) is not None
    }


def _take(tables: L7Tables, update: object, told: dict[int, L7Table]) -> None:
    """As a proxy that hears of changes alone."""
    change = tables.renew(update)  # type: ignore[arg-type]
    for step in (change.before, change.after):
        for subject, table in step.items():
            if table is None:
                del told[subject]
            else:
                told[subject] = table


# --- single truths ------------------------------------------------------------------------------


def repository_of(*stand: object) -> Repository:
    repository = Repository()
    repository.add_identities({A: WEB, B: DB, C: labels("k8s:app=c")})
    repository.add_subjects(A)
    repository.upsert(*stand)  # type: ignore[arg-type]
    return repository


def ingress(*stand: object) -> tuple[L7Entry, ...]:
    return entries_of(l7_table(repository_of(*stand), A), Direction.INGRESS)


GET = asked(tcp(80), rules=('"get"',))
RULE = L7Rule(rule='"get"', policy="CiliumNetworkPolicy/default/p", origin='rule "get"')
HOST = L7Entry(peers=(Reserved.HOST,), ports=((80, 80),), protocol="http")


def test_an_entry_says_who_may_ask_what_at_which_ports() -> None:
    stand = policy("p", select(app="a"), ingress=section(about(endpoints(app="b"), requests=(GET,))))
    assert ingress(stand) == (L7Entry(peers=(B,), ports=((80, 80),), protocol="http", rules=(RULE,)), HOST)


def test_endpoints_of_whose_requests_nothing_is_said_have_no_table() -> None:
    repository = repository_of(policy("p", select(app="a"), ingress=section(entry(to=(tcp(80),)))))
    assert l7_table(repository, A) is None


def test_prefixes_keep_what_is_taken_out_of_them() -> None:
    peer = cidr("10.0.0.0/8", "10.1.0.0/16")
    stand = policy("p", select(app="a"), ingress=section(about(peer, requests=(GET,))))
    (found, _) = ingress(stand)
    assert found.prefixes == (L7Prefix(network="10.0.0.0/8", excepts=("10.1.0.0/16",)),)
    for address, holds in (("10.2.0.1", True), ("10.1.0.1", False), ("192.0.2.1", False)):
        assert bool(applying((found,), Reserved.WORLD, ip_address(address), 80)) == holds


def test_addresses_of_endpoints_are_those_of_prefixes_only_where_that_is_said() -> None:
    for with_endpoints in (False, True):
        peer = cidr("10.0.0.0/8", with_endpoints=with_endpoints)
        (found, _) = ingress(policy("p", select(app="a"), ingress=section(about(peer, requests=(GET,)))))
        assert bool(applying((found,), B, ip_address("10.2.0.1"), 80)) == with_endpoints


def test_names_of_ports_are_those_of_the_end_that_is_connected_to() -> None:
    named = asked(Ports(Protocol.TCP, name="web"), rules=('"get"',))
    repository = repository_of(
        policy("p", select(app="a"), egress=section(about(endpoints(app="b"), endpoints(app="c"), requests=(named,))))
    )
    repository.set_named_ports(B, {"web": frozenset({(Protocol.TCP, 8080)})})
    repository.set_named_ports(C, {"web": frozenset({(Protocol.TCP, 8081), (Protocol.UDP, 53)})})
    found = entries_of(l7_table(repository, A), Direction.EGRESS)
    assert [(one.peers, one.ports) for one in found] == [((B,), ((8080, 8080),)), ((C,), ((8081, 8081),))]


def test_what_is_plainly_allowed_may_ask_anything_where_requests_are_judged() -> None:
    plain = policy("q", select(app="a"), ingress=section(entry(endpoints(app="c"), to=(tcp(79, 90),))))
    stand = policy("p", select(app="a"), ingress=section(about(endpoints(app="b"), requests=(GET,))))
    assert L7Entry(peers=(Reserved.HOST, C), ports=((80, 80),), protocol="http") in ingress(stand, plain)


def test_denials_of_requests_go_before_who_allows() -> None:
    stand = policy(
        "p",
        select(app="a"),
        ingress=section(entry(entity("all")), deny=(about(requests=(asked(tcp(80), rules=('"put"',)),)),)),
    )
    found = applying(ingress(stand), B, None, 80)
    assert [verdict_of(found, request) for request in ("get", "put")] == [L7Verdict.ALLOWED, L7Verdict.DENIED]


def test_rules_about_requests_hold_where_nothing_isolates() -> None:
    """As in Cilium, where enableDefaultDeny: false is about packets."""
    stand = policy("p", select(app="a"), ingress=section(about(endpoints(app="b"), requests=(GET,)), isolates=False))
    found = ingress(stand)
    assert [verdict_of(applying(found, B, None, 80), request) for request in ("get", "put")] == [
        L7Verdict.ALLOWED,
        L7Verdict.DENIED,
    ]
    assert verdict_of(applying(found, C, None, 80), "put") is L7Verdict.ALLOWED


def test_an_audit_policy_denies_no_request_and_tells() -> None:
    stand = policy("p", select(app="a"), ingress=section(about(endpoints(app="b"), requests=(GET,))), audit=True)
    found = applying(ingress(stand), B, None, 80)
    assert [verdict_of(found, request) for request in ("get", "put")] == [L7Verdict.ALLOWED, L7Verdict.AUDITED]


def test_where_no_entry_applies_nothing_is_allowed() -> None:
    assert verdict_of((), "get") is L7Verdict.DENIED


def test_while_programs_change_requests_of_the_old_and_of_the_new_policy_go_on() -> None:
    old, new = (
        l7_table(repository_of(policy("p", select(app="a"), ingress=section(about(requests=(requests,))))), A)
        for requests in (GET, asked(tcp(80), rules=('"put"',)))
    )
    assert old is not None
    assert new is not None
    found = applying(both(old, new).ingress, B, None, 80)
    assert [verdict_of(found, request) for request in ("get", "put", "delete")] == [
        L7Verdict.ALLOWED,
        L7Verdict.ALLOWED,
        L7Verdict.DENIED,
    ]


def test_a_rule_that_changes_is_told_though_programs_see_no_change() -> None:
    repository = repository_of()
    tables = L7Tables(repository)
    for rules in (('"get"',), ('"put"',)):
        stand = policy("p", select(app="a"), ingress=section(about(requests=(asked(tcp(80), rules=rules),))))
        update = repository.upsert(stand)
        change = tables.renew(update)
    assert A not in update.tables
    assert change.after[A] == tables.tables[A] != change.before[A]


def test_a_subject_of_whose_requests_nothing_is_said_any_more_is_told_last() -> None:
    repository = repository_of()
    tables = L7Tables(repository)
    stand = policy("p", select(app="a"), ingress=section(about(requests=(GET,))))
    tables.renew(repository.upsert(stand))
    change = tables.renew(repository.remove(stand.name))
    assert (change.before, change.after) == ({}, {A: None})


def test_only_tables_of_subjects_that_changed_are_made_anew() -> None:
    repository = repository_of(policy("p", select(app="a"), ingress=section(about(requests=(GET,)))))
    assert repository.add_identity(IdentityId(300), labels("k8s:app=z")).asking == frozenset()
    assert repository.upsert(policy("q", select(app="b"))).asking == frozenset()
