"""Traces, blame, advice and the matrix: they answer as the tables do."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from netloom.model.identity import IdentityId, Reserved
from netloom.model.policy import Policy
from netloom.policy.explain import End, SideTrace, advice, explain_drop, trace
from netloom.policy.matrix import ANY, Reach, matrix
from netloom.policy.ports import SCTP, TCP, UDP
from netloom.policy.repository import Repository
from netloom.policy.table import ALLOW, Direction, Remote, Verdict, judge, together
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
    labels,
    policy,
    section,
    select,
    tcp,
)
from support.policy_worlds import packets, remotes, repository_of, standings

A, B, C = IdentityId(256), IdentityId(257), IdentityId(258)
HTTP = (TCP, 80)


def repository(*policies: Policy) -> Repository:
    made = Repository()
    made.add_identities({A: labels("app=a"), B: labels("app=b"), C: labels("app=c")})
    made.add_subjects(A, B, C)
    made.upsert(*policies)
    return made


def end(peer: Peerage) -> End:
    return End(IdentityId(peer.identity), peer.address)


def said_one_by_one(one: Repository, side: SideTrace) -> Verdict:
    """The verdict of the entries that match, without the table's slices."""
    effects = 0
    for rule in side.rules:
        for item in rule.entries:
            effects |= item.source.effect if item.matches else 0
    if one.allows_host and side.direction is Direction.INGRESS and side.remote.identity == Reserved.HOST:
        effects |= ALLOW
    return judge(effects, one.table(side.subject).of(side.direction).isolation)


@given(standings, remotes, remotes, packets)
def test_a_trace_agrees_with_the_policies_and_with_the_table(
    standing: Standing, source: Peerage, destination: Peerage, packet: Packet
) -> None:
    one = repository_of(standing)
    found = trace(one, end(source), end(destination), (packet.protocol, packet.port))
    for side, subject, peer in ((found.egress, source, destination), (found.ingress, destination, source)):
        assert (side is not None) == (subject.identity in standing.identities)
        if side is not None:
            # What an entry says of requests is not what it says of packets.
            assert side.decision.by_proxy or side.decision.verdict == said_one_by_one(one, side)
            assert side.decision.verdict == evaluate(standing, side.direction, subject.identity, peer, packet)


@given(standings, st.sampled_from(Direction), remotes, packets)
def test_without_whom_is_blamed_a_packet_would_not_be_denied(
    standing: Standing, direction: Direction, remote: Peerage, packet: Packet
) -> None:
    """Take all blamed policies away, and that verdict is gone."""
    one = repository_of(standing)
    for subject in standing.identities:
        known = one.remote(remote.identity, remote.address)
        blame = explain_drop(one.table(subject), direction, known, (packet.protocol, packet.port))
        assert bool(blame.policies) == (blame.verdict not in (Verdict.ALLOWED, Verdict.REDIRECTED))
        left = {name: one for name, one in standing.policies.items() if name not in blame.policies}
        rest = Standing(left, standing.identities, standing.names, standing.allow_host)
        if blame.policies:
            assert evaluate(rest, direction, subject, remote, packet) is not blame.verdict


def test_a_trace_says_for_each_entry_why_it_does_not_match() -> None:
    one = repository(
        policy(
            "server",
            select(app="a"),
            ingress=section(
                entry(endpoints(app="b"), to=(tcp(443),)),
                entry(endpoints(app="c"), to=(tcp(80),)),
                entry(endpoints(app="c"), to=(tcp(443),)),
                entry(endpoints(app="b"), to=()),
                entry(endpoints(app="b"), to=(tcp(80),)),
            ),
        )
    )
    found = trace(one, End(B), End(A), HTTP)
    assert found.ingress is not None
    assert [item.why for item in found.ingress.rules[0].entries] == [
        "is about other services",
        "is about other peers",
        "is about other peers and other services",
        "names no peer or no service",
        "matches",
    ]
    assert found.verdict is Verdict.ALLOWED


def test_an_end_that_is_no_endpoint_judges_nothing() -> None:
    one = repository(policy("isolated", ingress=section()))
    found = trace(one, End(IdentityId(Reserved.WORLD), ip_address("192.0.2.1")), End(A), HTTP)
    assert found.egress is None
    assert found.verdict is Verdict.DENIED_BY_DEFAULT


def test_a_drop_by_default_names_every_policy_that_isolates() -> None:
    one = repository(policy("one", ingress=section()), policy("two", ingress=section()), policy("other"))
    blame = explain_drop(one.table(A), Direction.INGRESS, Remote(B), HTTP)
    assert [found.name for found in blame.policies] == ["one", "two"]


def test_a_drop_by_an_entry_names_all_entries_that_deny() -> None:
    """One for any peer, one for this one, one narrower: taking one of them away would not help."""
    one = repository(
        policy("any", ingress=section(deny=(entry(path="any"),))),
        policy("peer", ingress=section(deny=(entry(endpoints(app="b"), path="peer"),))),
        policy("port", ingress=section(deny=(entry(endpoints(app="b"), to=(tcp(80),), path="port"),))),
    )
    blame = explain_drop(one.table(A), Direction.INGRESS, Remote(B), HTTP)
    assert [source.origin.path for source in blame.sources] == ["any", "peer", "port"]


