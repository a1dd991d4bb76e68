"""Masquerading: seen on packets that a neighbour really gets, and owned wholly by us."""

from __future__ import annotations

import json
import socket
import subprocess
from dataclasses import dataclass, replace
from ipaddress import ip_network

import pytest

from netloom.edge import firewall, nft
from netloom.edge.firewall import (
    FirewallError,
    MasqueradeSpec,
    ensure_guard,
    ensure_masquerade,
    remove_firewall,
    remove_masquerade,
)
from netloom.edge.ownership import LINK_GROUP, guard_table, masquerade_table
from netloom.model.errors import Unsupported
from support.netns import Namespace, NamespaceFactory

pytestmark = pytest.mark.kernel

SPEC = MasqueradeSpec(
    node_name="n1",
    pod_cidrs=(ip_network("10.244.1.0/24"), ip_network("fd00:10:244:1::/64")),
    cluster_cidrs=(ip_network("10.244.2.0/24"), ip_network("fd00:10:244:2::/64")),
    devices=("loom_host", "lxc*"),
)
LISTENER = """
import socket, sys
listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
listener.bind(("::", 7))
listener.settimeout(10)
print("ready", flush=True)
print(listener.recvfrom(16)[1][0].removeprefix("::ffff:"), flush=True)
"""


@dataclass(frozen=True)
class Site:
    """A node with an address of a pod, and a neighbour with addresses inside and outside of the cluster."""

    node: Namespace
    neighbour: Namespace

    def source_seen(self, source: str, destination: str) -> str:
        """Whose packet the neighbour thinks it is."""
        listener = self.neighbour.popen("python3", "-c", LISTENER, stdout=subprocess.PIPE)
        with listener:
            assert listener.stdout is not None
            listener.stdout.readline()
            self.node.call(send, source, destination)
            return listener.stdout.readline().decode().strip()


