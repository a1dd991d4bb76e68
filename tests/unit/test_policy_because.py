"""Who was the cause: read from events, and answered as the policies themselves would."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath import reasons
from netloom.datapath.connections import Tracking
from netloom.datapath.events import frame_of, read_head
from netloom.datapath.packets import read_ends
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import EventType, PolicyVerdict
from netloom.model.address import Address
from netloom.model.flow import Because
from netloom.model.identity import IdentityId, Reserved
from netloom.model.policy import EndpointPeer, Icmp, Policy, Ports
from netloom.policy import because
from netloom.policy.asked import Question, question_of
from netloom.policy.because import Explainer
from netloom.policy.repository import Repository
from netloom.policy.table import Direction, Verdict
from support.flows import TRACE, event
from support.policy_oracle import (
    Packet,
    Peerage,
    Standing,
    cidr,
    endpoints,
    entry,
    evaluate,
    labels,
    policy,
    section,
    select,
    tcp,
)
from support.policy_worlds import ADDRESSES, packets, remotes, repository_of, standings

A, B = IdentityId(256), IdentityId(257)
INGRESS, EGRESS = reasons.Direction.INGRESS, reasons.Direction.EGRESS
FAR = "192.0.2.1"


def asked(raw: bytes) -> Question | None:
    head = read_head(raw)
    return question_of(head, read_ends(frame_of(raw, head.captured_bytes))) if head else None


def repository(*policies: Policy) -> Repository:
    made = Repository()
    made.add_identities({A: labels("app=a"), B: labels("app=b")})
    made.add_subjects(A, B)
    made.upsert(*policies)
    return made


def question(told: Verdict | None, *, peer: int = B, address: str = "10.0.0.1", port: int = 80) -> Question:
    """On ingress of A, about TCP."""
    return Question(told, Direction.INGRESS, A, peer, ip_address(address).packed, 6, port)


def names(found: Because) -> list[str]:
    return [name.name for name in found.policies]


# --- what was asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "tracking", "subject", "peer", "far"),
    [
        (INGRESS, Tracking.NEW, 256, 257, "10.0.0.1"),
        (EGRESS, Tracking.NEW, 257, 256, "10.0.0.2"),
        (INGRESS, Tracking.ESTABLISHED, 256, 257, "10.0.0.1"),
        (INGRESS, Tracking.REPLY, 257, 256, "10.0.0.2"),
        (EGRESS, Tracking.REPLY, 256, 257, "10.0.0.1"),
    ],
)
def test_a_reply_goes_against_its_connection(direction: int, tracking: int, subject: int, peer: int, far: str) -> None:
    """From 257 at 10.0.0.1 to 256 at 10.0.0.2; a reply's connection was begun by 256."""
    found = asked(event(direction=direction, tracking=tracking))
    assert found is not None
    assert (found.subject, found.peer, found.address) == (subject, peer, ip_address(far).packed)


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        (EventType.POLICY_VERDICT, PolicyVerdict.ALLOWED, Verdict.ALLOWED),
        (EventType.POLICY_VERDICT, PolicyVerdict.AUDITED, Verdict.AUDITED),
        (EventType.POLICY_VERDICT, PolicyVerdict.AUDITED_BY_DEFAULT, Verdict.AUDITED_BY_DEFAULT),
        (EventType.DROP, DropReason.POLICY, Verdict.DENIED_BY_DEFAULT),
        (EventType.DROP, DropReason.POLICY_UNKNOWN_PEER, Verdict.DENIED_BY_DEFAULT),
        (EventType.DROP, DropReason.POLICY_DENY, Verdict.DENIED),
        (EventType.DROP, DropReason.NO_POLICY, None),
        (EventType.DROP, DropReason.POLICY_INCOMPLETE, None),
    ],
)
def test_an_event_of_policies_says_what_they_answered(kind: int, code: int, told: Verdict | None) -> None:
    found = asked(event(type=kind, code=code))
    assert found is not None
    assert found.told is told


@pytest.mark.parametrize(
    "raw",
    [event(**TRACE), event(code=DropReason.TTL_EXCEEDED), event(type=EventType.POLICY_VERDICT, code=77), event()[:60]],
    ids=["trace", "drop for another reason", "verdict of later versions", "no addresses"],
)
def test_of_other_events_policies_were_not_asked(raw: bytes) -> None:
    assert asked(raw) is None


