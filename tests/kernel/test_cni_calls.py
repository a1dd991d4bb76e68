"""CNI calls through the installed relay to a real agent: each command, and what goes wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netloom.cni.frame import MAX_CONFIG_BYTES
from netloom.cni.request import VALID_ATTACHMENTS
from netloom.model.endpoint import Attachment
from support.cni import ENVIRONMENT, Program, everything, install_relay, install_script
from support.netns import Namespace, NamespaceFactory
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel


NOTHING: dict[str, Any] = {VALID_ATTACHMENTS: []}
"""What a runtime without containers sends with GC."""
NETWORKS = ("netloom", "ours", "theirs", "one", "two")


@pytest.fixture(scope="module")
def running(shared_node: NodeUnderTest) -> NodeUnderTest:
    return shared_node


@pytest.fixture(scope="module")
def call(running: NodeUnderTest) -> Program:
    """The relay, installed for the node's agent."""
    return install_relay(running.directory, running.socket)


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test(running: NodeUnderTest, call: Program) -> Iterator[None]:
    """GC, with an empty list, takes away whatever a test attached; then the node is as before."""
    before = everything(running)
    yield
    assert [call("GC", name=name, **NOTHING).code for name in NETWORKS] == [0] * len(NETWORKS)
    assert everything(running) == before


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_the_result_of_add_is_what_stands_in_the_container(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory, version: str
) -> None:
    pod = make_netns("pod")
    ended = call("ADD", CNI_NETNS=pod.path, cniVersion=version)
    assert (ended.status, ended.answer["cniVersion"]) == (0, version)
    (link,) = json.loads(pod.run("ip", "-j", "address", "show", "eth0"))
    assert ended.answer["interfaces"][1]["mac"] == link["address"]
    stands = {f"{found['local']}/{found['prefixlen']}" for found in link["addr_info"] if found["scope"] == "global"}
    assert {ip["address"] for ip in ended.answer["ips"]} == stands
    routes = json.loads(pod.run("ip", "-j", "route")) + json.loads(pod.run("ip", "-j", "-6", "route"))
    gateways = {route["gateway"] for route in routes if route["dst"] == "default"}
    assert {route["gw"] for route in ended.answer["routes"]} == gateways
    assert running.get("/v1/endpoints")[0]["network"] == "netloom"


