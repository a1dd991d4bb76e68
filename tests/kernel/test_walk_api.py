"""``POST /v1/walk`` of a real agent: its document, its refusals, and that it walks what is attached."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from support.netns import Namespace
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel

NOWHERE = {"destination": "10.244.1.200"}


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The module's tests share an agent; the end of the run is where all must be gone."""


@pytest.fixture
def node(shop_node: NodeUnderTest) -> NodeUnderTest:
    return shop_node


def walk(node: NodeUnderTest, **body: object) -> Any:
    status, answer = node.request("POST", "/v1/walk", body)
    assert status == 200, answer
    return answer


def test_an_answer_fits_its_schema(node: NodeUnderTest) -> None:
    answer = walk(node, start="endpoint", endpoint=1, packet=NOWHERE)
    document = node.get("/v1/openapi.json")
    jsonschema.validate(answer, document["components"]["schemas"]["WalkPart"])
    assert answer["ending"]["drop"]["name"] == "UNKNOWN_TARGET"


def test_the_program_that_is_walked_is_the_one_tc_shows(node: NodeUnderTest) -> None:
    """By name and by the kernel's hash of its instructions, as the status has them of the programs at work."""
    hop = walk(node, start="endpoint", endpoint=1, packet=NOWHERE)["hops"][1]
    tags = {item["name"]: item["tag"] for item in node.get("/v1/status")["programs"]}
    assert (hop["program"], hop["tag"]) == ("from_container", tags["from_container"])


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"start": "endpoint", "endpoint": 77, "packet": NOWHERE}, 404, "not_found"),
        ({"start": "endpoint", "endpoint": 1}, 400, "invalid"),
        ({"start": "moon"}, 400, "invalid"),
        ({"start": "wire", "frame": "00" * 14}, 400, "invalid"),
    ],
)
def test_a_walk_that_cannot_be_is_refused(node: NodeUnderTest, body: object, status: int, kind: str) -> None:
    """With a sentence, like everything else."""
    got, answer = node.request("POST", "/v1/walk", body)
    assert (got, answer["error"]["kind"]) == (status, kind)


@pytest.mark.parametrize("frame", ["ff" * 15, "00" * 60, "ab" * 200], ids=["short", "zeroes", "noise"])
def test_any_frame_from_the_wire_has_an_end(node: NodeUnderTest, frame: str) -> None:
    """Whatever another node has sent."""
    assert walk(node, start="wire", frame=frame)["ending"]["fate"] == "dropped"


def test_a_pod_without_a_route_sends_nothing(node: NodeUnderTest, shared_pod: Namespace) -> None:
    """Its own kernel is asked, in its own namespace."""
    shared_pod.run("ip", "route", "del", "default")
    try:
        answer = walk(node, start="endpoint", endpoint=1, packet={"destination": "198.51.100.1"})
    finally:
        shared_pod.run("ip", "route", "add", "default", "via", "10.244.1.1")
    assert (len(answer["hops"]), answer["ending"]["text"]) == (1, "no route to the destination")


def test_a_pod_that_lost_its_address_does_not_take_a_packet(node: NodeUnderTest, shared_pod: Namespace) -> None:
    """The data path delivers; the pod's stack has no use for it."""
    address = node.get("/v1/endpoints/1")["ipv4"]
    shared_pod.run("ip", "address", "del", f"{address}/32", "dev", "eth0")
    try:
        answer = walk(node, start="host", packet={"destination": address})
    finally:
        shared_pod.run("ip", "address", "add", f"{address}/32", "dev", "eth0")
        shared_pod.run("ip", "route", "replace", "10.244.1.1", "dev", "eth0")
        shared_pod.run("ip", "route", "replace", "default", "via", "10.244.1.1")
    assert (answer["hops"][-1]["place"], answer["ending"]["fate"]) == ("pod", "dropped")
