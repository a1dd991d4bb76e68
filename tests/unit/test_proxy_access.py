"""Records wait in a bounded queue; counts lose nothing."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from netloom.agent.proxy.report import Totals, families, summary
from netloom.model.l7_messages import Access, Counters
from netloom.proxy.access import AccessLog, line, members

ENDS: dict[str, Any] = {
    "source": "10.0.0.1",
    "destination": "fd00::2",
    "source_identity": 1,
    "destination_identity": 2,
    "source_port": 3,
    "destination_port": 4,
}
"""Fields of an Access."""


def test_a_line_is_read_as_it_was_meant() -> None:
    """Whatever is in it: it was made of parts."""
    verdict: dict[str, Any] = {"protocol": "http", "verdict": "denied", "request": {"path": '/"\n€', "host": "\\"}}
    made = line(members(**ENDS), members(**verdict), latency_ns=5, answer={"status": "403"}, why='"no"')
    read = msgspec.json.decode(made, type=Access)
    assert abs(read.at - time.time()) < 60
    wanted = {"at": read.at, "latency_ns": 5, "answer": {"status": "403"}, "why": '"no"'}
    assert read == msgspec.convert({"type": "access", **wanted, **ENDS, **verdict}, Access)
    assert made.count(b"\n") == 1


def test_the_oldest_records_are_kept_and_the_others_counted() -> None:
    log = AccessLog(2)
    for number in range(5):
        log.put(b"%d" % number)
    assert log.take(10) == [b"0", b"1"]
    assert log.counters(0, draining=False).lost_records == 3


def test_records_are_taken_in_turn() -> None:
    log = AccessLog(10)
    for number in range(5):
        log.put(b"%d" % number)
    assert [log.take(3) for _ in range(3)] == [[b"0", b"1", b"2"], [b"3", b"4"], []]


def test_counters_are_by_protocol_and_verdict() -> None:
    log = AccessLog(1)
    for verdict in ("allowed", "allowed", "denied"):
        log.count("lines", "ingress", verdict)
    log.fault("test", "lines")
    log.closed("idle")
    counters = log.counters(7, draining=True)
    assert counters.requests == {"lines": {"ingress": {"allowed": 2, "denied": 1}}}
    assert (counters.open, counters.draining) == (7, True)
    assert (counters.faults, counters.closed) == ({"test/lines": 1}, {"idle": 1})


def test_numbers_of_a_proxy_that_has_ended_stay_in_the_sum() -> None:
    past = Totals()
    requests = {"http": {"egress": {"denied": 2}}}
    past.add(Counters(open=3, waiting=0, accepted=5, requests=requests, faults={"web/http": 1}))
    told = summary(None, (), past, restarts=1, trouble="it ended")
    assert (told["state"], told["connections"], told["accepted"]) == ("away", 0, 5)
    assert told["requests"] == [{"protocol": "http", "direction": "egress", "verdict": "denied", "count": 2}]
    assert told["problems"] == ["it ended"]


def test_metrics_are_by_protocol_direction_and_verdict() -> None:
    """Two nodes' proxies count one request, each in its direction; a connection without rules any more has none."""
    past = Totals()
    requests: dict[str, dict[str, dict[str, int]]] = {"http": {"egress": {"denied": 2}, "": {"allowed": 1}}}
    past.add(Counters(open=0, waiting=0, requests=requests, faults={"web/http": 1}))
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(summary(None, (), past, restarts=0, trouble=""))
        for sample in family.samples
    }
    assert found["netloom_l7_requests_total", "http", "egress", "denied"] == 2
    assert found["netloom_l7_requests_total", "http", "none", "allowed"] == 1
    assert found["netloom_l7_parser_faults_total", "web", "http"] == 1
    assert found["netloom_proxy_up",] == 0
