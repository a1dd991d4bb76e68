"""Policies about requests, obeyed by real clients and servers, whatever becomes of agents and proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.client import HTTPException

import pytest

from netloom.datapath.reasons import DropReason
from netloom.lab.agents import wait_until
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from support.cluster import WITHIN_S, Cluster, PodView
from support.judged import (
    AWAY,
    BOTH,
    FAR,
    NEAR,
    NOBODY,
    NODES,
    RECEIVER,
    SENDER,
    SERVER,
    UNASKED,
    VISIBLE,
    WIDER,
    Standing,
    kill,
    status,
    talk,
)
from support.observing import between, the_last
from support.requests import DENIED, POSTING, Service, Talk, asks, connects, serving
from support.spare_pods import SparePods

pytestmark = pytest.mark.e2e

CLIENTS = pytest.mark.parametrize("client", [NEAR, FAR, "world"])


@pytest.fixture
def killed(lab: Cluster) -> Iterator[Callable[[], None]]:
    """Kills the agent of the service's node; it runs again after the test."""
    yield lambda: lab.lab.kill_agent("node1")
    lab.lab.start_agent("node1")
    lab.lab.wait_converged()


@pytest.fixture
def annotated(lab: Cluster) -> Iterator[PodView]:
    """A pod of the other node, whose requests somebody wants to see."""
    pods = SparePods(lab)
    yield pods.attached("node2", **VISIBLE)
    pods.close()


@BOTH
@CLIENTS
def test_a_denied_request_is_answered_by_the_proxy_and_the_connection_goes_on(
    lab: Cluster, policies: Standing, client: str, version: int
) -> None:
    policies.only(RECEIVER)
    with talk(lab, client, version) as connection:
        assert connection.ask().status == 200
        assert connection.ask("DELETE") == DENIED
        assert connection.ask("POST", "/jobs", POSTING) == DENIED
        assert connection.ask().status == 200


@BOTH
@CLIENTS
def test_the_server_sees_the_clients_own_address_and_port(
    lab: Cluster, service: Service, policies: Standing, client: str, version: int
) -> None:
    policies.only(RECEIVER)
    with talk(lab, client, version) as connection:
        assert connection.ask().status == 200
        assert service.peers[-1] == connection.end


@BOTH
def test_the_node_itself_is_not_asked(lab: Cluster, policies: Standing, version: int) -> None:
    policies.only(RECEIVER)
    assert asks(lab.node("node1"), lab.pod(SERVER).address(version), "POST", "/jobs", POSTING).status == 201


def test_curl_is_denied_and_goes_on(lab: Cluster, policies: Standing) -> None:
    policies.only(RECEIVER)
    url = f"http://{lab.pod(SERVER).ipv4}/jobs/1"
    told = ("-s", "-w", "%{http_code} %{num_connects}\n", "-o", "/dev/null")
    said = lab.pod(FAR).run("curl", *told, "-X", "DELETE", url, "--next", *told, url)
    assert said.splitlines() == ["403 1", "200 0"]


@BOTH
def test_who_is_not_allowed_at_all_does_not_get_to_the_proxy(lab: Cluster, policies: Standing, version: int) -> None:
    policies.only(RECEIVER)
    client, server = lab.pod(NOBODY), lab.pod(SERVER)
    assert not connects(client, server.address(version))
    assert the_last(lab, "node1", *between(client, server, "--type", "drop"))["code"] == DropReason.POLICY


@BOTH
@pytest.mark.parametrize("client", [NEAR, FAR])
def test_the_sender_is_asked_too(lab: Cluster, policies: Standing, client: str, version: int) -> None:
    """On its own node. What is on both nodes' ways must be allowed by both."""
    policies.only(SENDER)
    with talk(lab, client, version) as connection:
        assert connection.ask("POST", "/jobs", POSTING).status == 201
        assert connection.ask("PUT", "/jobs/1", POSTING) == DENIED
        assert connection.ask("GET", "/healthz").status == 200