def send(source: str, destination: str) -> None:
    """One datagram, from a thread of the sender's namespace."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.sendto(b"x", (destination, 7))


@pytest.fixture
def site(netns: Namespace, make_netns: NamespaceFactory) -> Site:
    neighbour = make_netns("neighbour")
    lines = [
        f"link add eth0 type veth peer name eth0 netns {neighbour.name}",
        "address add 192.168.77.11/24 dev eth0",
        "address add fd00:77::11/64 dev eth0 nodad",
        "address add 10.244.1.7/32 dev lo",
        "address add fd00:10:244:1::7/128 dev lo nodad",
        "link set lo up",
        "link set eth0 up",
        "route add default via 192.168.77.1",
        "route add default via fd00:77::1",
    ]
    netns.run("ip", "-batch", "-", stdin="\n".join(lines))
    lines = [
        "link set eth0 up",
        "address add 192.168.77.1/24 dev eth0",
        "address add fd00:77::1/64 dev eth0 nodad",
        *(f"address add {address} dev eth0" for address in ("10.244.2.9/32", "203.0.113.10/32")),
        *(f"address add {address}/128 dev eth0 nodad" for address in ("fd00:10:244:2::9", "2001:db8:77::10")),
    ]
    neighbour.run("ip", "-batch", "-", stdin="\n".join(lines))
    return Site(node=netns, neighbour=neighbour)


def ensure(netns: Namespace, spec: MasqueradeSpec = SPEC) -> bool:
    return netns.call(ensure_masquerade, spec)


def table_text(netns: Namespace) -> str:
    return netns.run("nft", "list", "ruleset")


@pytest.mark.parametrize(
    ("source", "destination", "seen"),
    [
        ("10.244.1.7", "203.0.113.10", "192.168.77.11"),
        ("fd00:10:244:1::7", "2001:db8:77::10", "fd00:77::11"),
        ("10.244.1.7", "10.244.2.9", "10.244.1.7"),
        ("fd00:10:244:1::7", "fd00:10:244:2::9", "fd00:10:244:1::7"),
        ("192.168.77.11", "203.0.113.10", "192.168.77.11"),
    ],
)
def test_only_what_leaves_the_cluster_takes_the_nodes_address(
    site: Site, source: str, destination: str, seen: str
) -> None:
    ensure(site.node)
    assert site.source_seen(source, destination) == seen


def test_packets_by_our_own_devices_keep_their_source(site: Site) -> None:
    ensure(site.node, replace(SPEC, devices=("eth*",)))
    assert site.source_seen("10.244.1.7", "203.0.113.10") == "10.244.1.7"


def test_without_the_table_packets_keep_their_source(site: Site) -> None:
    ensure(site.node)
    site.node.call(remove_masquerade, "n1")
    assert site.source_seen("10.244.1.7", "203.0.113.10") == "10.244.1.7"


def test_asking_again_changes_nothing(netns: Namespace) -> None:
    assert [ensure(netns) for _ in range(2)] == [True, False]


def test_a_new_node_in_the_cluster_changes_the_table(netns: Namespace) -> None:
    ensure(netns)
    wider = replace(SPEC, cluster_cidrs=(*SPEC.cluster_cidrs, ip_network("10.244.9.0/24")))
    assert (ensure(netns, wider), "10.244.9.0/24" in table_text(netns)) == (True, True)


@pytest.mark.parametrize(
    "damage",
    [
        "flush table inet {table}",
        "delete table inet {table}",
        "add rule inet {table} postrouting counter",
        "insert rule inet {table} postrouting accept",
        "replace rule inet {table} postrouting handle 5 accept",
    ],
)
def test_a_damaged_table_is_put_right(netns: Namespace, damage: str) -> None:
    ensure(netns)
    before, table = table_text(netns), masquerade_table("n1")
    netns.run("nft", damage.format(table=table))
    assert (ensure(netns), table_text(netns)) == (True, before)


def test_tables_of_others_stay(netns: Namespace) -> None:
    netns.run("nft", "add", "table", "inet", "netloom_other")
    before = table_text(netns)
    ensure(netns)
    assert netns.call(remove_masquerade, "n1")
    assert table_text(netns) == before


def test_removing_says_whether_there_was_something(netns: Namespace) -> None:
    ensure(netns)
    assert [netns.call(remove_masquerade, "n1") for _ in range(2)] == [True, False]


def test_a_node_of_one_family_masquerades_that_one(netns: Namespace) -> None:
    ensure(netns, replace(SPEC, pod_cidrs=SPEC.pod_cidrs[:1]))
    assert "ip6" not in table_text(netns)


def test_overlapping_and_repeated_prefixes_are_one(netns: Namespace) -> None:
    overlapping = (ip_network("10.244.0.0/16"), ip_network("10.244.2.0/24"), ip_network("10.244.2.0/24"))
    ensure(netns, replace(SPEC, cluster_cidrs=overlapping))
    assert "ip daddr != 10.244.0.0/16" in table_text(netns)


def test_a_host_without_nft_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unsupported, match="package nftables"):
        ensure_masquerade(SPEC)


def test_what_nft_says_of_a_refusal_is_told(netns: Namespace) -> None:
    with pytest.raises(FirewallError, match="nft refused"):
        ensure(netns, replace(SPEC, devices=("a-name-that-is-much-too-long-for-a-device",)))


def test_the_rules_are_plain_data() -> None:
    text = json.dumps(firewall.render_masquerade(SPEC))
    assert text == json.dumps(firewall.render_masquerade(replace(SPEC, cluster_cidrs=SPEC.cluster_cidrs[::-1])))


def arrives(site: Site, destination: str) -> bool:
    """Whether the node's stack gets a datagram of the neighbour's."""
    with site.node.call(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM) as listener:
        listener.bind(("::", 7))
        listener.settimeout(0.3)
        source = "fd00:77::1" if ":" in destination else "192.168.77.1"
        site.neighbour.call(send, source, destination)
        try:
            return listener.recv(16) == b"x"
        except TimeoutError:
            return False


@pytest.mark.parametrize("destination", ["192.168.77.11", "fd00:77::11"])
def test_the_guard_keeps_out_what_comes_by_a_device_of_ours(site: Site, destination: str) -> None:
    """A device is ours by its group, whatever its name."""
    site.node.call(ensure_guard, "n1", ["loom_host"])
    assert arrives(site, destination)
    site.node.run("ip", "link", "set", "eth0", "group", str(LINK_GROUP))
    assert not arrives(site, destination)


@pytest.mark.parametrize("destination", ["192.168.77.11", "fd00:77::11"])
def test_the_guard_lets_in_what_comes_by_a_door(site: Site, destination: str) -> None:
    site.node.run("ip", "link", "set", "eth0", "group", str(LINK_GROUP))
    site.node.call(ensure_guard, "n1", ["loom_host", "eth0"])
    assert arrives(site, destination)


def test_the_guard_and_masquerading_are_removed_together(netns: Namespace) -> None:
    ensure(netns)
    netns.call(ensure_guard, "n1", ["loom_host"])
    removed = netns.call(remove_firewall, "n1")
    assert [masquerade_table("n1") in removed[0], guard_table("n1") in removed[1]] == [True, True]
    assert (table_text(netns), netns.call(remove_firewall, "n1")) == ("", ())


def test_every_change_of_any_table_raises_the_generation(netns: Namespace) -> None:
    """What has been looked at need not be looked at again while it stays."""
    first = netns.call(nft.generation)
    assert netns.call(nft.generation) == first
    netns.run("nft", "add", "table", "inet", "foreign")
    assert netns.call(nft.generation) > first