def test_protocol_and_service_are_those_that_policies_know() -> None:
    """A type of ICMP where others have a port, in IPv6 as in IPv4."""
    found = asked(event("fd00::1", "fd00::2", 58, service=128))
    assert found is not None
    assert (found.protocol, found.service) == (58, 128)


# --- who was the cause --------------------------------------------------------------------------


@given(standings, st.sampled_from(Direction), remotes, packets, st.sampled_from(ADDRESSES))
def test_every_verdict_names_a_cause_without_which_it_would_be_another(
    standing: Standing, direction: Direction, remote: Peerage, packet: Packet, somewhere: Address
) -> None:
    """Denials and audits: take the policies named away, and the verdict is gone."""
    one = repository_of(standing)
    peer = Peerage(remote.identity, remote.address or somewhere)
    assert peer.address is not None
    explainer = Explainer(one)
    for subject in standing.identities:
        told = evaluate(standing, direction, subject, peer, packet)
        asks = Question(told, direction, subject, peer.identity, peer.address.packed, packet.protocol, packet.port)
        found = explainer.explain(asks)
        assert (found.verdict, found.outdated) == (told, False)
        assert explainer.explain(asks) is found
        if told is not Verdict.ALLOWED:
            left = {name: one for name, one in standing.policies.items() if name not in found.policies}
            rest = Standing(left, standing.identities, standing.names, standing.allow_host)
            assert found.policies
            assert evaluate(rest, direction, subject, peer, packet) is not told


def test_a_drop_by_default_names_every_policy_that_isolates() -> None:
    one = repository(policy("one", ingress=section()), policy("two", ingress=section()), policy("other"))
    found = Explainer(one).explain(question(Verdict.DENIED_BY_DEFAULT))
    assert names(found) == [name.name for name in found.isolated_by] == ["one", "two"]
    assert found.match == "none"


def test_an_audit_policy_is_no_cause_of_a_drop_although_it_isolates() -> None:
    one = repository(policy("one", ingress=section()), policy("watched", ingress=section(), audit=True))
    found = Explainer(one).explain(question(Verdict.DENIED_BY_DEFAULT))
    assert (names(found), len(found.isolated_by)) == (["one"], 2)


def test_a_drop_by_an_entry_names_that_entry_and_its_place() -> None:
    one = repository(policy("deny", ingress=section(deny=(entry(endpoints(app="b"), path="spec.ingressDeny[0]"),))))
    found = Explainer(one).explain(question(Verdict.DENIED))
    assert [(rule.origin.path, rule.origin.file) for rule in found.rules] == [("spec.ingressDeny[0]", "policies.yaml")]
    assert found.match == "L3-Only"


def test_a_rule_is_named_with_its_description() -> None:
    written = policy("web", ingress=section(entry(endpoints(app="b"))))
    (rule,) = written.rules
    described = Policy(
        written.name, (type(rule)(rule.subject, rule.ingress, rule.egress, rule.origin, "for the shop"),)
    )
    allowed = Explainer(repository(described)).explain(question(Verdict.ALLOWED))
    assert [hit.description for hit in allowed.rules] == ["for the shop"]
    denied = Explainer(repository(described)).explain(question(Verdict.DENIED_BY_DEFAULT, peer=4711))
    assert [hit.description for hit in denied.rules] == ["for the shop"]


def test_the_node_itself_passes_by_the_agents_setting() -> None:
    one = repository(policy("closed", ingress=section()))
    found = Explainer(one).explain(question(Verdict.ALLOWED, peer=Reserved.HOST))
    assert [(rule.policy, rule.origin.path) for rule in found.rules] == [(None, "allow_host")]


@pytest.mark.parametrize(
    ("peers", "to", "match"),
    [
        ((endpoints(app="b"),), (tcp(80),), "L3-L4"),
        ((endpoints(app="b"),), (tcp(0, 65535),), "L3-Proto"),
        ((endpoints(app="b"),), None, "L3-Only"),
        ((), (tcp(80),), "L4-Only"),
        ((), (tcp(0, 65535),), "Proto-Only"),
        ((), None, "all"),
    ],
)
def test_a_match_is_told_as_cilium_tells_it(
    peers: tuple[EndpointPeer, ...], to: tuple[Ports | Icmp, ...] | None, match: str
) -> None:
    one = repository(policy("web", ingress=section(entry(*peers, to=to))))
    assert Explainer(one).explain(question(Verdict.ALLOWED)).match == match