@BOTH
@pytest.mark.parametrize("client", [NEAR, FAR])
def test_both_ends_must_allow_a_request(
    lab: Cluster, service: Service, policies: Standing, client: str, version: int
) -> None:
    policies.only(f"{RECEIVER}---{SENDER}")
    with talk(lab, client, version) as connection:
        assert connection.ask("GET", "/jobs/1").status == 200
        assert connection.ask("GET", "/healthz") == DENIED
        assert connection.ask("GET", "/jobs") == DENIED
        assert connection.ask("GET", "/jobs/1").status == 200
        assert service.peers[-1] == connection.end


@BOTH
@pytest.mark.parametrize("server", ["world", "own node", "other node"])
def test_requests_to_what_is_no_pod_are_judged_too(lab: Cluster, policies: Standing, server: str, version: int) -> None:
    """They see the node, as the world does without a proxy; a server of the node itself does for the proxy's sake."""
    policies.only(AWAY)
    client, address = (
        lab.pod(NEAR),
        {
            "world": OUTSIDE_V4 if version == 4 else OUTSIDE_V6,
            "own node": lab.gateway("node1", version),
            "other node": lab.underlay("node2", version),
        }[server],
    )
    place = {"world": lab.outside, "own node": lab.node("node1"), "other node": lab.node("node2")}[server]
    with serving(place) as services, Talk(client, address) as connection:
        assert connection.ask().status == 200
        assert connection.ask("DELETE") == DENIED
        assert connection.ask().status == 200
        (peer,) = services[place.name].peers
    assert peer[0] == (address if server == "own node" else lab.underlay("node1", version))


@BOTH
def test_another_nodes_requests_are_judged(lab: Cluster, service: Service, policies: Standing, version: int) -> None:
    policies.only(NODES)
    with Talk(lab.node("node2"), lab.pod(SERVER).address(version)) as connection:
        assert connection.ask().status == 200
        assert connection.ask("DELETE") == DENIED
        assert connection.ask().status == 200
        assert service.peers[-1] == connection.end


@BOTH
def test_a_connection_that_is_older_than_its_rules_must_be_made_anew(
    lab: Cluster, policies: Standing, version: int
) -> None:
    policies.only("")
    client, server = lab.pod(FAR), lab.pod(SERVER)
    with talk(lab, FAR, version) as connection:
        assert connection.ask("POST", "/jobs", POSTING).status == 201
        policies.only(RECEIVER)
        with pytest.raises(TimeoutError):
            connection.ask(within_s=0.5)
    told = the_last(lab, "node1", *between(client, server, "--type", "drop", "--ip", str(client.address(version))))
    assert told["code"] == DropReason.PROXY_TOO_LATE
    assert asks(client, server.address(version)).status == 200


def test_a_request_is_told_of_with_the_rule_that_judged_it(lab: Cluster, policies: Standing) -> None:
    policies.only(RECEIVER)
    client, server = lab.pod(FAR), lab.pod(SERVER)
    with Talk(client, server.ipv4) as connection:
        connection.ask("GET", "/jobs/1")
        connection.ask("DELETE", "/jobs/7")
        options = between(client, server, "--type", "l7", "--port", str(connection.end[1]))
    allowed = the_last(lab, "node1", *options, "--policy", "receiver")
    assert (allowed["verdict"], allowed["direction"]) == ("forwarded", "ingress")
    (rule,) = allowed["policy"]["rules"]
    assert rule["path"] == "spec.ingress[0].toPorts[0].rules.http[0]"
    fields = {"host": str(server.ipv4), "method": "GET", "path": "/jobs/1"}
    assert (allowed["request"]["fields"], allowed["request"]["answer"]) == (fields, {"status": "200"})
    denied = the_last(lab, "node1", *options, "--verdict", "dropped")
    assert denied["request"]["fields"]["path"] == "/jobs/7"
    assert denied["policy"] is None, "a rule decided, where none holds"


def test_a_denied_request_is_denied_whoever_allows_it(lab: Cluster, policies: Standing) -> None:
    policies.only(UNASKED)
    with talk(lab, NEAR, 4) as connection:
        assert connection.ask("POST", "/jobs", POSTING).status == 201
        assert connection.ask("DELETE") == DENIED
        assert connection.ask().status == 200


