"""``netloom-agent --clean``: a node is as it was before the agent came, whatever others have there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom_bgp.work import end_leftovers
from support.netns import NamespaceFactory
from support.node import NodeUnderTest, wait_until

pytestmark = pytest.mark.kernel

FOREIGN = """
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -6 address flush scope link
ip link add stranger type bridge
ip link set stranger addrgenmode none
ip link set stranger up
ip link add lxcstranger type bridge
ip link set lxcstranger addrgenmode none
ip link set lxcstranger up
ip address add 10.98.0.1/24 dev stranger
ip route add 10.99.0.0/24 dev stranger
ip -6 route add fd00:99::/64 dev stranger
ip route add 10.97.0.0/24 dev stranger proto 76 table 100
ip rule add fwmark 7 lookup 100 priority 1000
ip -6 rule add fwmark 7 lookup 100 priority 1000
ip neigh add 10.98.0.7 lladdr 02:00:00:00:00:07 dev stranger
tc qdisc replace dev eth0 root pfifo limit 77
tc qdisc add dev eth0 clsact
tc filter add dev eth0 ingress prio 10 protocol ip u32 match u32 0 0 flowid 1:1
tc filter add dev eth0 egress prio 300 protocol ip u32 match u32 0 0 flowid 1:2
tc qdisc add dev stranger clsact
nft add table inet stranger
nft add chain inet stranger c { type filter hook input priority 0; }
nft add table inet netloom_of_nobody
"""
"""Settings stay as the agent needed them, and what the kernel derives from them; link-local addresses change by
themselves while others are asked about them."""
BGP = "  bgp: {local_as: 65101, peers: [{address: 192.168.78.12, remote_as: 65000}]}\n"
"""The plugin's section, with a peer that nobody is."""
SHOWN = (
    "ip -o link show",
    "ip -o address show",
    "ip route show table all",
    "ip -6 route show table all",
    "ip rule show",
    "ip -6 rule show",
    "ip neigh show nud permanent",
    "tc qdisc show",
    "tc filter show dev eth0 ingress",
    "tc filter show dev eth0 egress",
    "nft list ruleset",
)


@pytest.fixture
def node(node: NodeUnderTest) -> NodeUnderTest:
    """A node on which others have a bit of everything, some of it much like ours."""
    for line in FOREIGN.strip().splitlines():
        node.netns.run(*line.split())
    return node


def picture(node: NodeUnderTest) -> list[str]:
    return [f"{command}: {line}" for command in SHOWN for line in node.netns.run(*command.split()).splitlines()]


@pytest.mark.parametrize("attach", ["clsact", "tcx"])
def test_everything_of_others_is_as_it_was(node: NodeUnderTest, make_netns: NamespaceFactory, attach: str) -> None:
    """Links, addresses, routes, rules, neighbours, queues, filters and tables; and of ours nothing is left."""
    node.write_config(more=f"datapath: {{attach: {attach}}}\n")
    before = picture(node)
    node.start()
    node.attach(make_netns("pod"))
    node.stop()
    assert picture(node) != before
    node.clean()
    assert picture(node) == before
    assert not node.pins.exists()


def test_pins_of_others_stay_in_the_nodes_directory(node: NodeUnderTest) -> None:
    """Ours are known by their names; one map's name beginning like ours makes it none of ours."""
    node.start()
    node.stop()
    foreign = [
        node.pins / name for name in ("maps/endpoints_backup", "maps/somebodys_v1", "own_v1", "generations/mine")
    ]
    for path in foreign:
        shape = ("type", "hash", "key", "4", "value", "4", "entries", "8", "name", "foreign")
        node.netns.run("bpftool", "map", "create", str(path), *shape)
    assert f"pin {node.pins}/maps/endpoints_v" in node.clean()
    assert {path for path in node.pins.rglob("*") if not path.is_dir()} == set(foreign)


@pytest.fixture
def speaker(node: NodeUnderTest) -> Iterator[Path]:
    """The directory of a BGP speaker that has outlived the agent with whose peers it spoke."""
    node.write_config(more=BGP)
    node.start()
    directory = node.directory / "run/n1/bgp"
    assert wait_until((directory / "gobgpd.pid").exists), node.log_text()
    node.stop()
    yield directory
    asyncio.run(end_leftovers(directory))


@pytest.mark.parametrize("later", ["", "hooks: {disabled: [bgp]}\n", BGP], ids=["no-section", "disabled", "kept"])
def test_a_speaker_ends_whatever_the_config_says_of_its_plugin_by_now(
    node: NodeUnderTest, speaker: Path, later: str
) -> None:
    process = Path("/proc", (speaker / "gobgpd.pid").read_text().split()[0])
    assert process.exists()
    node.write_config(more=later)
    assert f"removed BGP speaker of {speaker}\n" in node.clean()
    assert wait_until(lambda: not process.exists())
    assert not speaker.exists()


def test_a_running_agent_keeps_its_node(node: NodeUnderTest) -> None:
    """Nothing is touched."""
    node.start()
    before = picture(node)
    status, words = node.refusal("--clean")
    assert (status, 'node "n1" has an agent already' in words, picture(node) == before) == (1, True, True), words


def test_cleaning_a_clean_node_does_nothing(node: NodeUnderTest) -> None:
    """And says nothing."""
    assert node.clean() == ""
