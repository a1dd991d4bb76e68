"""What traces, walks and comparisons say of requests, and what becomes of these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netloom.datapath.craft import SOURCE_PORT, decapsulate
from netloom.datapath.packets import read_packet
from netloom.model.address import Address
from support.cluster import Cluster
from support.judged import (
    BOTH,
    FAR,
    NEAR,
    RECEIVER,
    SENDER,
    SERVER,
    Standing,
    netctl,
)
from support.observing import between, the_last
from support.requests import DENIED, Talk, asks
from support.sightings import watching
from support.walked import VXLAN_PORT, compare, places, walk

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("request_line", "passes"), [("GET /jobs/1", True), ("DELETE /jobs/1", False)])
def test_a_trace_says_what_becomes_of_a_request(
    lab: Cluster, policies: Standing, request_line: str, passes: bool
) -> None:
    policies.only(RECEIVER)
    method, path = request_line.split()
    argv = ("--src", f"default/{FAR}", "--dst", f"default/{SERVER}", "--dport", "80", "--http", request_line)
    ended = lab.node("node1").attempt(*netctl(lab, "node1"), "policy", "trace", *argv)
    assert ended.returncode == (0 if passes else 5), ended.stderr
    assert (asks(lab.pod(FAR), lab.pod(SERVER).ipv4, method, path) == DENIED) is not passes


@BOTH
@pytest.mark.parametrize("client", [NEAR, FAR])
def test_a_walk_ends_at_the_proxy(lab: Cluster, policies: Standing, client: str, version: int) -> None:
    policies.only(RECEIVER)
    server = str(lab.pod(SERVER).address(version))
    walked = walk(lab, lab.pod(client).node, client, server, "--proto", "tcp", "--port", "80")
    assert (walked["outcome"]["fate"], walked["hops"][-1]["node"]) == ("proxy", "node1")


def is_first(frame: bytes) -> bool:
    """Of a connection to the service, from the port that walks send from."""
    inner = decapsulate(frame, VXLAN_PORT)
    found = read_packet(inner.frame if inner else frame)
    return (found.source_port, found.destination_port, found.detail) == (SOURCE_PORT, 80, "SYN")


@pytest.mark.parametrize("client", [NEAR, FAR])
def test_a_walk_with_a_request_goes_through_proxies_as_a_connection_does(
    lab: Cluster, policies: Standing, client: str
) -> None:
    """On every device the same headers, to the service and by whichever proxies."""
    policies.only(f"{RECEIVER}---{SENDER}")
    pod, server = lab.pod(client), lab.pod(SERVER).ipv4
    assert asks(pod, server).status == 200
    walked = walk(lab, pod.node, client, str(server), "--http", "GET /jobs/1", "--size", "60")
    with watching(places(lab), is_first) as seen, Talk(pod, server, pod.ipv4, SOURCE_PORT) as connection:
        assert connection.ask().status == 200
    assert walked["outcome"]["fate"] == "delivered"
    compare(lab, walked, seen)


@pytest.mark.parametrize(("path", "denier"), [("/jobs/1", ""), ("/healthz", "node1"), ("/jobs", "node2")])
def test_walk_trace_and_proxies_agree_about_a_request(lab: Cluster, policies: Standing, path: str, denier: str) -> None:
    """It is denied by the proxy of the end that denies it, and the client gets what the walk says."""
    policies.only(f"{RECEIVER}---{SENDER}")
    client, server = lab.pod(FAR), lab.pod(SERVER).ipv4
    walked = walk(lab, "node2", FAR, str(server), "--http", f"GET {path}", "--reply")
    ended = ("denied", "status=403") if denier else ("delivered", "")
    assert (walked["outcome"]["fate"], walked["outcome"]["answer"]) == ended
    assert (asks(client, server, path=path) == DENIED) == bool(denier)
    assert denier in ("", walked["hops"][-1]["node"])
    assert denier or walked["reply"]["outcome"]["fate"] == "delivered"
    asked = [one for hop in walked["hops"] for one in hop["requests"]]
    for side, one in zip(("egress", "ingress"), asked, strict=False):
        assert one[side] == traced(lab, FAR, server, f"GET {path}")[side]


def traced(lab: Cluster, client: str, server: Address, request: str) -> Any:
    """What a trace of policies says of a request to the service."""
    argv = ("--src", client, "--dst", str(server), "--dport", "80", "--http", request, "-o", "json")
    said = lab.node("node2").attempt(*netctl(lab, "node2"), "policy", "trace", *argv).stdout
    return json.loads(said)["traces"][0]["requests"][0]


def test_what_if_asks_other_policies_about_requests_that_were_seen(
    lab: Cluster, policies: Standing, tmp_path: Path
) -> None:
    policies.only(RECEIVER)
    path = "/jobs/4711"
    asks(lab.pod(FAR), lab.pod(SERVER).ipv4, path=path)
    the_last(lab, "node1", *between(lab.pod(FAR), lab.pod(SERVER), "--type", "l7"))
    (tmp_path / "narrow.yaml").write_text(RECEIVER.replace("/jobs(/[0-9]+)?", "/jobs"))
    argv = (*netctl(lab, "node1"), "policy", "what-if", str(tmp_path / "narrow.yaml"), "-o", "json")
    found = json.loads(lab.node("node1").attempt(*argv).stdout)["replays"]
    changed = next(one for one in found if one["request"]["path"] == path)
    assert (changed["before"]["verdict"], changed["after"]["verdict"]) == ("allowed", "denied")
