"""The prefilter of a node with a real agent: kept, attached while it is wanted, repaired, and never half done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.bpf import XDP, load_verdict
from support.netns import NamespaceFactory
from support.node import wait_until
from support.prefiltered import OURS, SET
from support.prefiltered import PrefilteredNode as Node

pytestmark = pytest.mark.kernel


@pytest.fixture
def node(tmp_path: Path, make_netns: NamespaceFactory) -> Iterator[Node]:
    """A node whose agent is not running yet."""
    with closing(Node(tmp_path, make_netns)) as made:
        yield made


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """A stranger's program, which lets everything pass."""
    fd = load_verdict(2, "stranger", kind=XDP)
    yield fd
    os.close(fd)


def test_a_set_that_does_not_fit_is_refused_by_the_name_of_its_map(node: Node) -> None:
    """All or nothing."""
    node.write_config(more="maps: {prefilter_ip4: 2, prefilter_net6: 1}\n")
    node.start()
    node.refuse("192.0.2.1")
    for cidrs, name in (
        (["192.0.2.2", "192.0.2.3"], "prefilter_ip4"),
        (["2001:db8::/32", "2001:db9::/32"], "prefilter_net6"),
    ):
        status, answer = node.ask("PATCH", ["198.51.0.0/16", *cidrs])
        assert (status, f'"{name}" holds' in answer["error"]["message"]) == (507, True)
    assert (node.in_kernel(), node.cidrs) == ({"ip4": {"192.0.2.1"}}, ["192.0.2.1/32"])
    assert node.ask("PUT", ["192.0.2.2", "192.0.2.3"])[0] == 200


def test_a_set_that_cannot_be_kept_is_taken_back(running: Node) -> None:
    """What is no file cannot be replaced by one: nothing is refused that would be forgotten."""
    running.file.mkdir()
    status, answer = running.ask("PATCH", SET)
    assert (status, "cannot be written" in answer["error"]["message"]) == (500, True)
    assert (running.in_kernel(), running.cidrs, running.names()) == ({}, [], [])


def test_jumbo_frames_do_not_keep_it_from_the_driver(node: Node) -> None:
    """The program says that it can be given frames of several buffers."""
    for device in ("eth0", "uplink"):
        node.netns.run("ip", "link", "set", device, "mtu", "9000")
    node.start()
    node.refuse(*SET)
    assert node.modes == {"eth0": "native"}


# --- strangers ----------------------------------------------------------------------------------


def test_a_strangers_program_is_left_and_named(node: Node, foreign: int) -> None:
    """Nothing is refused, and nothing stays behind of the attempt, not even until the next resync."""
    node.write_config(resync_s=3600)
    node.start()
    node.attach_foreign(foreign)
    status, answer = node.ask("PATCH", SET)
    assert (status, '"stranger" (program' in answer["error"]["message"]) == (409, True)
    assert (node.names(), node.cidrs, node.in_kernel()) == ([("stranger", "native")], [], {})


def test_a_stranger_who_takes_the_place_degrades_the_node_until_he_leaves(running: Node, foreign: int) -> None:
    """The agent does not take it back; it says so, and goes on with everything else."""
    running.refuse(*SET)
    running.attach_foreign(foreign)
    assert wait_until(lambda: running.get("/v1/status")["state"] == "degraded")
    assert '"stranger"' in running.get("/v1/status")["prefilter"]["problem"]
    assert running.names() == [("stranger", "native")]
    assert running.ask("DELETE", SET[:1])[0] == 200
    running.netns.run("ip", "link", "set", "eth0", "xdp", "off")
    assert wait_until(lambda: running.names() == [(OURS, "native")])
    assert wait_until(lambda: running.get("/v1/status")["state"] == "ok")


def test_an_agent_starts_beside_a_strangers_program(running: Node, foreign: int) -> None:
    """The node's pods must not wait for it."""
    running.refuse(*SET)
    running.stop()
    running.attach_foreign(foreign)
    running.start()
    assert wait_until(lambda: running.get("/v1/status")["state"] == "degraded")
    assert (running.names(), running.cidrs) == ([("stranger", "native")], SET)


# --- several uplinks ----------------------------------------------------------------------------


