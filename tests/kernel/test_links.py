"""Links: kept as wanted, put right when somebody changed ours, and never touched when they are somebody else's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netloom.edge import requests
from netloom.edge.netlink import Netlink
from netloom.edge.ownership import LINK_GROUP
from netloom.model.errors import Conflict, Invalid, KernelError
from netloom.plugins.contract import DeviceSpec
from support.netns import Namespace

pytestmark = pytest.mark.kernel

VXLAN = DeviceSpec(
    name="loom_vxlan",
    kind="vxlan",
    attributes={"vxlan_collect_metadata": 1, "vxlan_port": 8472, "vxlan_learning": 0},
)


def pair(netlink: Netlink, mtu_bytes: int = 1450) -> int:
    return netlink.ensure_veth_pair("loom_host", "loom_net", mtu_bytes=mtu_bytes).ifindex


def test_a_pair_is_up_without_arp_and_carries_our_marks_on_both_ends(netlink: Netlink) -> None:
    pair(netlink)
    found = [netlink.require_link(name) for name in ("loom_host", "loom_net")]
    assert [(link.up, link.noarp, link.mtu_bytes, link.alias, link.group) for link in found] == [
        (True, True, 1450, "netloom:n1", LINK_GROUP)
    ] * 2


def test_a_pair_makes_no_ipv6_address_by_itself(netns: Namespace, netlink: Netlink) -> None:
    pair(netlink)
    assert netns.run("ip", "-6", "address", "show") == ""


def test_asking_again_leaves_the_pair_alone(netlink: Netlink) -> None:
    assert pair(netlink) == pair(netlink)


@pytest.mark.parametrize(
    "change", [["mtu", "1300"], ["arp", "on"], ["down"], ["alias", "netloom:n1"]], ids=lambda words: words[0]
)
def test_a_changed_pair_is_put_right_in_place(netns: Namespace, netlink: Netlink, change: list[str]) -> None:
    before = pair(netlink)
    wanted = netlink.require_link("loom_host")
    netns.run("ip", "link", "set", "loom_host", *change)
    assert (pair(netlink), netlink.require_link("loom_host")) == (before, wanted)


def test_a_pair_torn_apart_is_made_anew(netns: Namespace, netlink: Netlink) -> None:
    pair(netlink)
    netns.run("ip", "link", "set", "loom_net", "name", "elsewhere")
    pair(netlink)
    ends = netlink.require_link("loom_host"), netlink.require_link("loom_net")
    assert ends[0].peer_ifindex == ends[1].ifindex


def test_a_pair_left_without_alias_by_a_killed_agent_is_taken_over(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "loom_host", "group", str(LINK_GROUP), "type", "bridge")
    pair(netlink)
    assert netlink.require_link("loom_host").kind == "veth"


def test_a_foreign_device_of_the_name_is_named_and_stays(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "loom_host", "type", "bridge")
    before = netlink.link("loom_host")
    with pytest.raises(Conflict, match=r'"loom_host" exists already and was not made by Netloom \(kind bridge\)'):
        pair(netlink)
    assert netlink.link("loom_host") == before


def test_a_device_of_another_node_is_named_and_stays(netns: Namespace, netlink: Netlink) -> None:
    pair(netlink)
    with netns.call(Netlink, "n2") as other, pytest.raises(Conflict, match='belongs to "netloom:n1"'):
        pair(other)


def test_a_device_gets_its_kind_and_attributes(netns: Namespace, netlink: Netlink) -> None:
    link = netlink.ensure_device(VXLAN)
    assert (link.kind, link.up, link.alias) == ("vxlan", True, "netloom:n1")
    text = netns.run("ip", "-details", "link", "show", "loom_vxlan")
    assert all(word in text for word in ("vxlan external", "dstport 8472", "nolearning"))


def test_asking_again_leaves_the_device_alone(netlink: Netlink) -> None:
    assert netlink.ensure_device(VXLAN) == netlink.ensure_device(VXLAN)


def test_a_device_with_other_attributes_is_made_anew(netns: Namespace, netlink: Netlink) -> None:
    netlink.ensure_device(VXLAN)
    netlink.ensure_device(replace(VXLAN, attributes={**VXLAN.attributes, "vxlan_port": 4789}))
    assert "dstport 4789" in netns.run("ip", "-details", "link", "show", "loom_vxlan")


def test_a_device_keeps_to_its_mtu(netns: Namespace, netlink: Netlink) -> None:
    spec = replace(VXLAN, mtu_bytes=1400)
    netlink.ensure_device(spec)
    netns.run("ip", "link", "set", "loom_vxlan", "mtu", "1300")
    assert netlink.ensure_device(spec).mtu_bytes == 1400


def test_a_foreign_device_in_the_kernels_place_is_a_conflict(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "foreign", "type", "vxlan", "external", "dstport", "8472")
    with pytest.raises(Conflict, match="another device of this node has its place"):
        netlink.ensure_device(VXLAN)


def test_an_attribute_the_kind_does_not_have_is_invalid(netlink: Netlink) -> None:
    with pytest.raises(Invalid, match=r"vxlan_colour; known are .*vxlan_port"):
        netlink.ensure_device(replace(VXLAN, attributes={"vxlan_colour": 1}))


def test_a_kind_the_kernel_does_not_have_is_told_in_its_words(netlink: Netlink) -> None:
    with pytest.raises(KernelError, match="Unknown device type"):
        netlink.ensure_device(DeviceSpec(name="loom_x", kind="nosuchkind"))


def test_deleting_says_whether_there_was_something(netlink: Netlink) -> None:
    pair(netlink)
    assert [netlink.delete_link("loom_host") for _ in range(2)] == [True, False]


def test_a_foreign_link_is_not_deleted(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "foreign", "type", "bridge")
    with pytest.raises(Conflict, match='"foreign"'):
        netlink.delete_link("foreign")
    assert netlink.link("foreign") is not None


def test_own_links_are_those_of_this_node(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "foreign", "type", "bridge")
    netns.run("ip", "link", "add", "loom_other", "group", str(LINK_GROUP), "type", "bridge")
    netns.run("ip", "link", "set", "loom_other", "alias", "netloom:n2")
    pair(netlink)
    assert {link.name for link in netlink.own_links()} == {"loom_host", "loom_net"}


def test_deleting_all_links_leaves_those_of_another_node(netns: Namespace, netlink: Netlink) -> None:
    pair(netlink)
    netns.run("ip", "link", "add", "loom_other", "group", str(LINK_GROUP), "type", "bridge")
    netns.run("ip", "link", "set", "loom_other", "alias", "netloom:n2")
    netlink.delete_own_links()
    assert (netlink.link("loom_host"), netlink.link("loom_other") is not None) == (None, True)


def test_deleting_all_links_leaves_unmarked_ones(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "foreign", "type", "bridge")
    netlink.ensure_device(VXLAN)
    assert [link.name for link in netlink.delete_own_links()] == ["loom_vxlan"]
    assert netlink.link("foreign") is not None


def test_many_links_are_listed_whole(netns: Namespace, netlink: Netlink) -> None:
    lines = "".join(f"link add d{number} group {LINK_GROUP} type bridge\n" for number in range(300))
    netns.run("ip", "-batch", "-", stdin=lines)
    assert len(netlink.own_links()) == 300


def test_a_thousand_requests_at_once_are_all_answered(netlink: Netlink) -> None:
    answers = netlink.socket.batch(requests.get_link("lo") for _ in range(1000))
    assert [len(answer) for answer in answers] == [1] * 1000


def test_the_first_refusal_of_a_batch_is_told_and_the_rest_is_done(netlink: Netlink) -> None:
    ifindex = netlink.require_link("lo").ifindex
    batch = [requests.set_mtu("gone", 4711, 1400), requests.set_mtu("lo", ifindex, 1400)]
    with pytest.raises(KernelError, match='change link "gone": No such device'):
        netlink.socket.batch(batch)
    assert netlink.require_link("lo").mtu_bytes == 1400


def test_a_device_without_ethernet_says_so(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    link = netlink.require_link("tun0")
    assert (link.ethernet, link.mac, link.kind) == (False, b"", "tun")