def test_a_policy_that_selects_nobody_is_advised_of() -> None:
    found = advice(repository(policy("lost", select(app="z"), ingress=section())))
    assert [(item.policy.name, item.text) for item in found] == [
        ("lost", "the policy selects no identity that is known")
    ]


def test_an_entry_that_others_deny_altogether_is_advised_of_and_one_of_which_something_is_left_is_not() -> None:
    one = repository(
        policy("deny", ingress=section(deny=(entry(endpoints(app="b"), to=(tcp(0, 1023),)),))),
        policy(
            "allow",
            ingress=section(
                entry(endpoints(app="b"), to=(tcp(80),), path="dead"),
                entry(endpoints(app="b"), to=(tcp(1000, 1024),), path="half"),
                entry(endpoints(app="b"), endpoints(app="c"), to=(tcp(80),), path="one of two"),
            ),
        ),
    )
    assert [(item.origin.path, [name.name for name in item.by]) for item in advice(one)] == [("dead", ["deny"])]


def test_an_audit_policys_denial_shadows_nothing_that_is_enforced() -> None:
    one = repository(
        policy("deny", ingress=section(deny=(entry(),)), audit=True),
        policy("allow", ingress=section(entry(endpoints(app="b")))),
    )
    assert advice(one) == ()


def test_the_matrix_lays_egress_over_ingress() -> None:
    one = repository(
        policy("out", select(app="b"), egress=section(entry(endpoints(app="a"), to=(tcp(80, 90),)))),
        policy("in", select(app="a"), ingress=section(entry(endpoints(app="b"), to=(tcp(85, 443),)))),
    )
    cells = {(cell.source.identity, cell.destination.identity): cell.reach for cell in matrix(one, [End(A), End(B)])}
    assert cells[B, A] == (Reach(TCP, 85, 90, audited=False),)
    assert cells[A, B] == (Reach(ANY, 0, 65535, audited=False),)
    assert cells[A, A] == ()


def test_the_matrix_tells_what_passes_only_for_being_audited() -> None:
    one = repository(policy("later", ingress=section(deny=(entry(to=(tcp(22),)),), isolates=False), audit=True))
    cell = matrix(one, [End(A)])[0]
    audited = [found for found in cell.reach if found.audited]
    assert audited == [Reach(TCP, 22, 22, audited=True)]
    assert {found.protocol for found in cell.reach} >= {TCP, UDP, SCTP}


def test_the_matrix_tells_what_goes_by_the_proxy() -> None:
    rules = about(endpoints(app="b"), requests=(asked(tcp(80), rules=('{"method":"GET"}',), protocol="http"),))
    one = repository(policy("in", select(app="a"), ingress=section(rules, entry(endpoints(app="b"), to=(tcp(22),)))))
    cells = {(cell.source.identity, cell.destination.identity): cell.reach for cell in matrix(one, [End(A), End(B)])}
    assert cells[B, A] == (Reach(TCP, 22, 22, audited=False), Reach(TCP, 80, 80, audited=False, by_proxy=True))


def test_the_matrix_knows_prefixes_by_the_addresses_of_ends() -> None:
    world = End(IdentityId(Reserved.WORLD), ip_address("10.1.1.1"))
    one = repository(policy("in", select(app="a"), ingress=section(entry(cidr("10.0.0.0/8"), entity("host")))))
    reach = {(cell.source, cell.destination): cell.reach for cell in matrix(one, [world, End(A)])}
    assert reach[world, End(A)] == (Reach(ANY, 0, 65535, audited=False),)


@given(standings, st.lists(st.tuples(remotes, remotes, packets), max_size=5))
def test_the_matrix_agrees_with_traces(standing: Standing, asked: list[tuple[Peerage, Peerage, Packet]]) -> None:
    one = repository_of(standing)
    for source, destination, packet in asked:
        cell = matrix(one, [end(source), end(destination)])[1]
        traced = trace(one, end(source), end(destination), (packet.protocol, packet.port))
        by_proxy = any(side.decision.by_proxy for side in (traced.egress, traced.ingress) if side)
        protocols = (ANY, packet.protocol if packet.protocol in (1, 6, 17, 58, 132) else 255)
        found = [
            (reach.audited, reach.by_proxy)
            for reach in cell.reach
            if reach.protocol in protocols and reach.first <= packet.port <= reach.last
        ]
        assert found == ([(traced.verdict.is_audited, by_proxy)] if traced.verdict.passes else [])


def test_of_two_ends_that_deny_the_first_is_told_and_denying_beats_auditing() -> None:
    assert together(Verdict.AUDITED, Verdict.DENIED) is Verdict.DENIED
    assert together(Verdict.ALLOWED, Verdict.AUDITED) is Verdict.AUDITED
    assert together(Verdict.DENIED_BY_DEFAULT, Verdict.DENIED) is Verdict.DENIED_BY_DEFAULT
    assert together() is Verdict.ALLOWED
