"""``netctl policy trace`` and ``what-if`` about requests: what they ask for, what they print, how they end."""

from __future__ import annotations

from typing import Any

import pytest

from netloom.model.l7 import L7Entry, L7Rule
from netloom.policy.l7_trace import Said, Sides, trace_requests
from netloom_l7_http.plugin import HTTP
from support.netctl import Netctl
from support.policy_answers import COMPARISON, TRACE
from support.recorded_agent import RecordedAgent


def bodies(agent: RecordedAgent) -> list[Any]:
    return [body for method, _, body in agent.requests if method != "GET"]


def requested(agent: RecordedAgent, *requests: dict[str, Any], passes: bool = True) -> None:
    """The agent's answer about a packet that goes to the proxy."""
    one = TRACE["traces"][0]
    side = one["ingress"] | {"verdict": "redirected"}
    told = one | {"ingress": side, "verdict": "redirected", "requests": list(requests), "passes": passes}
    agent.answers["POST", "/v1/policies/trace"] = TRACE | {"traces": [told], "notes": []}


PUTTING = L7Rule(rule='{"method":"PUT"}', policy="p", origin="")
PUTS = L7Entry(peers=None, ports=((80, 80),), protocol="http", rules=(PUTTING,))
WORDS = ("policy", "trace", "--src", "world", "--dst", "shop/web", "--dport", "80")


def test_a_trace_asks_about_an_http_request_as_a_client_would_say_it(ask: Netctl, agent: RecordedAgent) -> None:
    requested(agent)
    ask(*WORDS, "--http", "GET /jobs/1", "--header", "X-Team: a")
    assert bodies(agent)[0]["protocol"] == "http"
    assert bodies(agent)[0]["data"] == "GET /jobs/1 HTTP/1.1\r\nHost: web\r\nX-Team: a\r\n\r\n"


def test_a_trace_asks_about_a_grpc_call_as_a_client_would_say_it(ask: Netctl, agent: RecordedAgent) -> None:
    """The parser itself reads it, and says what a refused client gets."""
    requested(agent)
    ask(*WORDS, "--grpc", "jobs.Jobs/List", "--header", "Host: jobs")
    said = Said(protocol=HTTP, data=bodies(agent)[0]["data"].encode("latin-1"))
    (found,) = trace_requests(Sides(egress=(PUTS,), ingress=()), said)
    assert found.described == {"method": "POST", "path": "/jobs.Jobs/List", "host": "jobs"}
    assert found.answer == {"status": "200", "grpc_status": "7"}


def test_a_trace_asks_in_any_protocol_by_bytes(ask: Netctl, agent: RecordedAgent) -> None:
    requested(agent)
    ask(*WORDS, "--l7", "memcached", "get a\\r\\n\\x80")
    assert (bodies(agent)[0]["protocol"], bodies(agent)[0]["data"]) == ("memcached", "get a\r\n\x80")


def test_a_request_that_no_rule_allows_ends_with_5(ask: Netctl, agent: RecordedAgent) -> None:
    side = {"verdict": "denied", "rule": None}
    request = {"request": {"method": "PUT"}, "verdict": "denied", "egress": None, "ingress": side}
    requested(agent, request | {"answer": {"status": "403"}}, passes=False)
    status, out, _ = ask(*WORDS, "--http", "PUT /jobs/1")
    assert status == 5
    assert "request method=PUT: denied\n  ingress: denied: no rule allows it\n  the client gets status=403\n" in out
    assert out.endswith("Final verdict: DENIED (a request, by the proxy)\n")


def test_the_rule_that_allows_a_request_is_named(ask: Netctl, agent: RecordedAgent) -> None:
    rule = {"policy": "CiliumNetworkPolicy/shop/web", "path": "spec.ingress[0]", "rule": {"method": "GET"}}
    side = {"verdict": "allowed", "rule": rule}
    request = {"request": {"method": "GET"}, "verdict": "allowed", "egress": None, "ingress": side, "answer": {}}
    requested(agent, request)
    status, out, _ = ask(*WORDS, "--http", "GET /jobs/1")
    assert status == 0
    assert '  ingress: allowed by CiliumNetworkPolicy/shop/web spec.ingress[0]: {"method": "GET"}\n' in out
    assert out.endswith("Final verdict: ALLOWED (redirected)\n")


def test_a_packet_that_goes_to_the_proxy_says_how_to_ask_about_requests(ask: Netctl, agent: RecordedAgent) -> None:
    requested(agent)
    assert "judges requests: ask about one with --http, --grpc or --l7" in ask(*WORDS).out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--http", "GET"), '"GET" is no request; expected METHOD and PATH'),
        (("--http", "GET /a b"), "is no request"),
        (("--header", "A: b"), "--header belongs to a request"),
        (("--http", "GET /", "--header", "A"), '"A" is no header; expected NAME: VALUE'),
        (("--http", "GET /", "--l7", "a", "b"), "--http, --grpc and --l7 are different questions"),
        (("--grpc", "jobs"), '"jobs" is no call; expected SERVICE/METHOD'),
        (("--grpc", "a/b", "--header", f"x: {'y' * 127}"), "is too long for a question"),
        (("--l7", "a", "\\x"), "has an escape that is none"),
    ],
)
def test_what_is_no_request_is_not_asked_about(
    ask: Netctl, agent: RecordedAgent, words: tuple[str, ...], sentence: str
) -> None:
    status, _, err = ask(*WORDS, *words)
    assert (status, sentence in err, bodies(agent)) == (2, True, [])


def replayed(**after: Any) -> dict[str, Any]:
    """What a comparison says of a request that was seen three times, and by now fares as ``after`` says."""
    end = {"identity": 256, "address": "10.0.0.2"}
    judged = {"verdict": "allowed", "packets": "allowed", "asked": True, "direction": "ingress", "rule": None}
    one = {"source": end, "destination": end, "port": 80, "protocol": "http", "request": {"path": "/jobs"}, "count": 3}
    counts = COMPARISON["replayed"] | {"requests": 5, "untold": {"the header x-a was not told": 2}}
    changed = one | {"before": judged, "after": judged | after}
    return COMPARISON | {"replays": [changed], "replay_changes": 1, "replayed": counts}


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({"verdict": "denied"}, "ingress: no rule allows it"),
        ({"verdict": "denied", "asked": False, "packets": "denied by default"}, "its packets are denied by default"),
        ({"verdict": "denied", "direction": ""}, "no rule is about the connection"),
        ({"verdict": "denied", "rule": {"policy": "CNP/p", "path": "spec.ingressDeny[0]"}}, "ingress: CNP/p spec"),
    ],
)
def test_what_if_tells_of_requests_that_were_seen(
    ask: Netctl, agent: RecordedAgent, after: dict[str, Any], reason: str
) -> None:
    agent.answers["POST", "/v1/policies/what-if"] = replayed(**after)
    out = ask("policy", "what-if", "--delete", "web").out
    assert "Requests seen by this node: 5\n  3 would be denied:\n" in out
    assert "path=/jobs   allowed → denied   " + reason in out
    assert "  2 are not known: the header x-a was not told\n" in out


def test_what_if_shows_rules_about_requests_that_come_and_go(ask: Netctl, agent: RecordedAgent) -> None:
    change = {"identity": 256, "gone": ["ingress allow {} at http 80, anybody"], "new": []}
    agent.answers["POST", "/v1/policies/what-if"] = COMPARISON | {"requests": [change], "request_changes": 1}
    out = ask("policy", "what-if", "--delete", "web").out
    assert "Requests: of 1 identities other things would be said\n  identity 256\n    - ingress allow {} at" in out
