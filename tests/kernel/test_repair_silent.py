"""What strangers do to a running node and the kernel tells nobody of: found by the next resync, and said by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from netloom.datapath.registry import CallSlot
from netloom.edge.netlink import Netlink
from netloom.edge.requests import Direction
from support.damaged import DamagedNode
from support.netns import NamespaceFactory
from support.node import wait_until

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedNode]:
    """A resync every second; programs by tcx, of which there is no notice."""
    made = DamagedNode(tmp_path_factory, resync_s=1, attach="auto")
    yield made
    made.close()


KEYS = {"endpoints": "10.244.1.1", "ipcache": "10.244.1.1/32", "devices": "device "}
"""Part of what is told of an entry of a table."""


@pytest.mark.parametrize("name", KEYS)
def test_map_entries_that_were_deleted_are_written_again(site: DamagedNode, name: str) -> None:
    """All of them, as they were."""
    node, pin = site.node, str(next(site.node.pins.glob(f"maps/{name}_v*")))
    before = sorted(json.dumps(entry) for entry in node.get(f"/v1/maps/{name}")["entries"])

    def empty() -> None:
        for entry in json.loads(node.netns.run("bpftool", "-j", "map", "dump", "pinned", pin)):
            key = [byte.removeprefix("0x") for byte in entry["key"]]
            node.netns.run("bpftool", "map", "delete", "pinned", pin, "key", "hex", *key)

    site.damage_and_wait(empty, f"{name} {KEYS[name]}")
    assert wait_until(lambda: sorted(map(json.dumps, node.get(f"/v1/maps/{name}")["entries"])) == before)


def test_a_map_entry_that_was_made_up_is_deleted(site: DamagedNode) -> None:
    """Nobody becomes a peer by writing into a map."""
    pin = str(next(site.node.pins.glob("maps/peers_v*")))
    address = ["00"] * 10 + ["ff", "ff", "c0", "00", "02", "42"]
    size = json.loads(site.node.netns.run("bpftool", "-j", "map", "show", "pinned", pin))["bytes_value"]
    value = ["06", *["00"] * (size - 1)]
    update = ("bpftool", "map", "update", "pinned", pin, "key", "hex", *address, "value", "hex", *value)
    site.damage_and_wait(lambda: site.node.netns.run(*update), "192.0.2.66")
    assert site.node.get("/v1/maps/peers")["entries"] == []


@pytest.mark.parametrize(
    "slot", [CallSlot.NEIGHBOR, CallSlot.ICMP_ERROR, CallSlot.ENCAP, CallSlot.PROXY], ids=lambda slot: slot.name
)
def test_a_stage_that_was_taken_out_of_its_slot_is_back(site: DamagedNode, slot: CallSlot) -> None:
    """Without it packets are dropped for a missed tail call."""
    (pin,) = site.node.pins.glob("generations/*/calls_v*")
    key = list(int(slot).to_bytes(4, sys.byteorder).hex(" ").split())
    delete = ("bpftool", "map", "delete", "pinned", str(pin), "key", "hex", *key)
    site.damage_and_wait(lambda: site.node.netns.run(*delete), f"calls {slot.name}: written")
    assert wait_until(site.reaches_gateways)


def test_a_strangers_program_in_a_slot_makes_way(site: DamagedNode) -> None:
    """A stage is the agent's, or the packet is not for it."""
    (pin,) = site.node.pins.glob("generations/*/calls_v*")
    other = next(site.node.pins.glob("generations/*/neighbor"))
    key = list(int(CallSlot.ENCAP).to_bytes(4, sys.byteorder).hex(" ").split())
    update = ("bpftool", "map", "update", "pinned", str(pin), "key", "hex", *key, "value", "pinned", str(other))
    site.damage_and_wait(lambda: site.node.netns.run(*update), "calls ENCAP: written")


def test_the_facts_about_the_node_are_written_again(site: DamagedNode) -> None:
    """Without them every packet is dropped."""
    pin = str(next(site.node.pins.glob("maps/node_config_v*")))
    size = json.loads(site.node.netns.run("bpftool", "-j", "map", "show", "pinned", pin))["bytes_value"]
    zeros = ("key", "hex", *["00"] * 4, "value", "hex", *["00"] * size)
    update = ("bpftool", "map", "update", "pinned", pin, *zeros)
    site.damage_and_wait(lambda: site.node.netns.run(*update), "node_config: written")
    assert wait_until(site.reaches_gateways)


PLACES: tuple[tuple[str, Direction], ...] = (
    ("LXC", "ingress"),
    ("loom_vxlan", "ingress"),
    ("loom_host", "egress"),
    ("eth0", "ingress"),
)


@pytest.mark.parametrize(("device", "direction"), PLACES)
def test_a_program_that_was_taken_off_is_attached_again(site: DamagedNode, device: str, direction: Direction) -> None:
    """However it had been attached."""
    netlink = site.node.netns.call(Netlink, "n1")
    place = device.replace("LXC", site.lxc), direction
    site.damage_and_wait(lambda: netlink.detach_filter(*place), f"filter {direction} of {device}: attached")
    netlink.close()
    assert wait_until(site.reaches_gateways)


@pytest.mark.parametrize("pin", ["maps/endpoints_v*", "maps/ipcache_v*", "generations/*/from_container"])
def test_a_pin_that_was_removed_is_back(site: DamagedNode, pin: str) -> None:
    """Else the next start would find an empty map, and tail calls would end with the agent."""
    (path,) = site.node.pins.glob(pin)
    site.damage_and_wait(path.unlink, f"pin {path}: pinned")
    assert path.exists()


def test_another_map_in_the_place_of_a_pin_makes_way(site: DamagedNode) -> None:
    """The names in this directory are the agent's."""
    path = next(site.node.pins.glob("maps/peers_v*"))
    own = json.loads(site.node.netns.run("bpftool", "-j", "map", "show", "pinned", str(path)))["id"]
    path.unlink()
    shape = ("type", "hash", "key", "4", "value", "4", "entries", "8", "name", "imposter")
    site.node.netns.run("bpftool", "map", "create", str(path), *shape)
    shown = ("bpftool", "-j", "map", "show", "pinned", str(path))
    assert wait_until(lambda: json.loads(site.node.netns.run(*shown))["id"] == own)


def test_an_interface_that_was_deleted_is_told_once_and_shown_until_it_is_detached(
    site: DamagedNode, make_netns: NamespaceFactory
) -> None:
    """Nobody can make a workload's interface again from outside: its runtime must."""
    lxc = site.node.attach(make_netns("other"), "c2")["host_ifname"]
    site.node.netns.run("ip", "link", "del", lxc)
    told = f"device={lxc}"
    assert wait_until(lambda: told in site.node.log_text())
    runs = site.runs_of("resync")
    assert wait_until(lambda: site.runs_of("resync") > runs + 1)
    assert site.node.log_text().count(told) == 1
    status = site.node.get("/v1/status")
    assert (status["state"], status["missing"]) == ("degraded", [lxc])
    site.node.detach("c2")
    status = site.node.get("/v1/status")
    assert (status["state"], status["missing"]) == ("ok", [])
