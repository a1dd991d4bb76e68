"""Addresses and a MAC that a runtime asks for, given by a real agent or refused without a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from netloom.cni.request import VALID_ATTACHMENTS
from support.cni import Program, everything, install_relay
from support.netns import Namespace, NamespaceFactory
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel

IPV4, IPV6, MAC = "10.244.1.77", "fd00:10:244:1::77", "02:00:00:00:00:77"
NOTHING: dict[str, Any] = {VALID_ATTACHMENTS: []}
"""What a runtime without containers sends with GC."""
GATEWAYS = ("10.244.1.1", "fd00:10:244:1::1")


@pytest.fixture(scope="module")
def running(shared_node: NodeUnderTest) -> NodeUnderTest:
    return shared_node


@pytest.fixture(scope="module")
def call(running: NodeUnderTest) -> Program:
    """The relay, installed for the node's agent."""
    return install_relay(running.directory, running.socket)


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test(running: NodeUnderTest, call: Program) -> Iterator[None]:
    """What a test attached is taken away; then the node is as before."""
    before = everything(running)
    yield
    assert call("GC", **NOTHING).code == 0
    assert everything(running) == before


def inside(pod: Namespace) -> dict[str, Any]:
    """What the container's interface has."""
    (link,) = json.loads(pod.run("ip", "-j", "address", "show", "eth0"))
    addresses = [found["local"] for found in link["addr_info"] if found["scope"] == "global"]
    return {"addresses": addresses, "mac": link["address"]}


WAYS: list[dict[str, Any]] = [
    {"runtimeConfig": {"ips": [f"{IPV6}/64", f"{IPV4}/24"], "mac": MAC}},
    {"args": {"cni": {"ips": [IPV4, IPV6], "mac": MAC}}},
    {"CNI_ARGS": f"IgnoreUnknown=1;IP={IPV4},{IPV6};MAC={MAC}"},
    {"CNI_ARGS": f"IP={IPV4};MAC={MAC}", "runtimeConfig": {"ips": [f"{IPV4}/32", IPV6], "mac": MAC}},
]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_addresses_and_mac_asked_for_stand_in_result_and_container_and_carry_traffic(
    call: Program, make_netns: NamespaceFactory, way: dict[str, Any]
) -> None:
    pod = make_netns("pod")
    ended = call("ADD", CNI_NETNS=pod.path, **way)
    assert (ended.code, inside(pod)) == (0, {"addresses": [IPV4, IPV6], "mac": MAC}), ended
    assert [ip["address"] for ip in ended.answer["ips"]] == [f"{IPV4}/32", f"{IPV6}/128"]
    assert ended.answer["interfaces"][1]["mac"] == MAC
    for gateway in GATEWAYS:
        assert " 0% packet loss" in pod.run("ping", "-c", "1", "-W", "10", gateway)
    assert call("CHECK", CNI_NETNS=pod.path, prevResult=ended.answer, **way) == (0, None)


def test_of_the_ip_version_nobody_asked_for_any_address_is_given(call: Program, make_netns: NamespaceFactory) -> None:
    pod = make_netns("pod")
    assert call("ADD", CNI_NETNS=pod.path, runtimeConfig={"ips": [IPV6]}).code == 0
    ipv4, ipv6 = inside(pod)["addresses"]
    assert (ipv4.startswith("10.244.1."), ipv6) == (True, IPV6)


def test_what_a_container_had_it_gets_again_at_once(call: Program, make_netns: NamespaceFactory) -> None:
    """A reload: DEL and ADD in the same namespace, though other addresses would be next."""
    pod = make_netns("pod")
    assert call("ADD", CNI_NETNS=pod.path).code == 0
    had = inside(pod)
    for _ in range(3):
        assert call("DEL", CNI_NETNS=pod.path).code == 0
        asked = {"ips": had["addresses"], "mac": had["mac"]}
        assert call("ADD", CNI_NETNS=pod.path, runtimeConfig=asked).code == 0
        assert inside(pod) == had


BAD_WISHES: list[tuple[dict[str, Any], int, str]] = [
    ({"runtimeConfig": {"ips": ["10.244.1"]}}, 7, '"runtimeConfig.ips"'),
    ({"runtimeConfig": {"ips": ["10.244.1.5", "10.244.1.6"]}}, 2, "one IPv4 address"),
    ({"runtimeConfig": {"ips": ["10.244.1.5"]}, "CNI_ARGS": "IP=10.244.1.6"}, 2, "one IPv4 address"),
    ({"runtimeConfig": {"mac": MAC}, "CNI_ARGS": "MAC=02:00:00:00:00:78"}, 2, "one MAC address"),
    ({"runtimeConfig": {"ips": ["10.244.2.5/24"]}}, 4, "10.244.2.5 cannot be given"),
    ({"runtimeConfig": {"ips": [IPV4, "fd00:10:244:2::5"]}}, 4, "fd00:10:244:2::5 cannot be given"),
    ({"runtimeConfig": {"ips": [GATEWAYS[0]]}}, 4, "pods of this node get 10.244.1.2 to 10.244.1.254"),
    ({"CNI_ARGS": f"IP={GATEWAYS[1]}"}, 4, "pods of this node get fd00:10:244:1::2 to "),
    ({"CNI_ARGS": "IP=10.244.1.0"}, 4, "10.244.1.0 cannot be given"),
    ({"CNI_ARGS": "IP=10.244.1.255"}, 4, "10.244.1.255 cannot be given"),
    ({"runtimeConfig": {"mac": "01:00:5e:00:00:01"}}, 7, '"runtimeConfig.mac"'),
    ({"CNI_ARGS": "MAC=00:00:00:00:00:00"}, 4, "MAC of CNI_ARGS"),
]


@pytest.mark.parametrize("bad", BAD_WISHES, ids=lambda bad: str(bad[0])[:60])
def test_what_cannot_be_given_is_refused_and_leaves_nothing(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory, bad: tuple[dict[str, Any], int, str]
) -> None:
    change, code, words = bad
    before = everything(running)
    pod = make_netns("pod")
    ended = call("ADD", CNI_NETNS=pod.path, **change)
    assert (ended.code, words in ended.message) == (code, True), ended
    assert everything(running) == before
    assert "eth0" not in pod.run("ip", "-br", "link")


@pytest.mark.parametrize("restarted", [False, True])
def test_an_address_that_another_container_has_is_refused_with_its_name_and_leaves_nothing(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory, restarted: bool
) -> None:
    """Neither the free one it was asked for with. The agent knows it after a restart, too."""
    owner, pod = make_netns("pod"), make_netns("pod")
    assert call("ADD", "owner", CNI_NETNS=owner.path, runtimeConfig={"ips": [IPV6], "mac": MAC}).code == 0
    if restarted:
        running.stop()
        running.start()
    before = everything(running)
    ended = call("ADD", CNI_NETNS=pod.path, runtimeConfig={"ips": [IPV4, IPV6]})
    assert (ended.code, '"owner/eth0" has it' in ended.message, IPV6 in ended.message) == (101, True, True), ended
    assert everything(running) == before
    assert "eth0" not in pod.run("ip", "-br", "link")
    assert (inside(owner)["addresses"][1], inside(owner)["mac"]) == (IPV6, MAC)
    assert call("ADD", CNI_NETNS=pod.path, runtimeConfig={"ips": [IPV4]}).code == 0
