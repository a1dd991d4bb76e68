"""The direct way of a node: what opens and closes it, and that its program leaves with the agent's word."""

from __future__ import annotations

import pytest

from netloom.agent.direct import DirectWay
from netloom.edge.netlink import Netlink
from netloom.edge.underlay import find_underlay
from netloom.edge.xfrm import policy_count
from netloom.plugins.contract import Tunnel
from support.attached import ours_on
from support.netns import Namespace
from support.node import NodeUnderTest, wait_until

pytestmark = pytest.mark.kernel

TUNNEL = Tunnel(device="loom_vxlan", port=8472, direct=True)
POLICY = ["src", "192.168.78.11/32", "dst", "192.168.78.12/32", "dir", "out"]
TEMPLATE = ["tmpl", "src", "192.168.78.11", "dst", "192.168.78.12", "proto", "esp", "mode", "transport"]


@pytest.fixture
def uplink(netns: Namespace) -> Namespace:
    """A namespace with an underlay device."""
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "far")
    netns.run("ip", "address", "add", "192.168.78.11/24", "dev", "eth0")
    netns.run("ip", "link", "set", "eth0", "up")
    return netns


def test_a_policy_of_ipsec_is_seen(uplink: Namespace) -> None:
    assert uplink.call(policy_count) == 0
    uplink.run("ip", "xfrm", "policy", "add", *POLICY, *TEMPLATE)
    assert uplink.call(policy_count) == 1


def test_ipsec_closes_the_way_and_opens_it_when_it_goes(uplink: Namespace) -> None:
    """What the operator wants encrypted goes by the stack, which does it."""
    netlink = uplink.call(Netlink, "direct")
    way = uplink.call(lambda: DirectWay(netlink, TUNNEL, find_underlay(netlink, "eth0")))
    opened = netlink.require_link("eth0").ifindex
    assert (way.usable, way.ifindex, uplink.call(way.look_again)) == (True, opened, False)
    uplink.run("ip", "xfrm", "policy", "add", *POLICY, *TEMPLATE)
    assert (uplink.call(way.look_again), way.usable, way.ifindex) == (True, True, 0)
    uplink.run("ip", "xfrm", "policy", "delete", *POLICY)
    assert (uplink.call(way.look_again), way.ifindex) == (True, opened)
    uplink.call(netlink.close)


def test_an_underlay_that_is_not_ethernet_has_no_program(uplink: Namespace) -> None:
    uplink.run("ip", "address", "add", "192.168.79.1/24", "dev", "lo")
    netlink = uplink.call(Netlink, "direct")
    way = uplink.call(lambda: DirectWay(netlink, TUNNEL, find_underlay(netlink, "lo")))
    assert (way.usable, way.ifindex, way.obstacle) == (False, 0, "the underlay device is not Ethernet")
    uplink.call(netlink.close)


# --- with an agent ------------------------------------------------------------------------------


def on_underlay(node: NodeUnderTest) -> list[str]:
    """Names of our programs on the underlay device."""
    return [found.name for found in ours_on(node.netns.path, "eth0", "ingress")]


def test_the_agent_puts_its_program_on_the_underlay_and_cleaning_takes_it_off(node: NodeUnderTest) -> None:
    node.start()
    assert len(on_underlay(node)) == 1
    node.stop()
    assert len(on_underlay(node)) == 1
    assert "eth0" in node.clean()
    assert on_underlay(node) == []


def test_an_agent_that_may_no_longer_use_the_way_takes_its_program_off(node: NodeUnderTest) -> None:
    node.start()
    node.stop()
    node.write_config(more="  vxlan: {direct: false}\n")
    node.start()
    assert on_underlay(node) == []


def test_a_running_agent_closes_the_way_for_ipsec(node: NodeUnderTest) -> None:
    node.start()
    assert node.get("/v1/status")["tunnel"] == {"device": "loom_vxlan", "direct": True, "obstacle": ""}
    node.netns.run("ip", "xfrm", "policy", "add", *POLICY, *TEMPLATE)
    assert wait_until(lambda: not node.get("/v1/status")["tunnel"]["direct"])
    assert "IPsec policies (1)" in node.get("/v1/status")["tunnel"]["obstacle"]
