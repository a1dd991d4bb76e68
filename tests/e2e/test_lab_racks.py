"""A lab with racks: it comes up whole, its routers are looked at and restarted, and it goes away without a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.lab import fabric, routers
from netloom.lab import lab as labs
from netloom.lab.agents import wait_until
from netloom.lab.inside import program
from netloom.lab.racks import RackSpec
from netloom.lab.routers import FRR_CONFIG_DIR, FRR_RUN_DIR
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6, LabSpec, files_of
from netloom.model.errors import Unsupported
from support.cluster import WITHIN_S, Cluster
from support.leaks import MARK, look

pytestmark = pytest.mark.e2e

NAME = f"{MARK}r"
SPEC = LabSpec(name=NAME, nodes=2, pods_per_node=1, racks=(RackSpec(name="a", nodes=1), RackSpec(name="b", nodes=1)))
INTERRUPTED = f"{MARK}ri"


@pytest.fixture(scope="module")
def racks() -> Iterator[Cluster]:
    """Two racks of one node, with the overlay: what is proven here is the lab, not a network mode."""
    before = look()
    lab = labs.up(SPEC)
    try:
        yield Cluster(lab)
    finally:
        labs.down(NAME)
    assert look().since(before) == {}
    assert outside_the_lab(NAME) == []


def outside_the_lab(name: str) -> list[Path]:
    """What routers have beside the lab's own directory."""
    return [path for above in (FRR_RUN_DIR, FRR_CONFIG_DIR) for path in above.glob(f"{name}-*")]


def netctl(*argv: str) -> str:
    """What it prints; it must succeed."""
    return subprocess.run(
        [str(program("netctl")), *argv], capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.mark.parametrize("version", [4, 6])
def test_pods_of_two_racks_reach_each_other_and_the_world(racks: Cluster, version: int) -> None:
    one, two = racks.pod("busybox1"), racks.pod("busybox2")
    # Sessions stand a moment before the routes that they bring.
    assert wait_until(lambda: not one.answers_nothing(two.address(version)), WITHIN_S)
    one.ping(OUTSIDE_V4 if version == 4 else OUTSIDE_V6)


@pytest.mark.usefixtures("racks")
def test_status_shows_racks_routers_and_sessions() -> None:
    view = json.loads(netctl("lab", "status", "--name", NAME, "-o", "json"))
    assert [node["rack"] for node in view["nodes"]] == ["a", "b"]
    assert [(one["name"], one["program"]) for one in view["routers"]] == [
        ("reflector", "bird"),
        ("tor1", "frr"),
        ("tor2", "frr"),
    ]
    assert [session["state"] for session in view["routers"][0]["sessions"]] == ["Established"] * 4
    assert "4 of 4" in netctl("lab", "status", "--name", NAME)


@pytest.mark.usefixtures("racks")
def test_shells_of_routers_are_at_hand() -> None:
    """Without a word of which FRR or BIRD of this machine is meant."""
    assert "local AS number 65000" in netctl("lab", "exec", "--name", NAME, "tor1", "vtysh", "-c", "show bgp summary")
    assert "tor2_v6" in netctl("lab", "exec", "--name", NAME, "reflector", "--", "birdc", "show", "protocols")


def test_a_cable_that_is_cut_takes_its_routes_along(racks: Cluster) -> None:
    """Both ends notice, and a pod's packets take the other one; mended, it is as before."""
    topology = racks.lab.topology
    node, tor = topology.node("node1"), topology.tor("tor1")

    def hops() -> int:
        routes = json.loads(routers.vtysh(tor, f"show ip route {node.ipv4.ip}/32 json"))
        return sum(hop.get("fib", False) for hop in routes[f"{node.ipv4.ip}/32"][0]["nexthops"])

    assert hops() == 2
    fabric.cut(topology, node, node.cables[0])
    try:
        assert wait_until(lambda: hops() == 1, WITHIN_S)
        racks.pod("busybox1").ping(racks.pod("busybox2").ipv4)
        racks.pod("busybox1").ping(racks.pod("busybox2").ipv6)
    finally:
        fabric.mend(topology, node, node.cables[0])
    assert wait_until(lambda: hops() == 2, WITHIN_S)


@pytest.mark.parametrize(("router", "daemon"), [("tor1", "bgpd"), ("reflector", "")])
def test_a_router_that_died_is_started_again(racks: Cluster, router: str, daemon: str) -> None:
    lab = racks.lab
    lab.kill_router(router, daemon)
    assert not all(session.established for session in routers.sessions(lab.topology) if session.router != "tor2")
    lab.start_router(router, daemon)
    assert all(session.established for session in routers.wait_established(lab.topology, with_nodes=False))


def test_what_an_interrupted_lab_has_begun_is_taken_away() -> None:
    """Routers run and have directories of their own when its making is killed."""
    before = look()
    script = f"""
import os, signal
from netloom.lab import lab, routers
from netloom.lab.racks import RackSpec
from netloom.lab.topology import LabSpec
routers.configure = lambda tor: os.kill(os.getpid(), signal.SIGKILL)
lab.up(LabSpec(name="{INTERRUPTED}", nodes=1, pods_per_node=1, racks=(RackSpec(name="a", nodes=1),)))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(outside_the_lab(INTERRUPTED)) == 2
    labs.down(INTERRUPTED)
    assert outside_the_lab(INTERRUPTED) == []
    assert not files_of(INTERRUPTED).directory.exists()
    assert look().since(before) == {}


def test_racks_without_frr_are_refused_with_the_packages_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the lab stays."""
    monkeypatch.setattr(routers, "FRR_PROGRAMS", Path("/nowhere"))
    with pytest.raises(Unsupported, match="apt-get install frr bird2"):
        labs.up(LabSpec(name=INTERRUPTED, nodes=1, racks=(RackSpec(name="a", nodes=1),)))
    assert not files_of(INTERRUPTED).directory.exists()
    assert os.path.lexists(FRR_RUN_DIR)
