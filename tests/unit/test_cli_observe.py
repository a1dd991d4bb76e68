"""``netctl observe``: what it asks for, how it shows flows, how it ends."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, urlsplit

import pytest

from netloom.cli.errors import Unusable
from netloom.cli.observe.command import duration_s
from netloom.cli.observe.lines import compact
from netloom.datapath.flow_filter import CONDITIONS, read_filter
from support import flow_answers
from support.netctl import Netctl, text
from support.recorded_agent import RecordedAgent

FLOWS = (flow_answers.ALLOWED, flow_answers.DENIED, flow_answers.LOST, flow_answers.FORWARDED)
AT = re.compile(r"^\w{3} \d\d \d\d:\d\d:\d\d\.\d{3}: ")
TEXTS = {"verdict": "audit", "ip": "10.0.0.0/8", "protocol": "tcp", "identity": "world", "port": "53"}


@pytest.fixture
def watched(agent: RecordedAgent) -> RecordedAgent:
    agent.events = [json.dumps(view).encode() for view in FLOWS]
    return agent


def asked(agent: RecordedAgent) -> list[tuple[str, str]]:
    (request,) = agent.requests
    path = urlsplit(request[1])
    assert path.path == "/v1/flows"
    return parse_qsl(path.query)


@pytest.mark.usefixtures("watched")
def test_flows_are_shown_as_hubble_shows_them_with_who_was_the_cause(ask: Netctl) -> None:
    """A reply is what it answers, with the arrow turned; the past has an end."""
    status, out, err = ask("observe")
    assert [AT.sub("", line) for line in out.splitlines()] == [
        (
            "shop/client:40000 (ID:256) -> shop/web:80 (ID:257) policy-verdict:L3-L4 INGRESS ALLOWED (TCP Flags: SYN); "
            "allowed by NetworkPolicy/shop/web (spec.ingress[0])"
        ),
        (
            "shop/client:40000 (ID:256) -> [2001:db8::1]:53 (world) Policy denied EGRESS DROPPED (UDP); "
            "isolated by NetworkPolicy/shop/closed"
        ),
        "!! 12 events were lost: they came faster than the agent could read them",
        "shop/web:80 (ID:257) <- shop/client:40000 (ID:256) to-overlay FORWARDED (TCP Flags: SYN)",
    ]
    assert (status, err) == (0, "")


def test_an_end_without_a_pod_is_told_by_what_its_identity_stands_for() -> None:
    flow = flow_answers.ALLOWED | {"source_pod": "", "verdict": "audit"}
    assert "10.244.1.2:40000 (ID:256 k8s:app=client) -> " in compact(flow)
    assert " INGRESS AUDITED " in compact(flow)


def test_what_workloads_choose_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in compact(flow_answers.ALLOWED | {"source_pod": "shop/\x1b[2J"})


@pytest.mark.usefixtures("watched")
def test_a_table_has_the_columns_of_hubbles(ask: Netctl) -> None:
    out = ask("observe", "-o", "table").out
    heads = ["TIMESTAMP", "SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"]
    assert out.splitlines()[0].split() == heads
    assert "12 events were lost" in out.splitlines()[3]
    assert len(out.splitlines()) == 1 + len(FLOWS)


@pytest.mark.usefixtures("watched")
def test_as_json_a_flow_is_what_the_agent_sent(ask: Netctl) -> None:
    assert [json.loads(line) for line in ask("observe", "-o", "json").out.splitlines()] == list(FLOWS)


def test_as_dict_everything_is_told_in_lines_of_its_own(ask: Netctl, agent: RecordedAgent) -> None:
    agent.events = [json.dumps(flow_answers.ALLOWED).encode()]
    assert ask("observe", "-o", "dict").out.partition("\n")[2] == text(
        """
              SOURCE: shop/client:40000 (ID:256)
              LABELS: k8s:app=client
         DESTINATION: shop/web:80 (ID:257)
              LABELS: k8s:app=web
                TYPE: policy-verdict:L3-L4 INGRESS
             VERDICT: ALLOWED
           DIRECTION: ingress
               STATE: new
              PACKET: TCP Flags: SYN
               CAUSE: allowed by NetworkPolicy/shop/web (spec.ingress[0])
                RULE: NetworkPolicy/shop/web spec.ingress[0] the shop front
         ISOLATED BY: NetworkPolicy/shop/closed, NetworkPolicy/shop/web
        ------------
        """
    )


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ((), [("last", "20")]),
        (("--last", "3"), [("last", "3")]),
        (("--all",), []),
        (("--since", "5m"), [("since", "300")]),
        (("--since", "5m", "--last", "3"), [("since", "300"), ("last", "3")]),
        (("--follow",), [("follow", "true"), ("last", "0")]),
        (("-f", "--last", "3"), [("follow", "true"), ("last", "3")]),
        (("--all", "-t", "drop,trace"), [("type", "drop,trace")]),
        (("--all", "--not", "port=53", "--not", "pod=a/"), [("not", "port=53"), ("not", "pod=a/")]),
    ],
)
def test_what_is_wanted_is_asked_of_the_agent(
    ask: Netctl, watched: RecordedAgent, arguments: tuple[str, ...], query: list[tuple[str, str]]
) -> None:
    ask("observe", *arguments)
    assert asked(watched) == query


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_of_the_agent_is_an_option(ask: Netctl, watched: RecordedAgent, name: str) -> None:
    """Which may be repeated; what it asks for, the agent understands."""
    value = TEXTS.get(name.rpartition("-")[2], "shop/web")
    assert ask("observe", "--all", f"--{name}", value, f"--{name}", value).status == 0
    assert asked(watched) == [(name, value)] * 2
    read_filter(asked(watched))


def test_following_ends_with_the_agent(ask: Netctl, watched: RecordedAgent) -> None:
    status, out, err = ask("observe", "--follow")
    assert (status, len(out.splitlines())) == (3, len(FLOWS))
    assert err == f"netctl: the agent at {watched.socket} has stopped\n"


def test_a_filter_that_the_agent_refuses_is_told_in_its_words(ask: Netctl, agent: RecordedAgent) -> None:
    agent.refused_stream = (400, "invalid", 'port "http": expected a number from 0 to 65535')
    assert ask("observe", "--port", "http") == (1, "", 'netctl: port "http": expected a number from 0 to 65535\n')


def test_a_table_cannot_be_followed(ask: Netctl, agent: RecordedAgent) -> None:
    status, _, err = ask("observe", "-f", "-o", "table")
    assert (status, agent.requests) == (2, [])
    assert "use -o compact with --follow" in err


@pytest.mark.parametrize(("words", "seconds"), [("90", 90), ("90s", 90), ("1h30m", 5400), ("2d", 172800)])
def test_durations_are_read(words: str, seconds: int) -> None:
    assert duration_s(words) == seconds


@pytest.mark.parametrize("words", ["", "m5", "5 m", "-5m", "5m5", "1.5h"])
def test_what_is_no_duration_is_refused(words: str) -> None:
    with pytest.raises(Unusable):
        duration_s(words)