def test_the_runtimes_words_become_labels_and_names(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    ended = call(
        "ADD",
        CNI_NETNS=make_netns("pod").path,
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1",
        args={"cni": {"labels": [{"key": "app", "value": "web"}]}},
        labelAnnotations=["team"],
        dns={"nameservers": ["192.0.2.53"]},
        runtimeConfig={
            "io.kubernetes.cri.pod-annotations": {"team": "blue", "other": "x"},
            "dns": {"searches": ["shop.svc"]},
            "portMappings": [],
        },
    )
    assert ended.answer["dns"] == {"nameservers": ["192.0.2.53"], "search": ["shop.svc"]}
    (endpoint,) = running.get("/v1/endpoints")
    assert endpoint["labels"] == ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop", "k8s:team=blue"]
    assert (endpoint["pod_name"], endpoint["pod_namespace"], endpoint["pod_uid"]) == ("web-1", "shop", "u-1")


def test_del_takes_everything_back_however_often_and_without_a_namespace(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    before = everything(running)
    pod = make_netns("pod")
    assert call("ADD", CNI_NETNS=pod.path).status == 0
    assert call("DEL", CNI_NETNS=pod.path) == (0, None)
    assert call("DEL", CNI_NETNS="") == (0, None)
    assert call("DEL", CNI_NETNS=None) == (0, None)
    assert call("DEL", container="never-seen", name="", prevResult="junk") == (0, None)
    assert everything(running) == before


def test_the_same_container_may_be_attached_again_at_once(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    pod = make_netns("pod")
    for _ in range(5):
        assert call("ADD", CNI_NETNS=pod.path).status == 0
        assert call("DEL").status == 0
    assert running.get("/v1/endpoints") == []


def test_thirty_adds_at_once_get_addresses_of_their_own(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    before = everything(running)
    pods = {f"c{number}": make_netns("pod") for number in range(30)}
    with ThreadPoolExecutor(max_workers=30) as workers:
        results = list(workers.map(lambda item: call("ADD", item[0], CNI_NETNS=item[1].path), pods.items()))
        assert {result.code for result in results} == {0}
        assert len({ip["address"] for result in results for ip in result.answer["ips"]}) == 60
        ended = list(workers.map(lambda name: call("DEL", name), pods))
    assert {result.code for result in ended} == {0}
    assert everything(running) == before


def test_of_many_adds_of_one_container_one_succeeds(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    pod = make_netns("pod")
    with ThreadPoolExecutor(max_workers=8) as workers:
        codes = sorted(workers.map(lambda _: call("ADD", CNI_NETNS=pod.path).code, range(8)))
    assert codes == [0] + [101] * 7
    assert len(running.get("/v1/endpoints")) == 1


BadAdd = tuple[dict[str, Any], int, str]
"""Changes to a good ADD, the code of the error, and some of its words."""
BAD_ADDS: list[BadAdd] = [
    ({"CNI_COMMAND": "ATTACH"}, 4, "CNI_COMMAND"),
    ({"CNI_CONTAINERID": None}, 4, "CNI_CONTAINERID"),
    ({"CNI_CONTAINERID": "../x"}, 4, "CNI_CONTAINERID"),
    ({"CNI_IFNAME": None}, 4, "CNI_IFNAME"),
    ({"CNI_IFNAME": "an-interface-name-too-long"}, 4, "at most 15 bytes"),
    ({"CNI_IFNAME": "a%d"}, 4, "a%d"),
    ({"CNI_IFNAME": "lo"}, 101, "exists already"),
    ({"CNI_NETNS": None}, 4, "CNI_NETNS"),
    ({"CNI_NETNS": "/run/netns/not-there"}, 3, "does not exist"),
    ({"CNI_NETNS": "/etc/hostname"}, 4, "not a network namespace"),
    ({"CNI_NETNS": "/proc/self/ns/uts"}, 4, "not a network namespace"),
    ({"CNI_NETNS": "/proc/self/ns/net"}, 4, "of the node itself"),
    ({"CNI_ARGS": "K8S_POD_NAME"}, 4, "CNI_ARGS"),
    ({"cniVersion": "3.0.0"}, 1, "3.0.0"),
    ({"name": ""}, 7, '"name"'),
    ({"args": {"cni": {"labels": [{"key": "not a label"}]}}}, 7, "not a label"),
    ({"args": {"cni": {"labels": [{"key": "reserved:host"}]}}}, 7, "reserved:host"),
    ({"ipam": {"type": "host-local"}}, 2, '"ipam"'),
    ({"prevResult": {"ips": "none"}}, 7, '"ips"'),
    ({"runtimeConfig": {"bandwidth": {"egressRate": 8}}}, 7, "bandwidth.egressRate"),
    ({"runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80}]}}, 2, "portMappings"),
]


@pytest.mark.parametrize("bad", BAD_ADDS, ids=lambda bad: str(bad[0])[:40])
def test_an_add_that_cannot_be_leaves_nothing(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory, bad: BadAdd
) -> None:
    change, code, words = bad
    before = everything(running)
    pod = make_netns("pod")
    ended = call("ADD", **{"CNI_NETNS": pod.path, **change})
    assert (ended.code, words in ended.message) == (code, True), ended
    assert everything(running) == before
    assert "eth0" not in pod.run("ip", "-br", "link")


def test_an_interface_that_is_there_already_is_not_touched(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    pod = make_netns("pod")
    pod.run("ip", "link", "add", "eth0", "type", "bridge")
    before = everything(running)
    assert call("ADD", CNI_NETNS=pod.path).code == 101
    assert everything(running) == before
    assert "eth0" in pod.run("ip", "-br", "link")


@contextmanager
def foreign_route(node: NodeUnderTest, pod: Namespace) -> Iterator[None]:
    """The container has a default route by another interface."""
    del node
    pod.run("ip", "link", "add", "other", "type", "bridge")
    pod.run("ip", "address", "add", "192.0.2.2/24", "dev", "other")
    pod.run("ip", "link", "set", "other", "up")
    pod.run("ip", "route", "add", "default", "via", "192.0.2.1")
    yield


@contextmanager
def full_disk(node: NodeUnderTest, pod: Namespace) -> Iterator[None]:
    """No endpoint's record can be written."""
    del pod
    directory = node.directory / "state/n1/endpoints"
    directory.rename(node.directory / "elsewhere")
    directory.write_text("in the way")
    yield
    directory.unlink()
    (node.directory / "elsewhere").rename(directory)


@contextmanager
def foreign_link(node: NodeUnderTest, pod: Namespace) -> Iterator[None]:
    """A stranger has the host side's name."""
    del pod
    node.netns.run("ip", "link", "add", HOST_IFNAME, "type", "bridge")
    yield
    node.netns.run("ip", "link", "del", HOST_IFNAME)


HOST_IFNAME = Attachment(container_id="c1", ifname="eth0", netns="").host_ifname


OBSTACLES = [
    (foreign_route, 101, "by another interface"),
    (full_disk, 100, "cannot be written"),
    (foreign_link, 101, "on the node exists already"),
]


@pytest.mark.parametrize("case", OBSTACLES, ids=lambda case: case[0].__name__)
def test_an_add_that_fails_half_way_is_undone(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory, case: tuple[Any, int, str]
) -> None:
    """Once the obstacle has gone the ADD succeeds."""
    obstacle, code, words = case
    pod = make_netns("pod")
    before = everything(running)
    with obstacle(running, pod):
        ended = call("ADD", CNI_NETNS=pod.path)
    assert (ended.code, words in ended.message) == (code, True), ended
    assert everything(running) == before
    assert "eth0" not in pod.run("ip", "-br", "link")
    assert call("ADD", CNI_NETNS=make_netns("pod").path).status == 0


def test_a_namespace_deleted_in_the_middle_of_an_add_leaves_nothing(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    """Sooner, in the middle, or later: after the DEL that a runtime sends then, nothing is left in any case."""
    before = everything(running)
    for number in range(12):
        pod = make_netns("pod")
        with ThreadPoolExecutor(max_workers=1) as worker:
            adding = worker.submit(call, "ADD", CNI_NETNS=pod.path)
            for _ in range(number * 400):
                if adding.done():
                    break
            pod.close()
            assert adding.result().code in (0, 3, 4), adding.result()
        assert call("DEL", CNI_NETNS=pod.path) == (0, None)
    assert everything(running) == before


def damage_address(pod: Namespace, node: NodeUnderTest) -> None:
    del node
    pod.run("ip", "address", "flush", "dev", "eth0", "scope", "global")


def damage_route(pod: Namespace, node: NodeUnderTest) -> None:
    del node
    pod.run("ip", "route", "del", "default")


def damage_mac(pod: Namespace, node: NodeUnderTest) -> None:
    del node
    pod.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:01")


def damage_link(pod: Namespace, node: NodeUnderTest) -> None:
    del node
    pod.run("ip", "link", "del", "eth0")


def damage_name(pod: Namespace, node: NodeUnderTest) -> None:
    del node
    pod.run("ip", "link", "set", "eth0", "down")
    pod.run("ip", "link", "set", "eth0", "name", "eth9")


DAMAGES = [damage_address, damage_route, damage_mac, damage_link, damage_name]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_check_finds_what_was_changed_by_hand(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory, damage: Any
) -> None:
    pod = make_netns("pod")
    result = call("ADD", CNI_NETNS=pod.path).answer
    assert call("CHECK", CNI_NETNS=pod.path, prevResult=result) == (0, None)
    damage(pod, running)
    ended = call("CHECK", CNI_NETNS=pod.path, prevResult=result)
    assert (ended.code, "c1/eth0 is not as it was attached" in ended.message) == (103, True), ended


def test_check_contradicts_a_result_that_contradicts_the_world(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    pod = make_netns("pod")
    result = call("ADD", CNI_NETNS=pod.path).answer
    other = result | {"ips": [ip | {"address": "192.0.2.9/32"} for ip in result["ips"]]}
    assert call("CHECK", CNI_NETNS=pod.path, prevResult=other).code == 103
    junk = result | {"ips": [*result["ips"], {"address": "nowhere", "interface": 1}]}
    assert call("CHECK", CNI_NETNS=pod.path, prevResult=junk).code == 7
    assert call("CHECK", CNI_NETNS=pod.path).code == 7
    assert call("CHECK", "never-seen", CNI_NETNS=pod.path, prevResult=result).code == 3
    assert call("CHECK", CNI_NETNS=make_netns("pod").path, prevResult=result).code == 103
    assert len(running.get("/v1/endpoints")) == 1


def test_gc_removes_what_its_network_does_not_need_and_nothing_else(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    pods = {name: make_netns("pod") for name in ("keep", "stale1", "stale2", "foreign")}
    for name, pod in pods.items():
        assert call("ADD", name, CNI_NETNS=pod.path, name="theirs" if name == "foreign" else "ours").status == 0
    listed: dict[str, Any] = {VALID_ATTACHMENTS: [{"containerID": "keep", "ifname": "eth0"}]}
    assert call("GC", CNI_CONTAINERID=None, CNI_IFNAME=None, name="ours", **listed) == (0, None)
    assert {found["container_id"] for found in running.get("/v1/endpoints")} == {"keep", "foreign"}
    assert "eth0" not in pods["stale1"].run("ip", "-br", "link")
    assert call("GC", name="nobodys", **NOTHING) == (0, None)
    assert call("GC", name="ours").code == 7
    assert len(running.get("/v1/endpoints")) == 2


def test_gc_goes_on_after_a_failure_and_tells_of_all(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    """Two host sides were taken over by a stranger."""
    hosts = {}
    for name in ("c1", "c2", "c3"):
        hosts[name] = call("ADD", name, CNI_NETNS=make_netns("pod").path).answer["interfaces"][0]["name"]
    for name in ("c1", "c3"):
        running.netns.run("ip", "link", "set", hosts[name], "alias", "a stranger's")
    ended = call("GC", **NOTHING)
    assert (ended.code, hosts["c1"] in ended.message, hosts["c3"] in ended.message) == (104, True, True), ended
    assert {found["container_id"] for found in running.get("/v1/endpoints")} == {"c1", "c3"}
    for name in ("c1", "c3"):
        running.netns.run("ip", "link", "set", hosts[name], "alias", "netloom:n1")
    assert call("GC", **NOTHING) == (0, None)
    assert running.get("/v1/endpoints") == []


def test_the_program_without_a_compiler_does_the_same(
    running: NodeUnderTest, tmp_path: Path, make_netns: NamespaceFactory
) -> None:
    call = install_script(tmp_path, running.socket)
    pod = make_netns("pod")
    result = call("ADD", CNI_NETNS=pod.path)
    assert (result.status, call("CHECK", CNI_NETNS=pod.path, prevResult=result.answer)) == (0, (0, None))
    assert (call("STATUS"), call("DEL")) == ((0, None), (0, None))


def test_a_config_of_the_greatest_length_is_read_and_one_longer_refused(running: NodeUnderTest, call: Program) -> None:
    environment = ENVIRONMENT | {"CNI_COMMAND": "VERSION"}
    head = b'{"cniVersion": "1.0.0", "a": "'
    assert running.socket.exists()
    assert call.raw(environment, head + b"x" * (MAX_CONFIG_BYTES - len(head) - 2) + b'"}').status == 0
    assert call.raw(environment, head + b"x" * (MAX_CONFIG_BYTES - len(head) - 1) + b'"}').code == 6


def test_two_networks_with_different_configs_share_an_agent(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    one, two = make_netns("pod"), make_netns("pod")
    assert call("ADD", "c1", CNI_NETNS=one.path, name="one", cniVersion="0.4.0").answer["cniVersion"] == "0.4.0"
    labels = {"cni": {"labels": [{"key": "tier", "value": "db"}]}}
    assert call("ADD", "c2", CNI_NETNS=two.path, name="two", args=labels).status == 0
    found = {endpoint["network"]: endpoint["labels"] for endpoint in running.get("/v1/endpoints")}
    assert found == {"one": ["reserved:init"], "two": ["k8s:tier=db"]}