def test_a_rule_that_denies_is_told_of(lab: Cluster, policies: Standing) -> None:
    policies.only(UNASKED)
    client, server = lab.pod(NEAR), lab.pod(SERVER)
    assert asks(client, server.ipv6, "DELETE") == DENIED
    denied = the_last(lab, "node1", *between(client, server, "--type", "l7", "--policy", "unasked"))
    assert (denied["verdict"], denied["request"]["fields"]["method"]) == ("dropped", "DELETE")
    assert denied["policy"]["rules"][0]["path"] == "spec.ingressDeny[0].toPorts[0].rules.http[0]"


def test_the_next_request_is_judged_by_the_rules_of_then(lab: Cluster, policies: Standing) -> None:
    policies.only(RECEIVER)
    with talk(lab, FAR, 4) as connection:
        assert connection.ask("POST", "/jobs", POSTING) == DENIED
        policies.put(WIDER)
        assert connection.ask("POST", "/jobs", POSTING).status == 201
        policies.put(RECEIVER)
        assert connection.ask("POST", "/jobs", POSTING) == DENIED


def test_a_connection_goes_on_when_its_policy_is_deleted(lab: Cluster, policies: Standing) -> None:
    policies.only(RECEIVER)
    with talk(lab, FAR, 4) as connection:
        assert connection.ask("POST", "/jobs", POSTING) == DENIED
        policies.only("")
        assert connection.ask("POST", "/jobs", POSTING).status == 201


def test_requests_are_seen_by_annotation_and_all_pass(lab: Cluster, policies: Standing, annotated: PodView) -> None:
    policies.only("")
    assert asks(annotated, lab.pod(SERVER).ipv4, "POST", "/jobs", POSTING).status == 201
    told = the_last(lab, "node2", *between(annotated, lab.pod(SERVER), "--type", "l7"))
    assert (told["verdict"], told["direction"], told["request"]["fields"]["method"]) == ("forwarded", "egress", "POST")


def test_the_proxy_enforces_while_the_agent_is_dead(
    lab: Cluster, policies: Standing, killed: Callable[[], None]
) -> None:
    """The next agent takes it over, and no connection ends."""
    policies.only(RECEIVER)
    pid = status(lab)["pid"]
    with talk(lab, FAR, 4) as connection, talk(lab, NEAR, 6) as other:
        killed()
        for one in (connection, other):
            assert one.ask().status == 200
            assert one.ask("DELETE") == DENIED
        assert asks(lab.pod(FAR), lab.pod(SERVER).ipv6, "DELETE") == DENIED
        lab.lab.start_agent("node1")
        lab.lab.wait_converged()
        assert status(lab)["pid"] == pid
        for one in (connection, other):
            assert one.ask("DELETE") == DENIED
            assert one.ask().status == 200


def test_without_a_proxy_its_ports_are_closed_and_nothing_else(
    lab: Cluster, policies: Standing, killed: Callable[[], None]
) -> None:
    """No agent starts it again here, so that the test sees it away."""
    policies.only(RECEIVER)
    client, server = lab.pod(FAR), lab.pod(SERVER)
    before = lab.drops("node1").get("PROXY_AWAY", 0)
    with talk(lab, FAR, 4) as connection:
        pid = status(lab)["pid"]
        killed()
        kill(pid)
        with pytest.raises((OSError, HTTPException)):
            connection.ask()
    assert not connects(client, server.ipv4)
    assert not connects(client, server.ipv6)
    assert asks(lab.node("node1"), server.ipv4).status == 200
    lab.pod(NEAR).ping(client.ipv4)
    lab.lab.start_agent("node1")
    assert wait_until(lambda: status(lab)["state"] == "at work", WITHIN_S)
    assert lab.drops("node1")["PROXY_AWAY"] > before
    assert asks(client, server.ipv4, "DELETE") == DENIED
    assert asks(client, server.ipv4).status == 200


def test_a_proxy_that_ends_is_started_again(lab: Cluster, policies: Standing) -> None:
    policies.only(RECEIVER)
    pid = status(lab)["pid"]
    kill(pid)
    assert wait_until(lambda: status(lab)["state"] == "at work" and status(lab)["pid"] != pid, WITHIN_S)
    assert asks(lab.pod(FAR), lab.pod(SERVER).ipv6).status == 200
    assert asks(lab.pod(FAR), lab.pod(SERVER).ipv6, "DELETE") == DENIED
