"""Two racks of nodes behind real routers, FRR and BIRD: pods reach each other by routes that BGP has spread."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netloom.lab import fabric, routers
from netloom.lab import lab as labs
from netloom.lab.agents import wait_until
from netloom.lab.inside import ip_batch
from support import racks as two_racks
from support.cluster import ends_of, receive
from support.leaks import MARK, look
from support.load import Account, Route, under_load
from support.observing import between, the_last
from support.racks import WITHIN_S, Racks, peers_of
from support.walked import walk

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAME = f"{MARK}b"
BOTH = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
CABLES_4 = ["172.20.1.1", "172.20.1.5"]
MANY = 10_000
GIVEN_PROTOCOL = 99
"""Of routes in a router's kernel that it is told to spread."""
POLICY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: only-from-two}
spec:
  endpointSelector: {matchLabels: {app: busybox3}}
  ingress: [{fromEndpoints: [{matchLabels: {app: busybox2}}]}]
"""


def roomy(config: dict[str, Any]) -> None:
    """Peers may tell of more prefixes than in the example."""
    for override in config["plugins"]["bgp"]["overrides"]:
        for peer in override.get("peers", ()):
            peer["max_prefixes"] = 2 * MANY


@pytest.fixture(scope="module")
def lab(_nothing_left_by_the_run: None) -> Iterator[Racks]:
    before = look()
    try:
        racks = two_racks.up(NAME, roomy)
        racks.wait_whole()
        yield racks
    finally:
        labs.down(NAME)
    assert look().since(before) == {}


@pytest.fixture
def route(lab: Racks) -> Route:
    """From one rack to the other."""
    return Route(client=lab.pod("busybox1"), server=lab.pod("busybox3"))


def tell(capsys: pytest.CaptureFixture[str], what: str, account: Account) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{what}: {account.lost} of {account.pings} pings lost\n")


@BOTH
def test_packets_cross_the_spine_as_they_are(lab: Racks, route: Route, version: int) -> None:
    one, two = route.client.address(version), route.server.address(version)
    with lab.outside.packet_socket("tor2") as sniffer:
        route.client.ping(two)
        assert receive(sniffer, lambda frame: ends_of(frame) == one.packed + two.packed)


def test_a_policy_holds_across_racks(lab: Racks, route: Route, tmp_path: Path) -> None:
    """By identity, and whoever is refused is told by which policy."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    lab.netctl("node3", "policy", "import", "--wait", str(file))
    try:
        lab.pod("busybox2").ping(route.server.ipv4)
        lab.pod("busybox2").ping(route.server.ipv6)
        assert route.client.answers_nothing(route.server.ipv4)
        drop = the_last(lab, "node3", *between(route.client, route.server, "--type", "drop"))
        assert "only-from-two" in json.dumps(drop)
    finally:
        lab.netctl("node3", "policy", "delete", "only-from-two")
    lab.pod("busybox1").ping(route.server.ipv4)


def test_a_prefix_is_reached_by_both_cables(lab: Racks) -> None:
    answer = json.loads(lab.netctl("node1", "route", "list", "--learned", "-o", "json"))
    via = {row["prefix"]: row["via"] for row in answer["routes"]}
    assert via["10.244.3.0/24"] == CABLES_4
    assert answer["learned"]["refused"] == 0


def test_connections_are_spread_over_both_cables(lab: Racks, route: Route) -> None:
    """By their ports: datagrams of one pod to another take different cables."""

    def sent() -> list[int]:
        links = json.loads(lab.node("node1").run("ip", "-j", "-s", "link", "show"))
        return [link["stats64"]["tx"]["packets"] for link in links if link["ifname"] in ("eth0", "eth1")]

    with route.server.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((str(route.server.ipv4), 0))
        before = sent()
        for _ in range(40):
            with route.client.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for _ in range(10):
                    client.sendto(b"x", server.getsockname())
        grown = [after - earlier for earlier, after in zip(before, sent(), strict=True)]
    assert min(grown) > 80


