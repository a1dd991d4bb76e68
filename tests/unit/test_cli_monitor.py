"""``netctl monitor``: what it asks for, what it shows, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import flow_answers
from support.netctl import Netctl
from support.recorded_agent import RecordedAgent

NETCTL = Path(sys.executable).with_name("netctl")
DROP, TRACE, LOST = (json.dumps(event).encode() for event in (flow_answers.DROP, flow_answers.TRACE, flow_answers.LOST))


@pytest.fixture
def watched(agent: RecordedAgent) -> RecordedAgent:
    agent.events = [DROP, TRACE, LOST]
    return agent


def start(agent: RecordedAgent, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"NETLOOM_SOCKET": str(agent.socket)}
    command = [str(NETCTL), "monitor", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, text=True, stdout=pipe, stderr=pipe)


@pytest.mark.usefixtures("watched")
def test_events_are_shown_in_a_line_each_until_the_agent_stops(ask: Netctl) -> None:
    status, out, err = ask("monitor")
    assert out.splitlines() == [
        flow_answers.DROP["summary"],
        flow_answers.TRACE["summary"],
        "!! 12 events were lost: they came faster than the agent could read them",
    ]
    assert (status, err.endswith("has stopped\n")) == (3, True)


@pytest.mark.usefixtures("watched")
def test_as_json_an_event_is_what_the_agent_sent(ask: Netctl) -> None:
    lines = ask("monitor", "-o", "json").out.splitlines()
    assert [json.loads(line) for line in lines] == [flow_answers.DROP, flow_answers.TRACE, flow_answers.LOST]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ((), "drop%2Ctrace%2Cpolicy-verdict"),
        (("-t", "drop"), "drop"),
        (("--type", "trace", "--type", "drop"), "trace%2Cdrop"),
        (("-t", "policy-verdict,drop", "-t", "drop"), "policy-verdict%2Cdrop"),
    ],
)
def test_only_the_kinds_wanted_are_asked_for(
    ask: Netctl, watched: RecordedAgent, arguments: tuple[str, ...], asked: str
) -> None:
    """The agent has the data path report traces only while somebody asks for them."""
    ask("monitor", *arguments)
    assert watched.requests == [("GET", f"/v1/monitor?type={asked}", None)]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--related-to", "1"), [flow_answers.DROP]),
        (("--related-to", "1", "--related-to", "2"), [flow_answers.DROP, flow_answers.TRACE]),
        (("--from", "1"), [flow_answers.DROP]),
        (("--from", "2"), []),
        (("--to", "2"), [flow_answers.TRACE]),
        (("--to", "1"), []),
    ],
)
@pytest.mark.usefixtures("watched")
def test_events_of_other_endpoints_are_left_out_but_losses_never(
    ask: Netctl, arguments: tuple[str, ...], shown: list[dict[str, Any]]
) -> None:
    lines = ask("monitor", "-o", "json", *arguments).out.splitlines()
    assert [*shown, flow_answers.LOST] == [json.loads(line) for line in lines]


def test_silence_is_no_time_out(ask: Netctl, watched: RecordedAgent) -> None:
    ask.monkeypatch.setattr("netloom.cli.client.TIMEOUT_S", 0.1)
    watched.pause_s = 0.3
    assert flow_answers.DROP["summary"] in ask("monitor").out


def test_a_bad_filter_is_told_before_anything_is_watched(ask: Netctl, agent: RecordedAgent) -> None:
    assert ask("monitor", "--from", "zero").status == 2
    assert ask("monitor", "-t", "drop,nonsense").status == 2
    assert agent.requests == []


def test_an_interrupt_ends_it_quietly(watched: RecordedAgent) -> None:
    watched.endless = True
    with start(watched) as process:
        assert process.stdout is not None
        assert [f"{flow_answers.DROP['summary']}\n"] == [process.stdout.readline()]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err.strip()) == (130, "Watching; press Ctrl-C to stop.")


def test_a_reader_that_leaves_ends_it_quietly(watched: RecordedAgent) -> None:
    watched.events = [DROP] * 2000
    watched.endless = True
    with start(watched) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, "Watching; press Ctrl-C to stop.\n")