def add_uplink(node: Node) -> None:
    node.netns.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "uplink1")
    for end in ("eth1", "uplink1"):
        node.netns.run("ip", "link", "set", end, "up")


@pytest.fixture
def twofold(node: Node) -> Node:
    """A node with two uplinks, which refuses nobody."""
    add_uplink(node)
    node.config.write_text(node.config.read_text().replace("device: eth0}", "device: eth0, uplinks: [eth1]}"))
    node.start()
    return node


def test_each_uplink_has_the_program(twofold: Node) -> None:
    twofold.refuse(*SET)
    assert twofold.modes == {"eth0": "native", "eth1": "native"}
    assert (twofold.names("eth0"), twofold.names("eth1")) == ([(OURS, "native")], [(OURS, "native")])
    assert twofold.ask("DELETE", SET)[0] == 200
    assert (twofold.names("eth0"), twofold.names("eth1")) == ([], [])


def test_a_strangers_program_on_any_uplink_refuses_the_change(twofold: Node, foreign: int) -> None:
    """Packets of those who are refused would come by that one."""
    twofold.attach_foreign(foreign, "eth1")
    status, answer = twofold.ask("PATCH", SET)
    assert (status, '"eth1" has an XDP program' in answer["error"]["message"]) == (409, True)
    assert (twofold.names("eth0"), twofold.names("eth1")) == ([], [("stranger", "native")])


def test_a_stranger_on_one_uplink_leaves_the_others_theirs(twofold: Node, foreign: int) -> None:
    twofold.refuse(*SET)
    twofold.attach_foreign(foreign, "eth1")
    assert wait_until(lambda: twofold.modes == {"eth0": "native"})
    twofold.netns.run("ip", "link", "set", "eth0", "xdp", "off")
    assert wait_until(lambda: twofold.names("eth0") == [(OURS, "native")])
    assert '"eth1"' in twofold.get("/v1/prefilter")["problem"]


def test_an_uplink_that_is_away_hinders_nothing_and_has_its_turn_when_it_is_back(twofold: Node) -> None:
    twofold.netns.run("ip", "link", "delete", "eth1")
    twofold.refuse(*SET)
    assert (twofold.modes, twofold.get("/v1/prefilter")["problem"]) == ({"eth0": "native"}, "")
    add_uplink(twofold)
    assert wait_until(lambda: twofold.modes == {"eth0": "native", "eth1": "native"})


# --- damage -------------------------------------------------------------------------------------


def remove_program(node: Node) -> None:
    node.netns.run("ip", "link", "set", "eth0", "xdp", "off")


def unpin(node: Node) -> None:
    (node.pins / "maps/prefilter_net4_v1").unlink()


def empty_a_map(node: Node) -> None:
    key = ("key", "hex", "10", "00", "00", "00", "c6", "33", "00", "00")
    node.netns.run("bpftool", "map", "delete", "pinned", str(node.pins / "maps/prefilter_net4_v1"), *key)


def add_to_a_map(node: Node) -> None:
    entry = ("key", "hex", "0a", "00", "00", "01", "value", "hex", "01")
    node.netns.run("bpftool", "map", "update", "pinned", str(node.pins / "maps/prefilter_ip4_v1"), *entry)