def test_where_nothing_isolates_everything_matches_and_nobody_is_named() -> None:
    found = Explainer(repository()).explain(question(Verdict.ALLOWED))
    assert (found.match, found.rules, found.isolated_by) == ("all", (), ())


def test_the_prefix_of_an_address_outside_is_told() -> None:
    one = repository(policy("nets", ingress=section(entry(cidr("192.0.2.0/24")))))
    found = Explainer(one).explain(question(Verdict.ALLOWED, peer=Reserved.WORLD, address=FAR))
    assert (found.prefix, names(found)) == (ip_network("192.0.2.0/24"), ["nets"])


def test_when_no_verdict_could_be_given_those_who_isolate_are_told() -> None:
    found = Explainer(repository(policy("big", ingress=section()))).explain(question(None))
    assert (found.verdict, found.rules, [name.name for name in found.isolated_by]) == ("", (), ["big"])


# --- as time goes on ----------------------------------------------------------------------------


def test_an_event_from_before_a_change_blames_nobody() -> None:
    """It was allowed; what stands now would deny it, and did not allow it."""
    one = repository()
    explainer = Explainer(one)
    one.upsert(policy("closed", ingress=section()))
    found = explainer.explain(question(Verdict.ALLOWED))
    assert (found.outdated, found.rules, [name.name for name in found.isolated_by]) == (True, (), ["closed"])


def test_an_answer_is_forgotten_with_the_policies_it_came_from() -> None:
    one = repository(policy("one", ingress=section()))
    explainer = Explainer(one)
    explainer.explain(question(Verdict.DENIED_BY_DEFAULT))
    one.upsert(policy("two", ingress=section()))
    assert names(explainer.explain(question(Verdict.DENIED_BY_DEFAULT))) == ["one", "two"]


def test_an_answer_is_forgotten_with_the_identity_it_came_from() -> None:
    """No policy has changed; what the labels are has."""
    one = repository(policy("web", select(app="a"), ingress=section(entry(endpoints(app="b")))))
    explainer = Explainer(one)
    explainer.explain(question(Verdict.ALLOWED))
    one.add_identity(B, labels("app=c"))
    assert names(explainer.explain(question(Verdict.DENIED_BY_DEFAULT))) == ["web"]
    assert explainer.explain(question(Verdict.ALLOWED)).outdated


def test_a_new_prefix_is_found_in_addresses_that_were_looked_up_before() -> None:
    one = repository(policy("nets", ingress=section(entry(cidr("192.0.0.0/8")))))
    explainer = Explainer(one)
    asks = question(Verdict.ALLOWED, peer=Reserved.WORLD, address=FAR)
    explainer.explain(asks)
    one.upsert(policy("more", ingress=section(entry(cidr("192.0.2.0/24")))))
    assert explainer.explain(asks).prefix == ip_network("192.0.2.0/24")


def test_of_an_endpoint_that_has_gone_the_last_events_are_explained_still() -> None:
    one = repository(policy("closed", ingress=section()))
    explainer = Explainer(one)
    one.remove_subjects(A)
    assert names(explainer.explain(question(Verdict.DENIED_BY_DEFAULT))) == ["closed"]


def test_an_identity_that_nobody_knows_has_no_explanation() -> None:
    asks = question(Verdict.DENIED_BY_DEFAULT)._replace(subject=4711)
    assert Explainer(repository()).explain(asks) == Because(verdict="denied by default", outdated=True)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ports and addresses a scan has."""
    monkeypatch.setattr(because, "MAX_ANSWERS", 64)
    explainer = Explainer(repository(policy("closed", ingress=section())))
    for port in range(300):
        explainer.explain(question(Verdict.DENIED_BY_DEFAULT, port=port, address=f"10.0.{port % 256}.1"))
    kept = [answer for _, answers in explainer._answers.values() for answer in answers.values()]
    assert len(kept) <= 64
    assert len({id(answer.rules) for answer in kept}) == 1, "flows with one cause share it"
