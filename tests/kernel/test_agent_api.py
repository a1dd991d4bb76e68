"""The agent's API as a client meets it: answers fit the document, errors are sentences, streams end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from netloom.agent.openapi import OPERATIONS
from netloom.agent.openapi_parts import Operation
from netloom.datapath.registry import TraceFlag
from support.netns import Namespace
from support.node import WITHIN_S, NodeUnderTest, wait_until

pytestmark = pytest.mark.kernel

READS = [
    operation
    for operation in OPERATIONS
    if operation.method == "get"
    and operation.media == "application/json"
    and not any(word in operation.path for word in ("{kind}", "{query}"))
]
"""But for one policy and plugins' answers, of which this agent has none."""


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The module's tests share an agent; the end of the run is where all must be gone."""


@pytest.fixture
def node(shop_node: NodeUnderTest) -> NodeUnderTest:
    return shop_node


def schema_of(document: Any, operation: Operation) -> Any:
    """The schema of an operation's answer, with everything it refers to."""
    answer = document["paths"][operation.path][operation.method]["responses"][str(operation.status)]
    return {**answer["content"][operation.media]["schema"], "components": document["components"]}


@pytest.mark.parametrize("operation", READS, ids=lambda operation: operation.path)
def test_an_answer_fits_its_schema(node: NodeUnderTest, operation: Operation) -> None:
    """Every read operation of the document, asked of a real agent."""
    path = operation.path.replace("{id}", "1").replace("{name}", "endpoints")
    jsonschema.validate(node.get(path), schema_of(node.get("/v1/openapi.json"), operation))


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/endpoints/77", 404, "not_found"),
        ("GET", "/v1/endpoints/first", 400, "invalid"),
        ("GET", "/v1/maps/nothing", 404, "not_found"),
        ("GET", "/v1/maps/events", 404, "not_found"),
        ("GET", "/v1/plugins/nothing/peers", 404, "not_found"),
        ("GET", "/v1/plugins/vxlan/peers", 404, "not_found"),
        ("GET", "/v1/monitor?type=nonsense", 400, "invalid"),
        ("GET", "/v1/flows?colour=red", 400, "invalid"),
        ("GET", "/v1/flows?last=many", 400, "invalid"),
        ("GET", "/v1/flows?port=http", 400, "invalid"),
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/v1/endpoints", 405, "invalid"),
    ],
)
def test_an_error_is_a_sentence_with_a_kind(
    node: NodeUnderTest, method: str, path: str, status: int, kind: str
) -> None:
    """And fits the document's Error schema."""
    got, answer = node.request(method, path)
    jsonschema.validate(answer, node.get("/v1/openapi.json")["components"]["schemas"]["Error"])
    assert (got, answer["error"]["kind"]) == (status, kind)


def test_the_endpoint_carries_what_the_runtime_said(node: NodeUnderTest) -> None:
    """Name and namespace; the namespace is also a label."""
    endpoint = node.get("/v1/endpoints/1")
    assert (endpoint["pod_name"], endpoint["pod_namespace"]) == ("web-1", "shop")
    assert endpoint["labels"] == ["k8s:app=x", "k8s:io.kubernetes.pod.namespace=shop"]


def test_metrics_are_prometheus_text_and_say_what_the_api_says(node: NodeUnderTest) -> None:
    """Parsed by Prometheus's own parser."""
    families = {family.name: family for family in text_string_to_metric_families(node.request("GET", "/metrics")[1])}
    assert families["netloom_endpoints"].samples[0].value == 1
    entries = {sample.labels["map"]: sample.value for sample in families["netloom_bpf_map_entries"].samples}
    assert entries["endpoints"] == len(node.get("/v1/maps/endpoints")["entries"])


def test_a_body_too_large_is_refused(node: NodeUnderTest) -> None:
    """A client cannot fill the agent's memory."""
    status, answer = node.request("POST", "/v1/cni", "x" * (2 << 20))
    assert (status, answer["error"]["kind"]) == (413, "invalid")