@BOTH
def test_a_node_speaks_to_pods_of_the_other_rack_with_its_own_address(lab: Racks, version: int) -> None:
    """Which stands on no cable, and by which every node knows it."""
    pod = lab.pod("busybox3")
    lab.node("node1").ping(pod.address(version))
    said = lab.node("node1").run("ip", f"-{version}", "route", "get", str(pod.address(version)))
    assert f"src {lab.underlay('node1', version)}" in said


@BOTH
def test_a_walk_crosses_the_racks_by_cables(lab: Racks, route: Route, version: int) -> None:
    """Out by the one that routes choose, in by one that leads back."""
    walked = walk(lab, "node1", route.client.name, str(route.server.address(version)))
    devices = [(hop["node"], hop["device"]) for hop in walked["hops"] if hop["device"].startswith("eth")]
    assert walked["outcome"]["fate"] == "delivered"
    assert {node for node, _ in devices} == {"node1", "node3"}
    cut = lab.lab.topology.node("node3").cables[0]
    fabric.cut(lab.lab.topology, lab.lab.topology.node("node3"), cut)
    try:
        assert wait_until(lambda: len(lab.hops("node3", "10.244.1.0/24")) == 1, WITHIN_S)
        walked = walk(lab, "node1", route.client.name, str(route.server.address(version)))
        assert ("node3", "eth1") in [(hop["node"], hop["device"]) for hop in walked["hops"]]
    finally:
        fabric.mend(lab.lab.topology, lab.lab.topology.node("node3"), cut)
        lab.wait_whole()


def test_nodes_are_reached_natively(lab: Racks) -> None:
    assert {view["way"] for view in lab.lab.api("node1", "/v1/nodes") if not view["local"]} == {"native"}


