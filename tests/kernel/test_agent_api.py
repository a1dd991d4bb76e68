"""The agent's API as a client meets it: answers fit the document, errors are sentences, streams end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from netloom.agent.openapi import OPERATIONS
from netloom.agent.openapi_parts import Operation
from support.netns import Namespace, NamespaceFactory
from support.node import WITHIN_S, NodeUnderTest

pytestmark = pytest.mark.kernel

READS = [
    operation
    for operation in OPERATIONS
    if operation.method == "get" and operation.media == "application/json" and "{kind}" not in operation.path
]
"""But for one policy, of which this agent has none."""


@pytest.fixture(scope="module")
def pods() -> Iterator[list[Namespace]]:
    """Namespaces of the module."""
    made: list[Namespace] = []
    yield made
    for namespace in reversed(made):
        namespace.close()


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The module's tests share an agent; the end of the run is where all must be gone."""


@pytest.fixture(scope="module")
def node(
    _nothing_left_by_the_run: None, tmp_path_factory: pytest.TempPathFactory, pods: list[Namespace]
) -> Iterator[NodeUnderTest]:
    """A node with an agent and one endpoint."""

    def make(label: str = "") -> Namespace:
        pods.append(Namespace(label))
        return pods[-1]

    factory: NamespaceFactory = make
    found = NodeUnderTest(tmp_path_factory.mktemp("api"), factory)
    try:
        found.start()
        found.attach(make("pod"), CNI_ARGS="K8S_POD_NAME=web-1;K8S_POD_NAMESPACE=shop")
        yield found
    finally:
        found.close()


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
        ("GET", "/v1/monitor?type=nonsense", 400, "invalid"),
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


def test_the_monitor_streams_a_drop_as_a_line_of_json(node: NodeUnderTest, pods: list[Namespace]) -> None:
    """A ping to an address of this node's prefix that nobody has."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(WITHIN_S)
        client.connect(str(node.socket))
        client.sendall(b"GET /v1/monitor?type=drop HTTP/1.1\r\nHost: x\r\n\r\n")
        stream = client.makefile("rb")
        while stream.readline().strip():
            pass
        pods[-1].attempt("ping", "-c", "1", "-W", "0.2", "10.244.1.200")
        flows = (json.loads(line) for line in stream if line.startswith(b"{"))
        drop = next(flow for flow in flows if flow["text"] == "Unknown L3 target address")
    assert (drop["kind"], drop["packet"]["destination"], drop["direction"]) == ("drop", "10.244.1.200", "egress")
    assert drop["summary"].startswith("xx drop (Unknown L3 target address)")
