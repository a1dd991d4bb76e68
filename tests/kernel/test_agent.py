"""The agent of one node, as a process with a real kernel below it."""

from __future__ import annotations

import asyncio
import signal
import stat
from ipaddress import IPv4Network

import pytest

from netloom.agent.records import encode_node
from netloom.edge import tcx
from netloom.edge.netlink import Direction
from netloom.model.node import Node
from support.attached import CLSACT_ONLY, ours_on, strip
from support.netns import NamespaceFactory
from support.node import NodeUnderTest, wait_until
from support.stores import opened

pytestmark = pytest.mark.kernel


def test_the_socket_is_for_root_and_the_group_alone(running: NodeUnderTest) -> None:
    """Mode 0660, from the first moment."""
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o660


def test_a_stopped_agent_leaves_the_data_path_at_work(running: NodeUnderTest) -> None:
    """Exit status 0; devices, filters and pins stay."""
    assert running.stop() == 0
    assert "loom_vxlan" in running.netns.run("ip", "-br", "link")
    assert ours_on(running.netns.path, "loom_vxlan", "ingress")
    assert (running.pins / "maps/endpoints_v1").exists()


def test_a_second_agent_on_a_node_is_refused(running: NodeUnderTest) -> None:
    """Naming the process that has the node."""
    assert running.agent is not None
    status, words = running.refusal()
    assert (status, str(running.agent.pid) in words, 'node "n1" has an agent already' in words) == (1, True, True)


def test_a_config_with_mistakes_is_refused_with_all_of_them(node: NodeUnderTest) -> None:
    """Exit status 2, a line for each."""
    node.config.write_text("masquerade: maybe\nnetwork_mode: vxlam\n")
    status, words = node.refusal()
    assert status == 2
    assert f"{node.config}:1: masquerade" in words


def test_a_pin_of_another_layout_is_refused_and_left_alone(running: NodeUnderTest) -> None:
    """Never misread, never removed."""
    running.stop()
    pin = running.pins / "maps/endpoints_v1"
    pin.unlink()
    running.netns.run("bpftool", "map", "create", str(pin), "type", "hash", *SMALL_MAP)
    status, words = running.refusal()
    assert status == 1
    assert f"pinned map {pin} has key_size 4, expected 16" in words
    assert pin.exists()


def test_a_group_that_does_not_exist_is_refused_before_anything_is_made(node: NodeUnderTest) -> None:
    """A sentence naming the setting."""
    node.write_config(more="api: {group: no-such-group}\n")
    status, words = node.refusal()
    assert (status, 'api.group "no-such-group"' in words) == (1, True), words
    assert "loom_host" not in node.netns.run("ip", "-br", "link")


SMALL_MAP = ("key", "4", "value", "24", "entries", "65535", "name", "endpoints", "flags", "1")


def test_pod_prefixes_of_another_node_are_refused(running: NodeUnderTest) -> None:
    """Naming both nodes, and what to do when the other is gone for good."""
    running.stop()
    other = Node(
        name="n2",
        underlay_ipv4=None,
        underlay_ipv6=None,
        pod_cidrs=(IPv4Network("10.244.0.0/16"),),
        gateways=(),
        mode="vxlan",
    )

    async def publish() -> None:
        async with opened(running.directory / "store/store.db") as store:
            await store.put("nodes/n2", encode_node(other))

    asyncio.run(publish())
    status, words = running.refusal()
    assert status == 1
    assert 'overlaps 10.244.0.0/16 of node "n2"' in words
    assert "netctl node forget n2" in words


def test_a_detachment_that_failed_is_finished_by_the_next(running: NodeUnderTest, make_netns: NamespaceFactory) -> None:
    """Meanwhile the endpoint is closed, says so, and keeps its address from others."""
    endpoint = running.attach(make_netns("pod"))
    link = ("ip", "link", "set", endpoint["host_ifname"])
    running.netns.run(*link, "alias", "a stranger's")
    status, answer = running.cni("DEL")
    assert (status, answer["code"], endpoint["host_ifname"] in answer["msg"]) == (1, 101, True), answer
    assert [found["state"] for found in running.get("/v1/endpoints")] == ["disconnecting"]
    assert running.get("/v1/maps/devices")["entries"] == []
    running.netns.run(*link, "alias", "netloom:n1")
    running.detach()
    assert running.get("/v1/endpoints") == []


def test_a_killed_agent_takes_its_endpoints_up_again(running: NodeUnderTest, make_netns: NamespaceFactory) -> None:
    """Same number, address, identity and interface; and it is not given to anybody else."""
    endpoint = running.attach(make_netns("pod"))
    running.stop(signal.SIGKILL)
    running.start()
    assert running.get("/v1/endpoints") == [endpoint]
    assert running.attach(make_netns("pod"), "c2")["ipv4"] != endpoint["ipv4"]


def test_an_endpoint_that_was_never_finished_is_cleaned_up(
    running: NodeUnderTest, make_netns: NamespaceFactory
) -> None:
    """Killed in the middle of an ADD: file and interface are there, state says regenerating."""
    running.attach(make_netns("pod"))
    running.stop(signal.SIGKILL)
    file = running.directory / "state/n1/endpoints/1.json"
    file.write_text(file.read_text().replace('"ready"', '"regenerating"'))
    running.start()
    assert running.get("/v1/endpoints") == []
    assert "lxc" not in running.netns.run("ip", "-br", "link")
    assert not file.exists()


