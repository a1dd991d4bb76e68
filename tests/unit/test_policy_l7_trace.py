"""Requests before they are sent: read by the protocol's parser, judged by the tables of both ends."""

from __future__ import annotations

import pytest

from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId
from netloom.model.policy import Policy
from netloom.policy.explain import End, trace
from netloom.policy.l7_tables import L7Tables
from netloom.policy.l7_trace import Said, is_about_requests, requests_in, sides_by, sides_of, trace_requests
from netloom.policy.l7_verdicts import L7Verdict
from netloom.policy.repository import Repository
from netloom.policy.table import Verdict
from support.lines import LINES
from support.policy_oracle import about, asked, endpoints, entry, labels, policy, section, select, tcp

CLIENT, SERVER = IdentityId(256), IdentityId(257)


def said(data: bytes) -> Said:
    return Said(protocol=LINES, data=data)


def may_say(name: str, *lines: str, audit: bool = False) -> Policy:
    rules = tuple(f'{{"line":"{line}"}}' for line in lines)
    allowed = about(endpoints(app="client"), requests=(asked(tcp(80), rules=rules, protocol="lines"),), path=name)
    return policy(name, select(app="server"), ingress=section(allowed), audit=audit)


def repository_of(*stand: Policy) -> Repository:
    repository = Repository()
    repository.add_identities({CLIENT: labels("k8s:app=client"), SERVER: labels("k8s:app=server")})
    repository.upsert(*stand)
    return repository


def verdicts(repository: Repository, data: bytes) -> list[L7Verdict]:
    found = trace_requests(sides_of(repository, End(CLIENT), End(SERVER), 80), said(data))
    return [one.verdict for one in found]


def test_each_request_is_read_by_the_parser_and_judged_by_the_rules() -> None:
    repository = repository_of(may_say("p", "get"))
    assert verdicts(repository, b"get\nput\n") == [L7Verdict.ALLOWED, L7Verdict.DENIED]


def test_the_rule_that_decides_is_named_by_policy_and_place() -> None:
    sides = sides_of(repository_of(may_say("p", "get")), End(CLIENT), End(SERVER), 80)
    (found,) = trace_requests(sides, said(b"get\n"))
    assert (found.described, found.egress) == ({"line": "get"}, None)
    assert found.ingress is not None
    assert found.ingress.rule is not None
    assert found.ingress.rule.policy == "CiliumNetworkPolicy/default/p"
    assert found.ingress.rule.origin == 'rule {"line":"get"}'


def test_both_ends_must_allow_a_request() -> None:
    out = about(requests=(asked(tcp(80), rules=('{"line":"put"}',), protocol="lines"),))
    leaving = policy("q", select(app="client"), egress=section(out))
    assert verdicts(repository_of(may_say("p", "get", "put"), leaving), b"get\nput\n") == [
        L7Verdict.DENIED,
        L7Verdict.ALLOWED,
    ]


def test_who_is_denied_gets_what_the_parser_answers_and_nobody_else_does() -> None:
    found = trace_requests(
        sides_of(repository_of(may_say("p", "get")), End(CLIENT), End(SERVER), 80), said(b"get\nput\n")
    )
    assert [one.answer for one in found] == [{}, {"refused": "put"}]


def test_where_no_rule_is_about_a_connection_nobody_is_answered() -> None:
    """The proxy closes it."""
    (found,) = trace_requests(sides_of(repository_of(), End(CLIENT), End(SERVER), 80), said(b"get\n"))
    assert (found.verdict, found.answer) == (L7Verdict.DENIED, {})


def test_what_the_proxy_is_told_decides_as_policies_do() -> None:
    """A walk asks by the tables of the proxy, a trace by policies: the entries are the same."""
    repository = repository_of()
    tables = L7Tables(repository)
    repository.add_subjects(CLIENT, SERVER)
    out = about(requests=(asked(tcp(80), rules=('{"line":"put"}',), protocol="lines"),))
    leaving = policy("q", select(app="client"), egress=section(out))
    tables.renew(repository.upsert(may_say("p", "get", audit=True), leaving))
    ends = End(CLIENT), End(SERVER)
    found = sides_by(tables.tables.get, *ends, 80)
    assert found == sides_of(repository, *ends, 80)
    assert (bool(found.egress), bool(found.ingress)) == (True, True)


def test_an_audit_policy_only_tells() -> None:
    assert verdicts(repository_of(may_say("p", "get", audit=True)), b"put\n") == [L7Verdict.AUDITED]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"?\n", "is no request of lines: a question is no line"), (b"get", "is no whole request of lines")],
)
def test_what_the_parser_takes_for_no_request_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        requests_in(said(data))


def test_a_question_in_another_protocol_than_policies_judge_is_refused() -> None:
    other = about(requests=(asked(tcp(80), protocol="http"),))
    with pytest.raises(Invalid, match="as http, the question is about lines"):
        verdicts(repository_of(policy("p", select(app="server"), ingress=section(other))), b"get\n")


def test_only_packets_that_go_by_the_proxy_are_about_requests() -> None:
    plain = policy("q", select(app="server"), ingress=section(entry(endpoints(app="client"))))
    for stand, verdict in (
        ((may_say("p", "get"),), Verdict.REDIRECTED),
        ((may_say("p", "get"), plain), Verdict.ALLOWED),
        ((plain,), Verdict.ALLOWED),
    ):
        found = trace(repository_of(*stand), End(CLIENT), End(SERVER), (6, 80))
        assert (found.verdict, is_about_requests(found, (6, 80))) == (verdict, verdict is Verdict.REDIRECTED)
