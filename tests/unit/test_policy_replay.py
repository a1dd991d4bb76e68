"""Requests that were seen, by other policies: what would become of each, and what nobody can tell."""

from __future__ import annotations

from dataclasses import replace

from netloom.model.identity import IdentityId
from netloom.model.policy import Policy
from netloom.plugins.protocols import L7Protocol
from netloom.policy.explain import End
from netloom.policy.l7_verdicts import L7Verdict
from netloom.policy.replay import Replay, SeenRequest, replay
from netloom.policy.repository import Repository
from netloom.policy.table import Verdict
from support.lines import LINES
from support.policy_oracle import about, asked, endpoints, entry, labels, policy, section, select, tcp

CLIENT, SERVER = End(IdentityId(256)), End(IdentityId(257))
PLAIN = policy("p", select(app="server"), ingress=section(entry(endpoints(app="client"), to=(tcp(80),))))
CLOSED = policy("p", select(app="server"), ingress=section())


def may_say(*lines: str) -> Policy:
    rules = tuple(f'{{"line":"{line}"}}' for line in lines)
    allowed = about(endpoints(app="client"), requests=(asked(tcp(80), rules=rules, protocol="lines"),), path="in")
    return policy("p", select(app="server"), ingress=section(allowed))


def repository_of(stands: Policy) -> Repository:
    repository = Repository()
    repository.add_identities({CLIENT.identity: labels("k8s:app=client"), SERVER.identity: labels("k8s:app=server")})
    repository.upsert(stands)
    return repository


def replayed(before: Policy, after: Policy, *lines: str, protocol: L7Protocol = LINES) -> Replay:
    seen = [SeenRequest(CLIENT, SERVER, 80, "lines", (("line", line),)) for line in lines]
    return replay(repository_of(before), repository_of(after), seen, {"lines": protocol})


def test_a_request_that_would_be_denied_is_told_of_and_others_are_not() -> None:
    found = replayed(may_say("get", "put"), may_say("get"), "get", "put", "put")
    (change,) = found.changes
    assert (change.seen.told, change.count, found.replayed) == ((("line", "put"),), 2, 3)
    assert (change.before.verdict, change.after.verdict) == (L7Verdict.ALLOWED, L7Verdict.DENIED)


def test_the_end_that_decides_is_named_with_its_rule() -> None:
    (change,) = replayed(may_say("get"), may_say("put"), "put").changes
    assert change.after.decisive is not None
    direction, decision = change.after.decisive
    assert (direction, decision.rule and decision.rule.rule) == ("ingress", '{"line":"put"}')


def test_a_request_whose_packets_do_not_pass_is_denied() -> None:
    (change,) = replayed(may_say("get"), CLOSED, "get", "put").changes
    assert (change.seen.told, change.after.verdict) == ((("line", "get"),), L7Verdict.DENIED)
    assert (change.after.packets, change.after.asked) == (Verdict.DENIED_BY_DEFAULT, None)


def test_a_request_about_which_nobody_is_asked_passes() -> None:
    (change,) = replayed(may_say("get"), PLAIN, "get", "put").changes
    assert (change.seen.told, change.after.verdict, change.after.asked) == ((("line", "put"),), L7Verdict.ALLOWED, None)


def test_what_cannot_be_recalled_is_counted_and_not_guessed() -> None:
    found = replayed(may_say("get"), may_say(), "get", protocol=replace(LINES, recall=None))
    assert (found.changes, found.replayed, found.untold) == ((), 0, {"requests of lines cannot be recalled": 1})
