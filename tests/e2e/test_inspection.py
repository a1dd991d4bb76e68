"""What one sees when one looks, with the kernel's own tools and with netctl: the article's observations, one by one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from netloom.datapath.program_names import kernel_program_name
from netloom.edge.netlink import Direction
from netloom.lab.inside import netns_path
from support.attached import ours_on
from support.cluster import Cluster, Place, frames_until, receive
from support.packets import ARP

pytestmark = pytest.mark.e2e

FLAGS = re.compile(r"<([A-Z_,]+)>")


def parsed(place: Place, *argv: str) -> Any:
    """JSON that a command prints."""
    return json.loads(place.run(*argv))


def test_a_node_has_the_devices_of_the_overlay(cluster: Cluster) -> None:
    """A tunnel, the gateway's pair, and one device for each pod."""
    names = {link["ifname"] for link in parsed(cluster.node("node1"), "ip", "-j", "link")}
    pods = {cluster.pod(name).host_ifname for name in ("busybox1", "busybox2")}
    assert names == {"lo", "eth0", "loom_vxlan", "loom_host", "loom_net"} | pods


def test_the_tunnel_takes_its_key_from_each_packet(cluster: Cluster) -> None:
    """Collect-metadata mode, port 8472, nothing learnt from the wire."""
    (link,) = parsed(cluster.node("node1"), "ip", "-j", "-d", "link", "show", "loom_vxlan")
    data = link["linkinfo"]["info_data"]
    assert (data["external"], data["port"], data["learning"]) == (True, 8472, False)


def test_the_gateway_has_no_arp(cluster: Cluster) -> None:
    """Nobody resolves addresses on loom_host; its address is the pods' gateway, and a host address."""
    (link,) = parsed(cluster.node("node1"), "ip", "-j", "address", "show", "loom_host")
    assert "NOARP" in link["flags"]
    addresses = {(one["local"], one["prefixlen"]) for one in link["addr_info"] if one["scope"] == "global"}
    assert addresses == {("10.244.1.1", 32), ("fd00:10:244:1::1", 128)}


def test_a_pod_has_a_host_address_and_a_default_route(cluster: Cluster) -> None:
    """A prefix of one address: everything else lies beyond the gateway."""
    pod = cluster.pod("busybox1")
    (link,) = parsed(pod, "ip", "-j", "address", "show", "eth0")
    addresses = {(one["local"], one["prefixlen"]) for one in link["addr_info"] if one["scope"] == "global"}
    assert addresses == {(str(pod.ipv4), 32), (str(pod.ipv6), 128)}
    for version in ("-4", "-6"):
        gateways = [route.get("gateway") for route in parsed(pod, "ip", version, "-j", "route", "show", "default")]
        assert gateways == [str(cluster.gateway("node1", int(version[1])))]


def test_the_gateways_mac_is_that_of_the_pods_own_device(cluster: Cluster) -> None:
    """The table is empty at first; the answer comes from the program on the host side, with that device's address."""
    pod = cluster.pod("busybox1")
    pod.run("ip", "neigh", "flush", "all")
    assert parsed(pod, "ip", "-j", "neigh") == []
    pod.ping(cluster.pod("busybox2").ipv4)
    neighbours = {entry["dst"]: entry["lladdr"] for entry in parsed(pod, "ip", "-j", "neigh")}
    assert neighbours == {"10.244.1.1": pod.node_mac.hex(":")}


def test_arp_is_answered_before_the_gateways_device_hears_of_it(cluster: Cluster) -> None:
    """Captured on loom_host there is nothing, captured in the pod there is request and reply."""
    pod = cluster.pod("busybox1")
    pod.run("ip", "neigh", "flush", "all")

    def is_arp(frame: bytes) -> bool:
        return int.from_bytes(frame[12:14], "big") == ARP

    pattern = bytes.fromhex("feedc0de")
    with pod.packet_socket("eth0") as inside, cluster.node("node1").packet_socket("loom_host") as gateway:
        pod.ping(cluster.gateway("node1", 4), "-p", pattern.hex())
        answer = receive(inside, lambda frame: is_arp(frame) and frame[21] == 2)
        assert [frame for frame in frames_until(gateway, lambda frame: pattern in frame) if is_arp(frame)] == []
    assert answer is not None
    assert answer[22:28] == pod.node_mac


