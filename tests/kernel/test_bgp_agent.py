"""The BGP plugin under a real agent: what it learns stands in the kernel, and people are told of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from netloom.lab.inside import program
from netloom_bgp.speaker import Speaker
from support.frr import Frr, wait_for
from support.netns import namespaces
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel

PREFIX, PREFIX6, DEFAULT = "198.51.100.0/24", "2001:db8:51::/48", "0.0.0.0/0"
CONFIG = """\
  bgp:
    local_as: 65001
    peers:
      - {address: 192.168.78.2, remote_as: 65002}
      - {address: "fd00:78::2", remote_as: 65002}
"""
FRR = """\
router bgp 65002
 bgp router-id 192.168.78.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 neighbor 192.168.78.11 remote-as 65001
 neighbor 192.168.78.11 timers connect 1
 neighbor fd00:78::11 remote-as 65001
 neighbor fd00:78::11 timers connect 1
 address-family ipv4 unicast
  network 198.51.100.0/24
  network 127.5.0.0/16
  no neighbor fd00:78::11 activate
 address-family ipv6 unicast
  network 2001:db8:51::/48
  neighbor fd00:78::11 activate
"""


class Rack(NamedTuple):
    """A node with its agent, and the router behind its underlay device."""

    node: NodeUnderTest
    frr: Frr

    def netctl(self, *words: str) -> Any:
        """What ``netctl`` of the node says for programs."""
        socket = ("--socket", str(self.node.socket))
        return json.loads(self.node.netns.run(str(program("netctl")), *socket, *words, "-o", "json"))

    def learned(self) -> dict[str, dict[str, Any]]:
        """Learnt routes as the API tells them, by prefix."""
        return {one["prefix"]: one for one in self.node.get("/v1/routes?learned=true")["routes"]}

    def in_kernel(self) -> set[str]:
        """Learnt routes that the node's kernel has."""
        shown = [self.node.netns.run("ip", f"-{family}", "-j", "route", "show", "proto", "77") for family in (4, 6)]
        return {route["dst"] for text in shown for route in json.loads(text or "[]")}


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The module's tests share an agent; the end of the run is where all must be gone."""


@pytest.fixture(scope="module")
def rack(_nothing_left_by_the_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    with namespaces() as make:
        node, router = NodeUnderTest(tmp_path_factory.mktemp("rack"), make), make("tor")
        node.netns.run("ip", "link", "set", "uplink", "netns", router.name)
        for words in (("address", "add", "192.168.78.2/24", "dev", "uplink"),
                      ("address", "add", "fd00:78::2/64", "dev", "uplink", "nodad"),
                      ("link", "set", "lo", "up"), ("link", "set", "uplink", "up")):  # fmt: skip
            router.run("ip", *words)
        frr = Frr(router, FRR)
        try:
            node.write_config(more=CONFIG)
            node.start()
            found = Rack(node, frr)
            wait_for(lambda: found.in_kernel() == {PREFIX, PREFIX6}, "learnt routes in the kernel")
            yield found
        finally:
            frr.close()
            node.close()
            node.netns.call(end_speaker, node.directory / "run/n1/bgp")


def end_speaker(directory: Path) -> None:
    """The agent was killed; its gobgpd goes on."""
    speaker = Speaker(directory, None)
    if speaker.running() and speaker.pid is not None:
        os.kill(speaker.pid, signal.SIGKILL)
        wait_for(lambda: not speaker.running(), "gobgpd ends")


def test_learnt_routes_are_told_with_who_told_them_and_what_became_of_them(rack: Rack) -> None:
    """By the API and by netctl alike; what cannot be written is told with its reason."""
    learned = rack.learned()
    assert {(one["origin"], one["state"]) for name, one in learned.items() if name in (PREFIX, PREFIX6)} == {
        ("bgp", "written")
    }
    assert (learned[PREFIX]["via"], learned[PREFIX6]["via"]) == (["192.168.78.2"], ["fd00:78::2"])
    assert "loopback" in learned["127.5.0.0/16"]["state"]
    assert rack.netctl("route", "list", "--learned")["routes"] == list(learned.values())
    assert learned.keys() <= {one["prefix"] for one in rack.netctl("route", "list")["routes"]}


def test_the_routers_kernel_has_the_nodes_prefixes(rack: Rack) -> None:
    wait_for(lambda: rack.frr.routes() == ["10.244.1.0/24"], "announced")
    wait_for(lambda: rack.frr.routes(6) == ["fd00:10:244:1::/64"], "announced, IPv6")
    assert [one["prefix"] for one in rack.netctl("bgp", "routes", "advertised")["routes"]] == [
        "10.244.1.0/24", "fd00:10:244:1::/64",
    ]  # fmt: skip


def test_an_agent_that_starts_again_keeps_learnt_routes(rack: Rack) -> None:
    """In the kernel throughout, and in what it tells; the speaker is the same."""
    before = rack.netctl("bgp", "peers")["speaker"]["pid"]
    rack.node.stop(signal.SIGKILL)
    assert rack.in_kernel() == {PREFIX, PREFIX6}
    rack.node.start()
    wait_for(lambda: rack.learned().keys() >= {PREFIX, PREFIX6}, "learnt again")
    assert rack.in_kernel() == {PREFIX, PREFIX6}
    assert rack.netctl("bgp", "peers")["speaker"]["pid"] == before


def test_netctl_answers_while_gobgpd_dies(rack: Rack) -> None:
    """Over and over, until the next one has its sessions: never an error."""
    os.kill(rack.netctl("bgp", "peers")["speaker"]["pid"], signal.SIGKILL)
    states: set[str] = set()

    def established() -> bool:
        shown = rack.netctl("bgp", "peers")
        states.add(shown["speaker"]["state"])
        return all(one["state"] == "established" for one in shown["peers"])

    wait_for(established, "sessions stand again", 60)
    assert "running" in states
    assert states <= {"running", "restarting"}
    assert rack.in_kernel() == {PREFIX, PREFIX6}


def test_a_route_that_is_withdrawn_leaves_the_kernel(rack: Rack) -> None:
    family = ("configure", "router bgp 65002", "address-family ipv4 unicast")
    rack.frr.ask(*family, f"no network {PREFIX}")
    try:
        wait_for(lambda: rack.in_kernel() == {PREFIX6}, "gone from the kernel")
        assert PREFIX not in rack.learned()
    finally:
        rack.frr.ask(*family, f"network {PREFIX}")