@contextmanager
def streaming(node: NodeUnderTest, path: str) -> Iterator[Iterator[Any]]:
    """Objects of a stream, which has begun when the block begins."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(WITHIN_S)
        client.connect(str(node.socket))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with client.makefile("rb") as stream:
            while stream.readline().strip():
                pass
            yield (json.loads(line) for line in stream if line.startswith(b"{"))


def flows(node: NodeUnderTest, query: str) -> list[Any]:
    """Flows of the past, each as the document says."""
    status, answer = node.request("GET", f"/v1/flows?{query}")
    assert status == 200, answer
    found = [json.loads(line) for line in answer.splitlines()]
    document = node.get("/v1/openapi.json")
    schema = {**document["components"]["schemas"]["Flow"], "components": document["components"]}
    for flow in found:
        jsonschema.validate(flow, schema)
    return found


def ping_nobody(pod: Namespace, number: int) -> str:
    """A ping to an address of this node's prefix that nobody has."""
    address = f"10.244.1.{number}"
    pod.attempt("ping", "-c", "1", "-W", "0.2", address)
    return address


def test_the_monitor_streams_a_drop_as_a_line_of_json(node: NodeUnderTest, shared_pod: Namespace) -> None:
    with streaming(node, "/v1/monitor?type=drop") as found:
        ping_nobody(shared_pod, 200)
        drop = next(flow for flow in found if flow["text"] == "Unknown L3 target address")
    assert (drop["kind"], drop["packet"]["destination"], drop["direction"]) == ("drop", "10.244.1.200", "egress")
    assert drop["summary"].startswith("xx drop (Unknown L3 target address)")


def test_a_drop_is_remembered_although_nobody_listened(node: NodeUnderTest, shared_pod: Namespace) -> None:
    """With the pod's name and labels."""
    address = ping_nobody(shared_pod, 201)
    assert wait_until(lambda: bool(flows(node, f"to-ip={address}")))
    (drop,) = flows(node, f"to-ip={address}&verdict=dropped&pod=shop/web-1")
    assert (drop["text"], drop["verdict"], drop["policy"]) == ("Unknown L3 target address", "dropped", None)
    assert (drop["source_pod"], drop["source_labels"]) == (
        "shop/web-1",
        ["k8s:app=x", "k8s:io.kubernetes.pod.namespace=shop"],
    )


def test_the_last_flows_that_fit_are_told_oldest_first(node: NodeUnderTest, shared_pod: Namespace) -> None:
    addresses = [ping_nobody(shared_pod, number) for number in (202, 203, 204)]
    assert wait_until(lambda: bool(flows(node, f"to-ip={addresses[-1]}")))
    asked = "&".join(f"to-ip={address}" for address in addresses)
    assert [flow["packet"]["destination"] for flow in flows(node, f"last=2&{asked}")] == addresses[1:]
    assert flows(node, f"last=0&{asked}") == []
    assert flows(node, f"since=0&{asked}") == []
    assert len(flows(node, f"since=3600&{asked}&not=ip={addresses[0]}")) == 2


def test_a_follower_gets_what_was_and_what_comes_each_once(node: NodeUnderTest, shared_pod: Namespace) -> None:
    before = ping_nobody(shared_pod, 205)
    assert wait_until(lambda: bool(flows(node, f"to-ip={before}")))
    with streaming(node, "/v1/flows?follow=true&verdict=dropped&to-ip=10.244.1.205&to-ip=10.244.1.206") as found:
        assert next(found)["packet"]["destination"] == before
        assert wait_until(lambda: node.get("/v1/status")["monitor"]["listeners"] == 1)
        after = ping_nobody(shared_pod, 206)
        assert next(found)["packet"]["destination"] == after
    assert wait_until(lambda: node.get("/v1/status")["monitor"]["listeners"] == 0)


def test_traces_are_told_while_somebody_asks_for_them_and_are_not_kept(
    node: NodeUnderTest, shared_pod: Namespace
) -> None:
    def trace_flags() -> int:
        flags: int = node.get("/v1/maps/node_config")["entries"][0]["value"]["trace"]
        return flags

    assert trace_flags() == 0
    with streaming(node, "/v1/flows?follow=true&last=0&type=trace&to-ip=10.244.1.1") as found:
        assert trace_flags() == TraceFlag.PACKETS
        shared_pod.attempt("ping", "-c", "1", "-W", "0.2", "10.244.1.1")
        assert next(found)["kind"] == "trace"
        with streaming(node, "/v1/monitor?type=policy-verdict"):
            assert trace_flags() == TraceFlag.PACKETS | TraceFlag.VERDICTS
    assert wait_until(lambda: trace_flags() == 0)
    assert flows(node, "type=trace") == []