DAMAGE: dict[str, tuple[Callable[[Node], None], str]] = {
    "the program is taken off": (remove_program, "XDP program of eth0"),
    "a map is unpinned": (unpin, "prefilter_net4_v1"),
    "an entry is removed": (empty_a_map, "prefilter_net4 198.51.0.0/16"),
    "an entry is made up": (add_to_a_map, "prefilter_ip4 10.0.0.1"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_a_stranger_changes_is_put_right_and_told(running: Node, what: str) -> None:
    running.refuse(*SET)
    before = running.in_kernel()
    damage, name = DAMAGE[what]
    damage(running)

    def told() -> bool:
        return any(name in repair["name"] for repair in running.get("/v1/status")["repairs"]["last"])

    assert wait_until(told), running.get("/v1/status")["repairs"]
    assert (running.in_kernel(), running.names()) == (before, [(OURS, "native")])
    assert (running.pins / "maps/prefilter_net4_v1").exists()


# --- survival -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_program_entries_and_revision_outlive_the_agent(running: Node, number: signal.Signals) -> None:
    """The same stands while it is away; the next one puts its own program in the place."""
    running.refuse(*SET)
    (before,) = running.programs()
    running.stop(number)
    assert running.programs() == [before]
    running.start()
    (after,) = running.programs()
    assert (after.program.name, after.program.id != before.program.id) == (OURS, True)
    assert (running.cidrs, running.get("/v1/prefilter")["revision"]) == (SET, 2)
    assert running.get("/v1/status")["repairs"]["counts"] == {}


def test_after_a_reboot_the_set_is_refused_again(running: Node) -> None:
    """Of the kernel nothing is left, of the disk everything."""
    running.refuse(*SET)
    before = running.in_kernel()
    running.stop()
    kept = running.file.read_bytes()
    running.clean()
    running.file.parent.mkdir(parents=True)
    running.file.write_bytes(kept)
    running.start()
    assert (running.in_kernel(), running.names(), running.cidrs) == (before, [(OURS, "native")], SET)


def test_other_sizes_of_its_maps_are_filled_before_the_program_changes(running: Node) -> None:
    """The old program goes on with the old maps until then."""
    running.refuse(*SET)
    before = running.in_kernel()
    running.stop()
    running.write_config(more="maps: {prefilter_ip4: 100, prefilter_net4: 100}\n")
    running.start()
    assert (running.in_kernel(), running.names()) == (before, [(OURS, "native")])


def test_maps_made_too_small_degrade_the_node_and_do_not_stop_it(running: Node) -> None:
    running.refuse("192.0.2.1", "192.0.2.2", "192.0.2.3")
    running.stop()
    running.write_config(more="maps: {prefilter_ip4: 2}\n")
    running.start()
    status = running.get("/v1/status")
    assert (status["state"], '"prefilter_ip4" is full' in status["prefilter"]["problem"]) == ("degraded", True)
    assert running.names() == [(OURS, "native")]


def test_a_damaged_file_is_told_and_the_kernel_left_as_it_is(running: Node) -> None:
    """Until the set is written anew; a list that lost its end is never taken for a shorter one."""
    running.refuse(*SET)
    before = running.in_kernel()
    running.stop()
    running.file.write_bytes(running.file.read_bytes().replace(b"192.0.2.7", b"192.0.2.8"))
    damaged = running.file.read_bytes()
    running.start()
    status = running.get("/v1/status")
    assert (status["state"], 'prefilter.json" is damaged' in status["prefilter"]["problem"]) == ("degraded", True)
    assert (running.in_kernel(), running.names()) == (before, [(OURS, "native")])
    for method in ("PATCH", "DELETE"):
        refusal, answer = running.ask(method, SET[:1])
        assert (refusal, "is damaged" in answer["error"]["message"]) == (503, True)
    assert running.file.read_bytes() == damaged
    assert running.ask("PUT", ["203.0.113.7"])[0] == 200
    assert (running.in_kernel(), running.get("/v1/status")["state"]) == ({"ip4": {"203.0.113.7"}}, "ok")


def test_a_program_left_on_a_device_that_is_the_underlays_no_more_goes(running: Node) -> None:
    running.refuse(*SET)
    running.stop()
    running.netns.run("ip", "link", "add", "name", "br0", "type", "bridge")
    running.netns.run("ip", "link", "set", "br0", "up")
    running.netns.run("ip", "address", "add", "192.168.79.11/24", "dev", "br0")
    running.config.write_text(running.config.read_text().replace("underlay_device: eth0", "underlay_device: br0"))
    running.start()
    assert (running.names("eth0"), running.names("br0")) == ([], [(OURS, "generic")])
    (device,) = running.get("/v1/prefilter")["devices"]
    assert (device["name"], device["mode"], "native mode" in device["obstacle"]) == ("br0", "generic", True)


def test_cleaning_takes_it_off_and_leaves_a_strangers(running: Node, foreign: int) -> None:
    running.refuse(*SET)
    running.attach_foreign(foreign, "uplink")
    running.stop()
    assert "removed XDP program of eth0\n" in running.clean()
    assert (running.names("eth0"), running.names("uplink")) == ([], [("stranger", "native")])
    assert not running.pins.exists()
    assert not running.file.exists()
