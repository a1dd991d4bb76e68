"""The underlay of a lab, with nothing on the nodes yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.edge.netns import delete_named_netns
from netloom.lab import underlay
from netloom.lab.inside import CommandError, ip_batch, output_of, run_in
from netloom.lab.journal import Journal
from netloom.lab.topology import LabSpec, Topology, lay_out
from support.leaks import MARK

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    layout = lay_out(LabSpec(name=f"{MARK}u", pods_per_node=1))
    journal = Journal(tmp_path_factory.mktemp("lab") / "journal")
    try:
        underlay.build(layout, journal)
        yield layout
    finally:
        for name in journal.read().namespaces:
            delete_named_netns(name)


@pytest.mark.parametrize("target", ["192.168.77.12", "fd00:77::12", "192.168.77.1", "203.0.113.10", "2001:db8:77::10"])
def test_a_node_reaches_other_nodes_gateway_and_outside(topology: Topology, target: str) -> None:
    """In both families, from the first packet on."""
    output_of(topology.node("node1").netns, ["ping", "-c", "1", "-W", "2", target])


def test_a_node_that_is_unplugged_is_reached_no_more(topology: Topology) -> None:
    """Until it is plugged in again."""
    node = topology.node("node1")
    underlay.unplug(topology, node)
    assert run_in(node.netns, ["ping", "-c", "1", "-W", "1", "192.168.77.12"]).returncode != 0
    underlay.plug(topology, node)
    output_of(node.netns, ["ping", "-c", "1", "-W", "2", "192.168.77.12"])


def test_the_hosts_own_network_is_as_before(topology: Topology) -> None:
    """Everything happens in the lab's namespaces."""
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    assert not links & {underlay.BRIDGE, *(node.port for node in topology.nodes)}


def test_a_failing_command_is_reported_with_its_words(topology: Topology) -> None:
    """The line of the batch, and what ip said."""
    with pytest.raises(CommandError, match="Command failed -:1"):
        ip_batch(topology.underlay_netns, ["link set nothing up"])


def test_commands_see_the_mounts_of_the_machine(topology: Topology) -> None:
    """``ip netns exec`` would mount another /sys, and hide the pinned maps."""
    own = Path("/proc/self/ns/mnt").readlink()
    assert output_of(topology.node("node1").netns, ["readlink", "/proc/self/ns/mnt"]).strip() == str(own)
