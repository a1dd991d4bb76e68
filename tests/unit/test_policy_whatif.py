"""What would change: flows and cells, by repositories that are nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from netloom.model.identity import IdentityId, Reserved
from netloom.model.policy import Policy
from netloom.policy.census import Population, census
from netloom.policy.explain import End, trace
from netloom.policy.repository import Repository
from netloom.policy.snapshot import Snapshot, snapshot
from netloom.policy.table import Verdict
from netloom.policy.whatif import Becomes, Comparison, Seen, becomes, what_if
from support.policy_oracle import (
    Packet,
    Peerage,
    Standing,
    about,
    asked,
    cidr,
    endpoints,
    entry,
    labels,
    policy,
    section,
    select,
    tcp,
)
from support.policy_worlds import POOL, packets, remotes, repository_of, standings

A, B = IdentityId(256), IdentityId(257)
HTTP, HTTPS = (6, 80), (6, 443)
CLOSED = policy("closed", select(app="a"), ingress=section())


def standing(*policies: Policy) -> Snapshot:
    one = Repository()
    one.add_identities({A: labels("app=a"), B: labels("app=b")})
    one.upsert(*policies)
    return snapshot(one)


def compared(before: Snapshot, *more: Policy, seen: Sequence[Seen] = ()) -> Comparison:
    one, other = before.build(), before.build(more=more)
    return what_if(one, other, seen, census(Population(identities=(A, B)), (one, other)))


def flow(source: int, destination: int, service: tuple[int, int] = HTTP) -> Seen:
    return Seen(End(IdentityId(source)), End(IdentityId(destination)), service)


def test_a_flow_that_would_be_denied_names_who_would_deny_it() -> None:
    found = compared(standing(), CLOSED, seen=[flow(B, A), flow(B, A), flow(A, B)])
    (change,) = found.flows
    assert (change.becomes, change.count, found.replayed) == (Becomes.DENIED, 2, 3)
    assert change.after.ingress is not None
    assert change.after.ingress.decision.isolated_by == (CLOSED.name,)


def test_a_flow_that_was_dropped_and_would_pass_is_told_after_those_that_would_be_denied() -> None:
    before = standing(policy("p", select(app="a"), ingress=section(entry(to=(tcp(80),)))))
    after = policy("p", select(app="a"), ingress=section(entry(to=(tcp(443),))))
    found = compared(before, after, seen=[flow(B, A, HTTPS), flow(B, A, HTTP)])
    assert [change.becomes for change in found.flows] == [Becomes.DENIED, Becomes.ALLOWED]
    assert [change.seen.service for change in found.flows] == [HTTP, HTTPS]


def test_flows_that_only_the_candidate_tells_apart_are_not_one_kind() -> None:
    world = IdentityId(Reserved.WORLD)
    seen = [
        Seen(End(B), End(world, ip_address(address)), HTTP) for address in ("198.51.100.1", "192.0.2.1", "192.0.2.2")
    ]
    (change,) = compared(
        standing(), policy("out", select(app="b"), egress=section(entry(cidr("192.0.2.0/24")))), seen=seen
    ).flows
    assert (change.seen, change.count) == (seen[0], 1)


def test_an_audit_policy_changes_what_is_reported_alone() -> None:
    audit = policy("watch", select(app="a"), ingress=section(), audit=True)
    assert [change.becomes for change in compared(standing(), audit, seen=[flow(B, A)]).flows] == [Becomes.AUDITED]
    assert becomes(Verdict.AUDITED_BY_DEFAULT, Verdict.ALLOWED) is Becomes.UNAUDITED
    assert becomes(Verdict.AUDITED, Verdict.AUDITED_BY_DEFAULT) is None
    assert becomes(Verdict.DENIED, Verdict.DENIED_BY_DEFAULT) is None


def test_it_shows_rules_about_requests_that_would_be_others() -> None:
    old, new = (
        policy("p", select(app="a"), ingress=section(about(requests=(asked(tcp(80), rules=(text,)),))))
        for text in ('{"method":"GET"}', '{"method":"PUT"}')
    )
    (change,) = compared(standing(old), new, seen=[flow(B, A)]).requests
    assert (change.identity, change.gone, change.new) == (
        A,
        ('ingress allow {"method":"GET"} at http 80, anybody',),
        ('ingress allow {"method":"PUT"} at http 80, anybody',),
    )


def test_it_shows_whose_requests_somebody_judges() -> None:
    assert becomes(Verdict.ALLOWED, Verdict.REDIRECTED) is Becomes.REDIRECTED
    assert becomes(Verdict.REDIRECTED, Verdict.ALLOWED) is Becomes.UNREDIRECTED
    assert becomes(Verdict.REDIRECTED, Verdict.AUDITED) is Becomes.AUDITED
    assert becomes(Verdict.AUDITED, Verdict.REDIRECTED) is Becomes.UNAUDITED
    assert becomes(Verdict.REDIRECTED, Verdict.REDIRECTED) is None


def test_the_same_policies_change_nothing() -> None:
    assert not compared(standing(CLOSED), CLOSED, seen=[flow(B, A)])


def test_cells_that_change_are_told_by_the_ends_of_both() -> None:
    """A prefix that only the candidate names is an end of its own."""
    candidate = policy("out", select(app="b"), egress=section(entry(cidr("192.0.2.0/24")), entry(endpoints(app="a"))))
    found = compared(standing(), candidate)
    names = {(cell.source.name, cell.destination.name) for cell in found.cells}
    assert ("app=b", "world IPv4") in names
    assert ("app=b", "world IPv6") in names
    assert ("app=b", "world 192.0.2.0/24") not in names
    assert ("app=b", "app=a") not in names


def test_a_question_leaves_the_repository_it_was_taken_from_alone() -> None:
    one = Repository()
    one.add_identities({A: labels("app=a")})
    one.add_subjects(A)
    one.upsert(CLOSED)
    before = one.table(A), one.revision, one.policies
    taken = snapshot(one)
    taken.build(without={CLOSED.name}, identities={B: labels("app=b")}).add_subjects(A, B)
    assert (one.table(A), one.revision, one.policies) == before
    assert one.labels_of(B) is None


@given(standings)
def test_a_repository_built_of_a_snapshot_has_the_same_tables(world: Standing) -> None:
    one = repository_of(world)
    taken = snapshot(one)
    other = taken.build()
    assert {number: one.table(number) for number in world.identities} == {
        number: other.table(number) for number in world.identities
    }
    assert snapshot(other) == taken


@given(standings, standings, st.lists(st.tuples(remotes, remotes, packets), max_size=4))
def test_replayed_flows_fare_as_traces_say(
    one: Standing, other: Standing, asked: list[tuple[Peerage, Peerage, Packet]]
) -> None:
    made = Repository()
    made.add_identities(POOL)
    made.upsert(*one.policies.values())
    before = snapshot(made).build()
    after = snapshot(made).build(more=tuple(other.policies.values()))
    seen = [
        Seen(End(IdentityId(a.identity), a.address), End(IdentityId(b.identity), b.address), (p.protocol, p.port))
        for a, b, p in asked
    ]
    found = what_if(before, after, seen, ())
    expected = 0
    for item in seen:
        verdicts = [trace(side, item.source, item.destination, item.service).verdict for side in (before, after)]
        expected += becomes(*verdicts) is not None
    assert sum(change.count for change in found.flows) == expected


def test_addresses_that_policies_tell_apart_are_several_ends_and_others_one() -> None:
    """Only policies that mean endpoints too can tell addresses of endpoints apart."""
    addresses = {A: [ip_address("10.1.1.5"), ip_address("10.9.9.9")], Reserved.HOST: []}
    population = Population(identities=(A, B), addresses=addresses)

    def names(with_endpoints: bool) -> list[str]:
        peer = cidr("10.1.0.0/16", with_endpoints=with_endpoints)
        repository = standing(policy("p", ingress=section(entry(peer)))).build()
        return [one.name for one in census(population, (repository,)) if one.judged]

    assert names(False) == ["app=a", "app=b"]
    assert names(True) == ["app=a at 10.1.1.5", "app=a at 10.9.9.9", "app=b"]


def test_an_end_is_named_by_what_people_labelled() -> None:
    one = Repository()
    found = labels("app=web", "io.kubernetes.pod.namespace=shop", "io.cilium.k8s.namespace.labels.team=x")
    one.add_identities({A: found})
    (first, *others) = census(Population(identities=(A,)), (one,))
    assert (first.name, first.group) == ("shop: app=web", "shop")
    assert [other.name for other in others] == ["host (own node)", "remote-node", "world"]
