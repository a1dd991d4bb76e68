"""Racks of a lab: what is plugged in where, and what FRR and BIRD are told of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netloom.lab import bird_config, frr_config
from netloom.lab.node_config import render
from netloom.lab.racks import CABLES_V4, CABLES_V6, RackSpec, tor_of
from netloom.lab.routers import Session, adapted, bird_sessions
from netloom.lab.topology import MAX_NODES, LabSpec, lay_out
from netloom.model.errors import Invalid

SPEC = LabSpec(name="x", nodes=3, racks=(RackSpec(name="a", nodes=2), RackSpec(name="b", nodes=1)))
TOPOLOGY = lay_out(SPEC)


def test_nodes_are_numbered_through_all_racks() -> None:
    assert [(node.name, node.rack) for node in TOPOLOGY.nodes] == [("node1", "a"), ("node2", "a"), ("node3", "b")]
    assert [(tor.name, tor.rack) for tor in TOPOLOGY.tors] == [("tor1", "a"), ("tor2", "b")]
    assert [node.name for node in TOPOLOGY.rack(TOPOLOGY.tor("tor1"))] == ["node1", "node2"]


def test_a_cable_is_a_network_of_its_own_written_alike_in_both_families() -> None:
    first, second = TOPOLOGY.node("node2").cables
    assert (str(first.tor_ipv4), str(first.node_ipv4)) == ("172.20.2.1/30", "172.20.2.2/30")
    assert (str(second.tor_ipv4), str(second.node_ipv4)) == ("172.20.2.5/30", "172.20.2.6/30")
    assert (str(second.tor_ipv6), str(second.node_ipv6)) == ("fd00:20:2:2::1/126", "fd00:20:2:2::2/126")


def test_no_two_cables_of_the_largest_lab_share_an_address() -> None:
    """Nor does one of them lie outside of what filters take for cables."""
    spec = LabSpec(nodes=MAX_NODES, racks=(RackSpec(name="a", nodes=MAX_NODES),), uplinks=8)
    cables = [cable for node in lay_out(spec).nodes for cable in node.cables]
    assert len({cable.tor_ipv4.network for cable in cables}) == len({cable.tor_ipv6.network for cable in cables}) == 320
    assert all(cable.tor_ipv4 in CABLES_V4 and cable.tor_ipv6 in CABLES_V6 for cable in cables)
    assert tor_of("x", RackSpec(name="a"), 16, 1).ipv4.ip not in {cable.tor_ipv4.ip for cable in cables}


def test_racks_that_hold_other_numbers_of_nodes_are_refused() -> None:
    with pytest.raises(Invalid, match="3 nodes cannot be spread over racks that hold 2"):
        LabSpec(nodes=3, racks=(RackSpec(name="a"),))


def test_a_node_of_a_rack_is_told_its_cables_its_address_and_its_labels() -> None:
    text = render(TOPOLOGY, TOPOLOGY.node("node3"), {"node": {"labels": {"disk": "fast"}}})
    assert "uplinks:\n  - eth1" in text
    assert "underlay_ipv4: 192.168.77.13\n  underlay_ipv6: fd00:77::13" in text
    assert "labels:\n    disk: fast\n    name: node3\n    rack: b" in text


def test_places_of_a_lab_with_racks_have_names() -> None:
    assert TOPOLOGY.namespace_of("tor2") == "x-tor2"
    assert TOPOLOGY.namespace_of("reflector") == TOPOLOGY.namespace_of("underlay") == "x-underlay"
    with pytest.raises(Invalid, match="no pod"):
        lay_out(LabSpec()).namespace_of("reflector")


@pytest.mark.parametrize(
    ("where", "given", "expected"),
    [
        ("tor1", ["vtysh", "-c", "show bgp"], ["vtysh", "-N", "x-tor1", "-c", "show bgp"]),
        ("tor1", ["vtysh", "-N", "y"], ["vtysh", "-N", "y"]),
        ("node1", ["vtysh"], ["vtysh"]),
        ("reflector", ["birdc", "show"], ["birdc", "-s", "/run/netloom-lab/x/bird.ctl", "show"]),
        ("tor1", ["ip", "route"], ["ip", "route"]),
    ],
)
def test_shells_of_routers_are_told_which_router_is_meant(where: str, given: list[str], expected: list[str]) -> None:
    assert adapted(TOPOLOGY, where, given) == expected


@pytest.mark.skipif(shutil.which("vtysh") is None, reason="FRR is not installed")
def test_frr_understands_what_it_is_told(tmp_path: Path) -> None:
    """Its own check, which needs no daemon."""
    file = tmp_path / "frr.conf"
    file.write_text(frr_config.render(TOPOLOGY, TOPOLOGY.tor("tor1")))
    done = subprocess.run(["vtysh", "-C", "-f", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("bird") is None, reason="BIRD is not installed")
def test_bird_understands_what_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "bird.conf"
    file.write_text(bird_config.render(TOPOLOGY))
    done = subprocess.run(["bird", "-p", "-c", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_sessions_of_the_reflector_are_read_from_what_birdc_shows() -> None:
    shown = """BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     01:36:18.981
tor1_v4    BGP        ---        up     01:36:20.228  Established
  Channel ipv4
    Routes:         6 imported, 6 exported, 6 preferred
tor1_v6    BGP        ---        start  01:36:22.230  Active        Socket: Connection refused
"""
    assert bird_sessions(shown) == [
        Session(router="reflector", peer="tor1", family="ipv4", state="Established", received=6),
        Session(router="reflector", peer="tor1", family="ipv6", state="Active", received=0),
    ]
