"""Filters: our program hangs in its place, is replaced in one step, and leaves others' filters alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.edge.netlink import Direction, Netlink
from netloom.model.errors import Conflict, Invalid, KernelError, NotFound
from support.bpf import load_verdict
from support.netns import Namespace

pytestmark = pytest.mark.kernel

BOTH: tuple[Direction, ...] = ("ingress", "egress")


@pytest.fixture(scope="module")
def programs() -> Iterator[tuple[int, int]]:
    """File descriptors of two different programs."""
    fds = load_verdict(0), load_verdict(2)
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture
def device(netns: Namespace) -> str:
    """A device that is not ours."""
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    return "eth0"


def shown(netns: Namespace, device: str, direction: Direction) -> list[int]:
    """Priorities of the filters that tc shows."""
    filters = json.loads(netns.run("tc", "-json", "filter", "show", "dev", device, direction) or "[]")
    return [item["pref"] for item in filters if "options" in item]


@pytest.mark.parametrize("direction", BOTH)
def test_an_attached_program_is_read_back(
    netlink: Netlink, device: str, direction: Direction, programs: tuple[int, int]
) -> None:
    netlink.attach_filter(device, direction, programs[0], "from_host")
    found = netlink.filter_of(device, direction)
    assert found is not None
    assert (found.name, len(bytes.fromhex(found.tag)), found.program_id > 0) == ("netloom/from_host", 8, True)


@pytest.mark.parametrize("direction", BOTH)
def test_a_second_program_takes_the_place_of_the_first(
    netns: Namespace, netlink: Netlink, device: str, direction: Direction, programs: tuple[int, int]
) -> None:
    ids = []
    for fd in programs:
        netlink.attach_filter(device, direction, fd, "from_host")
        found = netlink.filter_of(device, direction)
        ids.append(found.program_id if found else 0)
    assert (len(set(ids)), shown(netns, device, direction)) == (2, [76])


def test_the_directions_are_apart(netlink: Netlink, device: str, programs: tuple[int, int]) -> None:
    netlink.attach_filter(device, "ingress", programs[0], "from_host")
    assert netlink.filter_of(device, "egress") is None


def test_a_detached_program_is_gone(netlink: Netlink, device: str, programs: tuple[int, int]) -> None:
    netlink.attach_filter(device, "ingress", programs[0], "from_host")
    assert [netlink.detach_filter(device, "ingress") for _ in range(2)] == [True, False]
    assert netlink.filter_of(device, "ingress") is None


def test_foreign_filters_stay_through_attaching_and_detaching(
    netns: Namespace, netlink: Netlink, device: str, programs: tuple[int, int]
) -> None:
    netns.run("tc", "qdisc", "add", "dev", device, "clsact")
    netns.run(*f"tc filter add dev {device} ingress prio 10 protocol ip u32 match u32 0 0 flowid 1:1".split())
    before = shown(netns, device, "ingress")
    netlink.attach_filter(device, "ingress", programs[0], "from_host")
    netlink.detach_filter(device, "ingress")
    assert (set(before), shown(netns, device, "ingress")) == ({10}, before)


@pytest.mark.parametrize("protocol", ["all", "ip"])
def test_a_foreign_filter_in_our_place_is_a_conflict_and_stays(
    netns: Namespace, netlink: Netlink, device: str, programs: tuple[int, int], protocol: str
) -> None:
    netns.run("tc", "qdisc", "add", "dev", device, "clsact")
    netns.run(*f"tc filter add dev {device} ingress prio 76 protocol {protocol} u32 match u32 0 0 flowid 1:1".split())
    before = shown(netns, device, "ingress")
    with pytest.raises(Conflict, match=r"ingress filter of device .* priority 76.*kind u32"):
        netlink.attach_filter(device, "ingress", programs[0], "from_host")
    assert shown(netns, device, "ingress") == before


def test_a_device_without_ethernet_is_refused(netns: Namespace, netlink: Netlink, programs: tuple[int, int]) -> None:
    netns.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    with pytest.raises(Invalid, match='"tun0" is not Ethernet'):
        netlink.attach_filter("tun0", "ingress", programs[0], "from_host")


def test_no_device_has_no_filter_and_takes_none(netlink: Netlink, programs: tuple[int, int]) -> None:
    assert netlink.filter_of("gone", "ingress") is None
    with pytest.raises(NotFound, match='"gone"'):
        netlink.attach_filter("gone", "ingress", programs[0], "from_host")


def test_something_that_is_no_program_is_refused_by_the_kernel(netlink: Netlink, device: str) -> None:
    with Path("/dev/null").open("rb") as file, pytest.raises(KernelError, match='program "from_host" as ingress'):
        netlink.attach_filter(device, "ingress", file.fileno(), "from_host")


def test_all_our_filters_on_foreign_devices_are_found_and_taken_off(
    netlink: Netlink, device: str, programs: tuple[int, int]
) -> None:
    for direction in BOTH:
        netlink.attach_filter(device, direction, programs[0], "from_host")
    assert [str(place) for place in netlink.detach_all_filters()] == [
        'ingress filter of device "eth0"',
        'egress filter of device "eth0"',
    ]
    assert netlink.detach_all_filters() == ()
