"""Requests that are made visible by an endpoint's annotation, without a policy."""

from __future__ import annotations

import pytest

from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId
from netloom.model.l7 import L7Entry
from netloom.model.visibility import Visibility, visibility_of
from netloom.policy.l7_tables import L7Tables, l7_table
from netloom.policy.l7_verdicts import L7Verdict, applying, decide
from netloom.policy.repository import Repository
from netloom.policy.table import Direction, Remote, Verdict
from netloom.policy.visible import Visible
from support.policy_oracle import about, asked, endpoints, entry, labels, policy, section, select, tcp

A, B = IdentityId(256), IdentityId(257)
HTTP = Visibility("ingress", 80, "http")


def test_an_annotation_is_read_as_cilium_writes_it() -> None:
    text = "<Ingress/80/TCP/HTTP>, <Egress/8080/TCP/memcached>"
    assert visibility_of(text) == (Visibility("egress", 8080, "memcached"), HTTP)
    assert str(HTTP) == "<Ingress/80/TCP/HTTP>"
    assert visibility_of("") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http:80", "expected one as <Ingress/80/TCP/HTTP>"),
        ("<Ingress/53/UDP/DNS>", "is about UDP, expected TCP"),
        ("<Ingress/65536/TCP/HTTP>", "has port 65536, expected 1 to 65535"),
        (",".join(f"<Ingress/{port}/TCP/HTTP>" for port in range(1, 42)), "names 41 ports, expected at most 40"),
    ],
)
def test_what_makes_nothing_visible_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        visibility_of(text)


def test_what_one_endpoint_of_an_identity_asks_for_is_seen_at_all_of_them() -> None:
    visible = Visible()
    other = Visibility("egress", 81, "http")
    assert visible.put("one", A, (HTTP,)) == (A,)
    assert visible.put("two", A, (other,)) == (A,)
    assert visible.of(A) == {HTTP, other}
    assert visible.put("one", B, (HTTP,)) == (A, B)
    assert visible.put("two", A, ()) == (A,)
    assert visible.of(A) == frozenset()


def repository_of(*stand: object) -> Repository:
    repository = Repository()
    repository.add_identities({A: labels("k8s:app=a"), B: labels("k8s:app=b")})
    repository.add_subjects(A)
    repository.upsert(*stand)  # type: ignore[arg-type]
    repository.set_visible(A, frozenset({HTTP}))
    return repository


def verdict(repository: Repository, port: int = 80) -> Verdict:
    return repository.table(A).decide(Direction.INGRESS, Remote(B), 6, port).verdict


def entries(repository: Repository) -> tuple[L7Entry, ...]:
    table = l7_table(repository, A)
    return applying(table.ingress if table else (), B, None, 80)


def test_without_a_policy_every_request_goes_on_and_is_seen() -> None:
    repository = repository_of()
    assert (verdict(repository), verdict(repository, 81)) == (Verdict.REDIRECTED, Verdict.ALLOWED)
    assert decide(entries(repository), lambda _: False).verdict is L7Verdict.ALLOWED


def test_what_is_plainly_allowed_is_seen_and_what_is_denied_stays_so() -> None:
    allowed = policy("p", select(app="a"), ingress=section(entry(endpoints(app="b"))))
    assert verdict(repository_of(allowed)) is Verdict.REDIRECTED
    assert decide(entries(repository_of(allowed)), lambda _: False).verdict is L7Verdict.ALLOWED
    assert verdict(repository_of(policy("p", select(app="a"), ingress=section()))) is Verdict.DENIED_BY_DEFAULT


def test_rules_of_policies_hold_where_requests_are_visible() -> None:
    rules = about(endpoints(app="b"), requests=(asked(tcp(80), rules=('"get"',)),))
    repository = repository_of(policy("p", select(app="a"), ingress=section(rules)))
    assert decide(entries(repository), lambda _: False).verdict is L7Verdict.DENIED


def test_the_protocol_of_a_policy_goes_before_the_one_that_is_to_be_seen() -> None:
    rules = about(requests=(asked(tcp(80), protocol="memcached"),))
    repository = repository_of(policy("p", select(app="a"), ingress=section(rules)))
    assert {one.protocol for one in entries(repository)} == {"memcached"}


def test_nothing_is_left_when_nobody_wants_to_see_any_more() -> None:
    repository = repository_of()
    tables = L7Tables(repository)
    tables.renew(repository.set_visible(A, frozenset({HTTP, Visibility("ingress", 81, "http")})))
    change = tables.renew(repository.set_visible(A, frozenset()))
    assert (change.after, verdict(repository)) == ({A: None}, Verdict.ALLOWED)


def test_an_identity_that_comes_later_is_seen_from_the_first() -> None:
    repository = Repository()
    repository.set_visible(A, frozenset({HTTP}))
    repository.add_identity(A, labels("k8s:app=a"))
    assert repository.add_subjects(A).asking == {A}
    assert verdict(repository) is Verdict.REDIRECTED