@pytest.mark.parametrize(
    ("device", "hook", "program"),
    [
        ("lxc", "ingress", "from_container"),
        ("loom_vxlan", "ingress", "from_overlay"),
        ("loom_host", "egress", "from_host"),
    ],
)
def test_the_programs_hang_where_they_belong(cluster: Cluster, device: str, hook: Direction, program: str) -> None:
    """The kernel knows each by the beginning of its name."""
    name = cluster.pod("busybox1").host_ifname if device == "lxc" else device
    (found,) = ours_on(netns_path(cluster.node("node1").netns), name, hook)
    shown = parsed(cluster.node("node1"), "bpftool", "-j", "prog", "show", "id", str(found.program_id))
    assert (shown["type"], shown["name"]) == ("sched_cls", kernel_program_name(program))


def test_pods_share_one_program(cluster: Cluster) -> None:
    """Compiled per node, never per pod."""
    netns = netns_path(cluster.node("node1").netns)
    devices = [cluster.pod(name).host_ifname for name in ("busybox1", "busybox2")]
    assert len({found.program_id for device in devices for found in ours_on(netns, device, "ingress")}) == 1


def test_bpftool_reads_the_pinned_maps(cluster: Cluster) -> None:
    """Under the file system everybody knows, with names that say what they are."""
    pin = cluster.lab.files.bpf_dir / "node1" / "maps" / "endpoints_v1"
    shown = parsed(cluster.node("node1"), "bpftool", "-j", "map", "show", "pinned", str(pin))
    assert (shown["type"], shown["name"], shown["bytes_key"]) == ("hash", "endpoints", 16)
    key = bytes(10) + b"\xff\xff" + cluster.pod("busybox1").ipv4.packed
    words = [f"0x{byte:02x}" for byte in key]
    found = parsed(cluster.node("node1"), "bpftool", "-j", "map", "lookup", "pinned", str(pin), "key", *words)
    value = bytes(int(byte, 16) for byte in found["value"])
    assert int.from_bytes(value[4:8], "little") == cluster.pod("busybox1").identity


def test_each_node_knows_the_tunnel_to_the_other(cluster: Cluster) -> None:
    """Both prefixes of the other node, and none of its own."""
    lines = cluster.netctl("node1", "bpf", "tunnel", "list").splitlines()
    assert lines[0].split() == ["TUNNEL", "VALUE"]
    assert sorted(tuple(line.split()) for line in lines[1:]) == [
        ("10.244.2.0/24", "192.168.77.12"),
        ("fd00:10:244:2::/64", "192.168.77.12"),
    ]


def test_the_endpoint_table_shows_both_macs_of_a_pod(cluster: Cluster) -> None:
    """And the gateway as the node's own address."""
    pod = cluster.pod("busybox1")
    shown = cluster.netctl("node1", "bpf", "endpoint", "list")
    (line,) = [line for line in shown.splitlines() if line.split()[0] == str(pod.ipv4)]
    assert f"mac={pod.mac.hex(':').upper()} nodemac={pod.node_mac.hex(':').upper()}" in line
    assert re.search(r"^10\.244\.1\.1 +\(localhost\)$", shown, re.MULTILINE)


def test_endpoints_are_listed_with_labels_and_state(cluster: Cluster) -> None:
    """As a user would look for them."""
    shown = cluster.netctl("node1", "endpoint", "list")
    for name in ("busybox1", "busybox2"):
        pod = cluster.pod(name)
        (line,) = [line for line in shown.splitlines() if str(pod.ipv4) in line.split()]
        assert str(pod.identity) in line.split()
        assert line.split()[-1] == "ready"
        assert f"app={name}" in shown


def test_status_says_that_all_is_well(cluster: Cluster) -> None:
    """Nodes, controllers, programs."""
    status = json.loads(cluster.netctl("node1", "status", "-o", "json"))
    assert (status["state"], status["nodes"], status["unreachable"]) == ("ok", 2, [])
    assert {controller["state"] for controller in status["controllers"]} == {"ok"}
    assert "from_container" in {program["name"] for program in status["programs"]}


@pytest.mark.parametrize("prefix", ["10.244.1.0/24", "10.244.2.0/24"])
def test_routes_to_all_pods_lead_through_the_gateways_device(cluster: Cluster, prefix: str) -> None:
    """Of this node and of the other alike, marked as ours."""
    (route,) = parsed(cluster.node("node1"), "ip", "-j", "route", "show", prefix)
    assert (route["gateway"], route["dev"], route["protocol"]) == ("10.244.1.1", "loom_host", "76")
