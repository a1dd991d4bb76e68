"""Rules of HTTP hold for whole methods, paths and hosts, and edit headers where they say so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from netloom.model.errors import ConfigError, Invalid
from netloom.plugins import Untold
from netloom.plugins.l7.rules import read_rule
from netloom_l7_http.patterns import whole
from netloom_l7_http.plugin import HTTP
from netloom_l7_http.request import WORD_BYTES_MAX
from support.http_talk import DENIED, Talking, get


def allows(rule: Mapping[str, Any], request: bytes) -> bool:
    return bool(Talking((rule,)).ask(request).to_server)


@pytest.mark.parametrize(
    ("rule", "request_", "expected"),
    [
        ({}, get("/any"), True),
        ({"method": "GET|HEAD"}, get(method="HEAD"), True),
        ({"method": "GE"}, get(), None),
        ({"method": "GET", "path": "/jobs"}, get("/jobs"), True),
        ({"path": "/jobs"}, get("/jobs/1"), False),
        ({"path": "/jobs"}, get("/jobs?x"), False),
        ({"path": "/jobs.*"}, get("/jobs?x"), True),
        ({"path": "^/jobs$"}, get("/jobs"), True),
        ({"path": r"/jobs/\d+"}, get("/jobs/17"), True),
        ({"path": "/jobs/[[:digit:]]+"}, get("/jobs/17"), True),
        ({"path": "/jobs|/pay"}, get("/pay/1"), False),
        ({"path": r"/a\.b"}, get("/axb"), False),
        ({"path": r"/a\.b"}, get("/a.b"), True),
        ({"host": "A"}, get(), True),
        ({"host": "a|b"}, b"GET / HTTP/1.1\r\nHost: A:8080\r\n\r\n", False),
        ({"host": "a(:[0-9]+)?"}, b"GET / HTTP/1.1\r\nHost: A:8080\r\n\r\n", True),
        ({"headers": ["X-Role: cook"]}, get("/", "x-role:  cook "), True),
        ({"headers": ["X-Role: cook"]}, get("/", "X-Role: Cook"), False),
        ({"headers": ["X-Role cook"]}, get("/", "X-Role: cook"), True),
        ({"headers": ["X-Role"]}, get("/", "X-Role:"), True),
        ({"headers": ["X-Role"]}, get("/"), False),
        ({"headers": ["X-Role: cook"]}, get("/", "X-Role: cook", "X_Role: chief"), False),
        ({"headerMatches": [{"name": "X-Role", "value": "cook"}]}, get("/", "X-Role: chief"), False),
        ({"headerMatches": [{"name": "X-Role"}]}, get("/", "X-Role: chief"), True),
        ({"headerMatches": [{"name": "X-Role", "value": "cook", "mismatch": "LOG"}]}, get("/"), True),
    ],
    ids=str,
)
def test_a_rule_holds_for_what_it_describes_as_a_whole(
    rule: Mapping[str, Any], request_: bytes, expected: bool | None
) -> None:
    if expected is None:
        with pytest.raises(Invalid):
            allows(rule, request_)
    else:
        assert allows(rule, request_) is expected


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"path": "/a("}, "as RE2 reads it: missing"),
        ({"path": r"/(a)\1"}, "as RE2 reads it: invalid escape"),
        ({"path": "/(?=a)"}, "as RE2 reads it"),
        ({"host": "*.local"}, "as RE2 reads it: no argument"),
        ({"path": "/" + "a" * 5000}, "at most 4096"),
        ({"path": "/((a{100}){100}){100}"}, "as RE2 reads it"),
        ({"method": "get"}, "in capitals"),
        ({"path": "jobs/.*"}, "paths begin with /"),
        ({"headers": ["X-Role:"]}, 'expected "Name: value"'),
        ({"headers": ["X Role: a: b", ": x"]}, 'expected "Name: value"'),
        ({"headerMatches": [{"name": "X:"}]}, "expected a name"),
        ({"headerMatches": [{"name": "X", "value": "a\r\nY: b"}]}, "no header can have"),
        ({"headerMatches": [{"name": "X", "mismatch": "ADD"}]}, "without a value"),
        ({"headerMatches": [{"name": "Content_Length", "value": "1", "mismatch": "ADD"}]}, "nobody may change"),
        ({"headerMatches": [{"name": "Host", "value": "b", "mismatch": "REPLACE"}]}, "nobody may change"),
    ],
    ids=str,
)
def test_a_rule_that_means_nothing_is_refused_with_a_sentence(rule: Mapping[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        HTTP.matcher(read_rule(HTTP, json.dumps(rule)))
    assert words in str(caught.value)


@pytest.mark.parametrize("rule", [{"paht": "/"}, {"headerMatches": [{"name": "X", "mismatch": "DROP"}]}], ids=str)
def test_a_rule_of_another_form_is_refused(rule: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError):
        read_rule(HTTP, json.dumps(rule))


def test_an_expression_costs_no_more_than_its_text_is_long() -> None:
    """An engine that goes back and forth would not end within the life of this machine."""
    assert not whole("(a*)*(a*)*(a*)*b")("a" * 30_000)


@pytest.mark.parametrize(
    ("action", "headers", "sent"),
    [
        ("LOG", ("X-Role: chief",), ("X-Role: chief",)),
        ("ADD", ("x-role: chief",), ("x-role: chief", "X-Role: cook")),
        ("ADD", ("X-Role: cook",), ("X-Role: cook",)),
        ("DELETE", ("X-Role: chief", "X_role: cook", "Y: 1"), ("X_role: cook", "Y: 1")),
        ("DELETE", (), ()),
        ("REPLACE", ("X-Role: chief", "Y:  1", "x_role: king"), ("Y:  1", "X-Role: cook")),
        ("REPLACE", (), ("X-Role: cook",)),
    ],
)
def test_a_header_that_is_not_so_is_edited_and_nothing_else(
    action: str, headers: tuple[str, ...], sent: tuple[str, ...]
) -> None:
    rule = {"headerMatches": [{"name": "X-Role", "value": "cook", "mismatch": action}]}
    assert Talking((rule,)).ask(get("/", *headers)).to_server == get("/", *sent)


def test_edits_of_all_rules_that_hold_are_made_once_each() -> None:
    """One rule may be that of the client's policy, another that of the server's."""
    rule = {"headerMatches": [{"name": "X-Role", "value": "cook", "mismatch": "ADD"}]}
    other = {"headerMatches": [{"name": "X-Zone", "value": "1", "mismatch": "REPLACE"}]}
    talk = Talking((rule, {}, rule, other, {"path": "/else", **rule})).ask(get("/", "X-Zone: 2"))
    assert talk.to_server == get("/", "X-Role: cook", "X-Zone: 1")


def test_a_body_follows_an_edited_head() -> None:
    rule = {"headerMatches": [{"name": "X-Role", "value": "cook", "mismatch": "ADD"}]}
    request = get("/", "Content-Length: 5", method="POST") + b"hello"
    expected = get("/", "Content-Length: 5", "X-Role: cook", method="POST") + b"hello"
    assert Talking((rule,)).ask(request).to_server == expected


def test_the_access_log_is_told_of_headers_that_are_not_so() -> None:
    rule = {"headerMatches": [{"name": "X-Role", "value": "cook", "mismatch": "LOG"}]}
    talk = Talking((rule,)).ask(get()).reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert talk.judged[0].said == {"status": "200", "mismatched": "X-Role"}


def test_a_request_that_no_rule_allows_is_answered_403_and_the_next_one_judged() -> None:
    talk = Talking(({"path": "/a"},)).ask(get("/b") + get("/a"))
    assert talk.to_client == DENIED
    assert talk.to_server == get("/a")
    assert talk.judged[0].said == {"status": "403"}


def test_a_tunnel_is_allowed_by_who_names_it_alone() -> None:
    request = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
    assert not allows({}, request)
    assert not allows({"method": "CONNECT", "host": "b.*"}, request)
    assert allows({"method": "CONNECT", "host": "a:443"}, request)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"method": "GET", "path": "/jobs"}, True),
        ({"path": "/no"}, False),
        ({"path": "/no", "headers": ["X-A"]}, False),
    ],
)
def test_a_recalled_request_is_judged_by_what_was_told_of_it(rule: Mapping[str, Any], expected: bool) -> None:
    assert HTTP.recall is not None
    recalled = HTTP.recall({"method": "GET", "path": "/jobs", "host": "a"})
    assert HTTP.matcher(read_rule(HTTP, json.dumps(rule)))(recalled) is expected


@pytest.mark.parametrize("rule", [{"headers": ["X-A"]}, {"headerMatches": [{"name": "X-A", "value": "1"}]}])
def test_a_rule_about_headers_is_never_guessed_of_a_recalled_request(rule: Mapping[str, Any]) -> None:
    assert HTTP.recall is not None
    recalled = HTTP.recall({"method": "GET", "path": "/jobs", "host": "a"})
    with pytest.raises(Untold, match="the header x-a was not told"):
        HTTP.matcher(read_rule(HTTP, json.dumps(rule)))(recalled)


def test_what_was_told_cut_short_is_not_recalled() -> None:
    assert HTTP.recall is not None
    with pytest.raises(Untold, match="not told to its end"):
        HTTP.recall({"method": "GET", "path": "/" * WORD_BYTES_MAX, "host": "a"})