def test_an_endpoint_whose_container_has_gone_is_cleaned_up(
    running: NodeUnderTest, make_netns: NamespaceFactory
) -> None:
    """Its namespace ended while no agent ran."""
    pod = make_netns("pod")
    running.attach(pod)
    running.stop(signal.SIGKILL)
    pod.close()
    running.start()
    assert running.get("/v1/endpoints") == []
    assert running.get("/v1/status")["ipam"][0]["used"] == 0


def test_a_damaged_endpoint_file_is_set_aside(running: NodeUnderTest, make_netns: NamespaceFactory) -> None:
    """Never destroyed; the agent says so and goes on."""
    running.attach(make_netns("pod"))
    running.stop(signal.SIGKILL)
    file = running.directory / "state/n1/endpoints/1.json"
    file.write_bytes(b"{\x00")
    running.start()
    assert file.with_suffix(".unreadable").read_bytes() == b"{\x00"
    assert "endpoint.file_set_aside" in running.log_text()


DAMAGE = {
    "route": ("ip", "route", "del", "10.244.1.0/24"),
    "device": ("ip", "link", "del", "loom_vxlan"),
    "pair": ("ip", "link", "del", "loom_host"),
    "address": ("ip", "address", "del", "10.244.1.1/32", "dev", "loom_host"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_a_stranger_deletes_is_put_back(running: NodeUnderTest, make_netns: NamespaceFactory, what: str) -> None:
    """Within a resync, with a word in the log; a pod reaches the gateway again."""
    pod = make_netns("pod")
    running.attach(pod)
    running.netns.run(*DAMAGE[what])
    assert wait_until(lambda: "repaired" in running.log_text()), running.log_text()
    assert wait_until(lambda: pod.attempt("ping", "-c", "1", "-W", "1", "10.244.1.1").returncode == 0)
    assert wait_until(lambda: ours_on(running.netns.path, "loom_vxlan", "ingress") != [])
    assert "10.244.1.0/24" in running.netns.run("ip", "route")


@pytest.mark.parametrize("more", ["", CLSACT_ONLY], ids=["auto", "clsact"])
def test_a_program_a_stranger_takes_off_is_put_back(node: NodeUnderTest, more: str) -> None:
    """By whichever way it was attached."""
    node.write_config(more=more)
    node.start()
    strip(node.netns.path, "loom_vxlan", "ingress")
    assert wait_until(lambda: ours_on(node.netns.path, "loom_vxlan", "ingress") != [])
    assert wait_until(lambda: "filter ingress of loom_vxlan" in node.log_text())


@pytest.mark.skipif(not tcx.supported(), reason=f"needs Linux {tcx.SINCE}")
def test_a_restart_with_another_way_of_attaching_moves_every_program(
    node: NodeUnderTest, make_netns: NamespaceFactory
) -> None:
    """Nothing of the earlier way is left; left to itself the agent keeps tcx from devices that come and go."""
    kinds: list[list[str]] = []
    for more in (CLSACT_ONLY, "datapath: {attach: tcx}\n", "", CLSACT_ONLY):
        node.write_config(more=more)
        node.start()
        if not kinds:
            lxc = node.attach(make_netns("pod"))["host_ifname"]
        places: list[tuple[str, Direction]] = [(lxc, "ingress"), ("loom_vxlan", "ingress"), ("loom_host", "egress")]
        kinds.append([found.kind for place in places for found in ours_on(node.netns.path, *place)])
        node.stop()
    assert kinds == [["bpf"] * 3, ["tcx"] * 3, ["bpf", "tcx", "tcx"], ["bpf"] * 3]


@pytest.mark.skipif(not tcx.supported(), reason=f"needs Linux {tcx.SINCE}")
def test_the_status_says_how_programs_are_attached(running: NodeUnderTest) -> None:
    """To the node's own devices, and to what comes and goes."""
    assert running.get("/v1/status")["attached_by"] == {"devices": "tcx", "pods": "clsact"}


def test_a_map_entry_a_stranger_deletes_is_put_back(running: NodeUnderTest, make_netns: NamespaceFactory) -> None:
    """The table says which."""
    running.attach(make_netns("pod"))
    before = running.get("/v1/maps/endpoints")["entries"]
    pin = str(running.pins / "maps/endpoints_v1")
    key = ["00", "00", "00", "00", "00", "00", "00", "00", "00", "00", "ff", "ff", "0a", "f4", "01", "02"]
    running.netns.run("bpftool", "map", "delete", "pinned", pin, "key", "hex", *key)
    assert wait_until(lambda: "map entry" in running.log_text())
    after = running.get("/v1/maps/endpoints")["entries"]
    assert sorted(map(str, after)) == sorted(map(str, before))


def test_cleaning_takes_off_all_of_ours_and_nothing_else(running: NodeUnderTest, make_netns: NamespaceFactory) -> None:
    """A stranger's link, route and table survive."""
    running.attach(make_netns("pod"))
    running.netns.run("ip", "link", "add", "stranger", "type", "bridge")
    running.netns.run("ip", "link", "set", "stranger", "up")
    running.netns.run("ip", "route", "add", "10.99.0.0/24", "dev", "stranger")
    running.netns.run("nft", "add", "table", "inet", "stranger")
    assert running.refusal("--clean")[0] == 1, "an agent is running"
    running.stop()
    assert "link loom_vxlan" in running.clean()
    links = [line.split()[0].split("@")[0] for line in running.netns.run("ip", "-br", "link").splitlines()]
    assert sorted(links) == ["eth0", "lo", "stranger", "uplink"]
    assert "10.99.0.0/24" in running.netns.run("ip", "route")
    assert running.netns.run("nft", "list", "tables") == "table inet stranger\n"
    assert not running.pins.exists()
