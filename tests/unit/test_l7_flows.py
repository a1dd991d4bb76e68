"""Requests among the flows: what the proxy tells of them, and how they are printed and found."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from netloom.agent.flow_log import RequestRecord
from netloom.agent.flow_views import flow_view
from netloom.cli.observe.lines import as_dict, compact
from netloom.datapath.event_lines import format_flow
from netloom.datapath.flow_filter import read_filter
from netloom.datapath.l7_flows import l7_flow
from netloom.model.flow import Flow, FlowKind, FlowVerdict, L7Request, Packet
from netloom.model.l7_messages import Access
from netloom.model.policy import PolicyKind, PolicyName

PACKET = Packet(
    protocol="tcp",
    source=ip_address("10.0.0.1"),
    destination=ip_address("10.0.0.2"),
    source_port=40000,
    destination_port=80,
)
GET = L7Request(
    protocol="http",
    verdict="allowed",
    policy="CiliumNetworkPolicy/jobs/service",
    origin="spec.ingress[0].toPorts[0].rules.http[0]",
    direction="ingress",
    fields={"method": "GET", "path": "/jobs/1"},
    answer={"status": "200"},
    latency_ns=1_250_000,
)


def flow(request: L7Request = GET) -> Flow:
    return l7_flow(request, PACKET, (300, 301), 0)


def test_a_request_that_one_proxy_judged_for_both_ends_says_so() -> None:
    view = flow_view(flow(replace(GET, direction="both")))
    assert (view["direction"], view["request"]["direction"]) == ("", "both")
    assert " l7:http EGRESS+INGRESS FORWARDED " in compact(view)


def test_a_request_is_printed_with_its_ends_its_answer_and_the_rule_that_decided() -> None:
    assert format_flow(flow()) == (
        "l7 http allowed 10.0.0.1:40000 -> 10.0.0.2:80 method=GET path=/jobs/1 => status=200, 1.2 ms, "
        "identity 300->301 [allowed by CiliumNetworkPolicy/jobs/service (spec.ingress[0].toPorts[0].rules.http[0])]"
    )


def test_what_the_proxy_tells_names_the_policy_that_decided() -> None:
    access = Access(
        at=0.0,
        protocol=GET.protocol,
        verdict="allowed",
        policy=GET.policy,
        origin=GET.origin,
        source_identity=300,
        destination_identity=301,
        source="10.0.0.1",
        destination="10.0.0.2",
        source_port=40000,
        destination_port=80,
        direction=GET.direction,
        latency_ns=GET.latency_ns,
        request=dict(GET.fields),
        answer=dict(GET.answer),
    )
    assert RequestRecord(access=access).flow() == flow()


def test_observe_shows_the_request_in_the_place_of_the_packet() -> None:
    line = compact(flow_view(flow(replace(GET, verdict="denied", policy="", answer={}, latency_ns=0))))
    assert line.partition(": ")[2] == (
        "10.0.0.1:40000 (ID:300) -> 10.0.0.2:80 (ID:301) l7:http INGRESS DROPPED (method=GET path=/jobs/1)"
    )


def test_all_that_is_known_of_a_request_is_shown_line_by_line() -> None:
    shown = as_dict(flow_view(flow()))
    assert "PACKET: method=GET path=/jobs/1 => status=200, 1.2 ms" in shown
    assert "RULE: CiliumNetworkPolicy/jobs/service spec.ingress[0].toPorts[0].rules.http[0]" in shown


def test_what_the_proxy_tells_names_pods_and_the_rule_that_decided() -> None:
    access = Access(
        at=1.5,
        protocol="http",
        verdict="allowed",
        policy=GET.policy,
        origin=GET.origin,
        source_identity=300,
        destination_identity=301,
        source="10.0.0.1",
        destination="10.0.0.2",
        source_port=40000,
        destination_port=80,
        direction="ingress",
        latency_ns=GET.latency_ns,
        request=dict(GET.fields),
        answer=dict(GET.answer),
    )
    found = RequestRecord(access=access, source_pod="jobs/seeker", destination_pod="jobs/service", endpoint_id=7).flow()
    assert found == replace(
        l7_flow(GET, PACKET, (300, 301), 1_500_000_000),
        source_pod="jobs/seeker",
        destination_pod="jobs/service",
        endpoint_id=7,
    )
    assert found.because is not None


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ("allowed", FlowVerdict.FORWARDED),
        ("denied", FlowVerdict.DROPPED),
        ("audited", FlowVerdict.AUDIT),
        ("error", FlowVerdict.ERROR),
    ],
)
def test_requests_have_a_verdict_in_the_words_of_packets(verdict: str, word: FlowVerdict) -> None:
    assert flow(replace(GET, verdict=verdict)).verdict is word


def test_a_packet_that_went_to_the_proxy_is_told_as_redirected() -> None:
    sent = replace(flow(), kind=FlowKind.VERDICT, code=3, request=None)
    assert sent.verdict is FlowVerdict.REDIRECTED
    assert "action redirect" in format_flow(sent)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("protocol", "http", True),
        ("protocol", "tcp", True),
        ("protocol", "kafka", False),
        ("verdict", "forwarded", True),
        ("policy", "jobs/service", True),
        ("to-port", "80", True),
    ],
)
def test_requests_are_found_by_what_packets_are_found_by(name: str, text: str, wanted: bool) -> None:
    assert read_filter([(name, text)]).wants(flow()) is wanted


@pytest.mark.parametrize(
    "name",
    [
        PolicyName(PolicyKind.CILIUM, "jobs", "service"),
        PolicyName(PolicyKind.CILIUM_CLUSTERWIDE, "", "all"),
    ],
)
def test_a_policys_name_is_read_as_it_is_printed(name: PolicyName) -> None:
    assert PolicyName.parse(str(name)) == name