def test_a_cable_that_is_cut_costs_next_to_nothing(
    lab: Racks, route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    """And both are used again when it is mended."""
    topology = lab.lab.topology
    node = topology.node("node1")
    for cable in node.cables:
        with under_load([route]) as account:
            fabric.cut(topology, node, cable)
            assert wait_until(lambda: len(lab.hops("node1", "10.244.3.0/24")) == 1, WITHIN_S)
            fabric.mend(topology, node, cable)
            lab.wait_whole()
        tell(capsys, f"cable {cable.device} of node1 cut and mended", account)
        assert account.lost < account.pings / 100
    assert any(event["kind"] == "link.down" for event in lab.ask("node1", "events")["events"])


def test_nothing_is_lost_when_a_speaker_dies(lab: Racks, route: Route, capsys: pytest.CaptureFixture[str]) -> None:
    """Its routes stand at both ends until the next one has told everything."""
    before = lab.speaker("node1")
    with under_load([route]) as account:
        lab.kill_speaker("node1")
        assert wait_until(lambda: lab.speaker("node1") not in (before, None), WITHIN_S)
        lab.wait_whole()
    tell(capsys, "gobgpd of node1 killed", account)
    assert account.trouble == []


def test_nothing_is_lost_when_an_agent_dies(lab: Racks, route: Route, capsys: pytest.CaptureFixture[str]) -> None:
    """Sessions do not even notice."""
    speaker = lab.speaker("node1")
    flaps = routers.vtysh(lab.tor("tor1"), "show bgp neighbors 172.20.1.2 json")
    with under_load([route]) as account:
        lab.lab.kill_agent("node1")
        lab.lab.start_agent("node1")
        lab.wait_whole()
    tell(capsys, "agent of node1 killed and started", account)
    assert account.trouble == []
    assert lab.speaker("node1") == speaker

    def dropped(text: str) -> int:
        found: int = json.loads(text)["172.20.1.2"]["connectionsDropped"]
        return found

    assert dropped(routers.vtysh(lab.tor("tor1"), "show bgp neighbors 172.20.1.2 json")) == dropped(flaps)


def test_routes_come_back_with_a_router(lab: Racks) -> None:
    lab.lab.kill_router("tor1", "bgpd")
    assert wait_until(lambda: lab.established("node1") == 0, WITHIN_S)
    lab.lab.start_router("tor1", "bgpd")
    lab.wait_whole()
    lab.pod("busybox1").ping(lab.pod("busybox3").ipv4)


def test_a_peer_that_flaps_leaves_nothing_behind(lab: Racks) -> None:
    """Fifty times: afterwards all is as it was."""
    speaker = lab.speaker("node1")
    for _ in range(50):
        routers.vtysh(lab.tor("tor1"), "clear bgp 172.20.1.2")
    lab.wait_whole()
    assert lab.speaker("node1") == speaker


def test_default_routes_and_own_prefixes_are_not_learnt(lab: Racks) -> None:
    tor = lab.tor("tor1")
    family = ("configure terminal", "router bgp 65000", "address-family ipv4 unicast")
    routers.vtysh(tor, *family, "neighbor 172.20.1.2 default-originate")
    try:
        sent = routers.vtysh(tor, "show bgp ipv4 unicast neighbors 172.20.1.2 advertised-routes json")
        assert wait_until(lambda: "0.0.0.0/0" in sent or lab.peers("node1")["172.20.1.1"]["received"] > 3, WITHIN_S)
        lab.netctl("node1", "bgp", "routes", "available")
        shown = lab.node("node1").run("ip", "route", "show", "proto", two_racks.LEARNED)
        assert "default" not in shown
        assert "10.244.1.0/24" not in shown
    finally:
        routers.vtysh(tor, *family, "no neighbor 172.20.1.2 default-originate")


def test_ten_thousand_routes_come_and_go_under_way(
    lab: Racks, route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    """A peer that tells of more than it may is cut off, with its reason; the others' routes stay."""

    def limit(config: dict[str, Any]) -> None:
        peers_of(config, "node1")[0]["max_prefixes"] = 100

    lab.restart("node1", limit)
    lab.wait_whole()
    tor = lab.tor("tor1")
    lines = [f"blackhole 10.244.{128 + at // 256}.{at % 256} proto {GIVEN_PROTOCOL}" for at in range(MANY)]
    spreading = ("configure terminal", "router bgp 65000", "address-family ipv4 unicast")
    ip_batch(tor.netns, [f"route add {line}" for line in lines])
    try:
        with under_load([route]) as account:
            routers.vtysh(tor, *spreading, "redistribute kernel")
            assert wait_until(lambda: lab.learned("node1") >= MANY and lab.learned("node3") >= MANY, WITHIN_S)
            assert wait_until(lambda: lab.peers("node1")["172.20.1.1"]["state"] != "established", WITHIN_S)
            assert "prefix" in lab.peers("node1")["172.20.1.1"]["last_error"]
            assert lab.peers("node1")["172.20.1.5"]["state"] == "established"
            routers.vtysh(tor, *spreading, "no redistribute kernel")
            assert wait_until(lambda: lab.learned("node1") == lab.learned("node3") == 3, WITHIN_S)
        tell(capsys, f"{MANY} routes learnt and withdrawn", account)
        assert account.lost < account.pings / 100
    finally:
        ip_batch(tor.netns, [f"route delete {line}" for line in lines])
        lab.restart("node1")
    lab.wait_whole()


def test_a_wrong_as_is_told(lab: Racks) -> None:
    def wrong(config: dict[str, Any]) -> None:
        peers_of(config, "node2")[0]["remote_as"] = 65099

    lab.restart("node2", wrong)
    try:
        assert wait_until(lambda: "65000" in lab.peers("node2")["172.20.2.1"]["last_error"], WITHIN_S)
        assert lab.peers("node2")["172.20.2.1"]["state"] != "established"
        assert "65000" in lab.netctl("node2", "bgp", "peers")
    finally:
        lab.restart("node2")
    lab.wait_whole()


def test_a_node_that_is_gone_takes_its_routes_along(lab: Racks) -> None:
    """Once its neighbours have waited for it as long as was agreed, or it says farewell."""
    lab.lab.stop_agent("node4")
    tor = lab.tor("tor2")
    for address in ("172.20.4.2", "172.20.4.6"):
        routers.vtysh(tor, "configure terminal", "router bgp 65000", f"neighbor {address} shutdown")
    try:
        assert wait_until(lambda: lab.hops("node1", "10.244.4.0/24") == [], WITHIN_S)
    finally:
        for address in ("172.20.4.2", "172.20.4.6"):
            routers.vtysh(tor, "configure terminal", "router bgp 65000", f"no neighbor {address} shutdown")
        lab.lab.start_agent("node4")
    lab.wait_whole()
