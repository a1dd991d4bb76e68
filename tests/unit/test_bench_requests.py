"""What load generators print is read as it is meant, and ratios are those of one round."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from bench.goals import of_requests
from bench.request_loads import ANEW, KEPT, LOADS, STREAMS, UNARY, read_h2load, read_wrk
from bench.request_peers import ENVOY, HAPROXY, NETLOOM, PLACES, envoy, policy
from bench.request_profile import INTERPRETER, LIBRARIES, LOOP, PROFILED, shares_in
from bench.requests import KERNEL, P50, P99, RATE, USER, Requests, Sample, summarise
from bench.requests_report import picture, section
from bench.summary import Figure

from netloom.policy.read import read_policies

WRK = '{"requests": 3000, "duration_us": 1500000, "p50_us": 700, "p99_us": 2100, "refused": 4, "broken": 1}'
H2LOAD = """
finished in 1.00s, 6616.00 req/s, 1.15MB/s
requests: 6616 total, 6744 started, 6616 done, 6496 succeeded, 120 failed, 0 errored, 0 timeout
status codes: 6496 2xx, 0 3xx, 0 4xx, 120 5xx
"""
PERF = """
    30.00%  [kernel.kallsyms]                    [k] tcp_ack
    20.00%  python3.11                           [.] _PyEval_EvalFrameDefault
    10.00%  loop.cpython-311-x86_64-linux-gnu.so [.] uv__io_poll
    20.00%  bpf_prog_103e_loom_from_host         [k] bpf_prog_103e_loom_from_host
    20.00%  libc.so.6                            [.] malloc
"""
SAMPLES = [
    Sample(
        place=place,
        load=load.name,
        round=number,
        values={RATE: (number + 1) * rate, USER: 5, KERNEL: 4}
        | ({} if load.name in {STREAMS, UNARY} else {P50: 100, P99: 2000 / rate}),
    )
    for place, rate in ((NETLOOM, 30), (HAPROXY, 20), (ENVOY, 10))
    for load in LOADS
    for number in range(3)
]


@pytest.fixture
def found() -> Requests:
    """Three rounds, each faster than the one before for everybody."""
    aside = {cpu: Figure(value=20_000, ratio=1.01, low=1.0, high=1.03) for cpu in (0, 1)}
    shares = {(load, place): shares_in(PERF) for load in PROFILED for place in PLACES}
    return summarise(SAMPLES, 1, idle=dict.fromkeys(PLACES, 2048), shares=shares, bystanders=aside)


def test_answers_of_wrk_that_are_no_success_are_wrong_unless_they_must_be() -> None:
    measured, wrong = read_wrk(f"Running 1s test\n{WRK}\n", is_denied=False)
    assert (measured.requests, measured.requests_per_second, measured.p99_us, wrong) == (3000, 2000, 2100, 5)
    assert read_wrk(WRK, is_denied=True)[1] == 2997


def test_streams_that_fail_are_wrong() -> None:
    measured, wrong = read_h2load(H2LOAD, is_denied=False)
    assert (measured.requests, measured.requests_per_second, wrong) == (6496, 6616, 120)


def test_ratios_are_formed_within_rounds(found: Requests) -> None:
    assert found.medians[KEPT, NETLOOM, RATE] == 60
    assert found.ratios[KEPT, HAPROXY, RATE].median == found.ratios[KEPT, HAPROXY, RATE].high == 1.5
    assert (STREAMS, HAPROXY, P99) not in found.ratios


def test_who_is_faster_has_reached_every_goal_and_who_is_slower_misses_his(found: Requests) -> None:
    assert [goal.name for goal in of_requests(found) if not goal.is_met] == []
    slow = replace(found.ratios[ANEW, ENVOY, RATE], median=0.5)
    missed = replace(found, ratios={**found.ratios, (ANEW, ENVOY, RATE): slow})
    assert [goal.found for goal in of_requests(missed) if not goal.is_met] == [0.5]


def test_the_page_tells_rates_ratios_and_where_the_time_goes(found: Requests) -> None:
    text = "\n".join(section(found))
    for wanted in ("| requests a second | 60 | 40, **1.50** (1.50 to 1.50) |", "envoy 2.0 KiB", "the program | 5 |"):
        assert wanted in text


def test_samples_are_told_apart_by_object_and_function(found: Requests) -> None:
    assert {part: share for part, share in shares_in(PERF).items() if share} == pytest.approx(
        {INTERPRETER: 0.2, LOOP: 0.1, LIBRARIES: 0.2, "our programs": 0.2, "TCP and sockets": 0.3}
    )
    assert "| our programs | 1.8 | 1.8 | 1.8 |" in section(found)


def test_the_picture_is_a_picture_of_every_load(found: Requests) -> None:
    texts = [element.text or "" for element in ET.fromstring(picture(found)).iter() if element.tag.endswith("text")]  # noqa: S314 - our own
    assert [load.name for load in LOADS if not any(load.name in text for text in texts)] == []


def test_policy_and_configs_can_be_read() -> None:
    assert read_policies(policy("a", "b"), "bench.yaml").warnings == ()
    listeners = json.loads(envoy())["static_resources"]["listeners"]
    assert [one["transparent"] for one in listeners] == [True, True, True]
