"""A native node's uplinks: programs on each, one that goes and comes back, and those that cannot be."""

from __future__ import annotations

import json

import pytest

from netloom.agent.uplinks import MAX_UPLINKS
from support.attached import ours_on
from support.node import NodeUnderTest, wait_until

pytestmark = pytest.mark.kernel


@pytest.fixture
def node(node: NodeUnderTest) -> NodeUnderTest:
    """With eth1 beside eth0."""
    add_eth1(node)
    choose(node, "eth1")
    return node


def add_eth1(node: NodeUnderTest) -> None:
    node.netns.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "uplink1")
    node.netns.run("ip", "address", "add", "192.168.79.11/24", "dev", "eth1")
    node.netns.run("ip", "link", "set", "eth1", "up")


def choose(node: NodeUnderTest, *uplinks: str) -> None:
    """Native mode by eth0 and these."""
    node.write_config(more="network_mode: native\n")
    text = node.config.read_text()
    node.config.write_text(
        text.replace("underlay_device: eth0", f"underlay_device: eth0, uplinks: [{', '.join(uplinks)}]")
    )


def known_to_programs(node: NodeUnderTest) -> list[int]:
    (entry,) = node.get("/v1/maps/node_config")["entries"]
    found: list[int] = entry["value"]["uplinks"]
    return found


def index_of(node: NodeUnderTest, device: str) -> int:
    found: int = json.loads(node.netns.run("ip", "-j", "link", "show", device))[0]["ifindex"]
    return found


def programs(node: NodeUnderTest, device: str) -> list[str]:
    """Ours on a device, ingress then egress."""
    return [found.name for hook in ("ingress", "egress") for found in ours_on(node.netns.path, device, hook)]


def test_every_uplink_has_the_programs_and_one_that_is_none_any_more_has_not(node: NodeUnderTest) -> None:
    node.start()
    assert len(programs(node, "eth0")) == len(programs(node, "eth1")) == 2
    underlay = node.get("/v1/status")["underlay"]
    assert underlay["segments"] == ["192.168.78.0/24", "fd00:78::/64", "192.168.79.0/24"]
    node.stop()
    choose(node)
    node.start()
    assert (len(programs(node, "eth0")), programs(node, "eth1")) == (2, [])


def test_an_uplink_that_comes_back_is_taken_up_again(node: NodeUnderTest) -> None:
    """As another device of the same name, of which the programs are told."""
    node.start()
    node.netns.run("ip", "link", "delete", "eth1")
    away = {"name": "eth1", "state": "away"}
    assert wait_until(lambda: away in node.get("/v1/status")["underlay"]["uplinks"])
    add_eth1(node)
    assert wait_until(lambda: len(programs(node, "eth1")) == 2)
    assert wait_until(lambda: known_to_programs(node) == [index_of(node, "eth0"), index_of(node, "eth1")])


def test_a_device_that_is_not_ethernet_is_refused_by_name(node: NodeUnderTest) -> None:
    node.netns.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    choose(node, "tun0")
    status, words = node.refusal()
    assert status == 1
    assert 'underlay device "tun0" (node.underlay_device, node.uplinks) is not Ethernet' in words


def test_more_devices_than_the_programs_know_are_refused(node: NodeUnderTest) -> None:
    names = [f"d{number}" for number in range(MAX_UPLINKS)]
    for name in names:
        node.netns.run("ip", "link", "add", name, "type", "bridge")
    choose(node, *names)
    status, words = node.refusal()
    assert status == 1
    assert f"{MAX_UPLINKS + 1} underlay devices" in words
