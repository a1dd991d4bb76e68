"""Programs on devices by tcx and by clsact: each hangs in its place, is replaced in one step, leaves others alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.edge import filters, tcx
from netloom.edge.answers import FilterInfo
from netloom.edge.netlink import Direction, Netlink
from netloom.edge.requests import Attachment
from netloom.model.errors import Conflict, Invalid, KernelError, NotFound, Unsupported
from support.attached import Attaching, all_on, needs_tcx, ours_on
from support.bpf import load_verdict
from support.netns import Namespace

pytestmark = pytest.mark.kernel

BOTH: tuple[Direction, ...] = ("ingress", "egress")


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """A stranger's program, which leaves the verdict to what comes behind it."""
    fd = load_verdict(-1, "stranger")
    yield fd
    os.close(fd)


def names(found: list[FilterInfo]) -> list[tuple[str, str]]:
    return [(item.kind, item.name) for item in found]


def place_of(netlink: Netlink, device: str, direction: Direction = "ingress") -> Attachment:
    return Attachment(device=device, ifindex=netlink.require_link(device).ifindex, direction=direction)


def shown(netns: Namespace, device: str, direction: Direction) -> list[int]:
    """Priorities of the filters that tc shows."""
    found = json.loads(netns.run("tc", "-json", "filter", "show", "dev", device, direction) or "[]")
    return [item["pref"] for item in found if "options" in item]


# --- either way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", BOTH)
def test_an_attached_program_is_read_back(
    either: Netlink, device: str, direction: Direction, programs: tuple[int, int]
) -> None:
    either.attach_filter(device, direction, programs[0], "from_host")
    found = either.filter_of(device, direction)
    assert found is not None
    assert (found.ours, len(bytes.fromhex(found.tag)), found.program_id > 0) == (True, 8, True)


@pytest.mark.parametrize("direction", BOTH)
def test_a_second_program_takes_the_place_of_the_first(
    netns: Namespace, either: Netlink, device: str, direction: Direction, programs: tuple[int, int]
) -> None:
    ids = []
    for fd in programs:
        either.attach_filter(device, direction, fd, "from_host")
        (found,) = ours_on(netns.path, device, direction)
        ids.append(found.program_id)
    assert len(set(ids)) == 2


def test_the_same_program_again_changes_nothing(
    netns: Namespace, either: Netlink, device: str, programs: tuple[int, int]
) -> None:
    seen = []
    for _ in range(2):
        either.attach_filter(device, "ingress", programs[0], "from_host")
        seen.append(ours_on(netns.path, device, "ingress"))
    assert seen[0] == seen[1]


def test_the_directions_are_apart(either: Netlink, device: str, programs: tuple[int, int]) -> None:
    either.attach_filter(device, "ingress", programs[0], "from_host")
    assert either.filter_of(device, "egress") is None


def test_a_detached_program_is_gone(either: Netlink, device: str, programs: tuple[int, int]) -> None:
    either.attach_filter(device, "ingress", programs[0], "from_host")
    assert [either.detach_filter(device, "ingress") for _ in range(2)] == [True, False]
    assert either.filter_of(device, "ingress") is None


def test_a_device_without_ethernet_is_refused(netns: Namespace, either: Netlink, programs: tuple[int, int]) -> None:
    netns.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    with pytest.raises(Invalid, match='"tun0" is not Ethernet'):
        either.attach_filter("tun0", "ingress", programs[0], "from_host")


def test_no_device_has_no_filter_and_takes_none(either: Netlink, programs: tuple[int, int]) -> None:
    assert either.filter_of("gone", "ingress") is None
    with pytest.raises(NotFound, match='"gone"'):
        either.attach_filter("gone", "ingress", programs[0], "from_host")


def test_something_that_is_no_program_is_refused_by_the_kernel(either: Netlink, device: str) -> None:
    with Path("/dev/null").open("rb") as file, pytest.raises(KernelError, match='program "from_host" as ingress'):
        either.attach_filter(device, "ingress", file.fileno(), "from_host")


def test_all_our_filters_on_foreign_devices_are_found_and_taken_off(
    either: Netlink, device: str, programs: tuple[int, int]
) -> None:
    for direction in BOTH:
        either.attach_filter(device, direction, programs[0], "from_host")
    assert [str(place) for place in either.detach_all_filters()] == [
        'ingress filter of device "eth0"',
        'egress filter of device "eth0"',
    ]
    assert either.detach_all_filters() == ()


# --- clsact -------------------------------------------------------------------------------------


def test_tc_shows_ours_by_name_at_our_priority(
    netns: Namespace, attaching: Attaching, device: str, programs: tuple[int, int]
) -> None:
    attaching("clsact").attach_filter(device, "ingress", programs[0], "from_host")
    assert names(ours_on(netns.path, device, "ingress")) == [("bpf", "netloom/from_host")]
    assert shown(netns, device, "ingress") == [76]


def test_foreign_filters_stay_through_attaching_and_detaching(
    netns: Namespace, either: Netlink, device: str, programs: tuple[int, int]
) -> None:
    netns.run("tc", "qdisc", "add", "dev", device, "clsact")
    netns.run(*f"tc filter add dev {device} ingress prio 10 protocol ip u32 match u32 0 0 flowid 1:1".split())
    before = shown(netns, device, "ingress")
    either.attach_filter(device, "ingress", programs[0], "from_host")
    either.detach_filter(device, "ingress")
    assert (set(before), shown(netns, device, "ingress")) == ({10}, before)


@pytest.mark.parametrize("protocol", ["all", "ip"])
def test_a_foreign_filter_in_our_place_is_a_conflict_and_stays(
    netns: Namespace, attaching: Attaching, device: str, programs: tuple[int, int], protocol: str
) -> None:
    netns.run("tc", "qdisc", "add", "dev", device, "clsact")
    netns.run(*f"tc filter add dev {device} ingress prio 76 protocol {protocol} u32 match u32 0 0 flowid 1:1".split())
    before = shown(netns, device, "ingress")
    with pytest.raises(Conflict, match=r"ingress filter of device .* priority 76.*kind u32"):
        attaching("clsact").attach_filter(device, "ingress", programs[0], "from_host")
    assert shown(netns, device, "ingress") == before


# --- tcx ----------------------------------------------------------------------------------------


@needs_tcx
def test_ours_goes_before_a_strangers_program_which_stays(
    netns: Namespace, attaching: Attaching, device: str, programs: tuple[int, int], foreign: int
) -> None:
    """What a stranger lets past must not be what ours would have refused."""
    netlink = attaching("tcx")
    netns.call(tcx.attach_first, place_of(netlink, device), foreign, "stranger")
    for fd in programs:
        netlink.attach_filter(device, "ingress", fd, "from_host")
        assert names(all_on(netns.path, device, "ingress")) == [("tcx", "loom_verdict"), ("tcx", "stranger")]
    netlink.detach_filter(device, "ingress")
    assert names(all_on(netns.path, device, "ingress")) == [("tcx", "stranger")]


@needs_tcx
def test_a_strangers_program_put_before_ours_keeps_its_place_when_ours_is_replaced(
    netns: Namespace, attaching: Attaching, device: str, programs: tuple[int, int], foreign: int
) -> None:
    """Whoever puts his program there later has his reasons."""
    netlink = attaching("tcx")
    netlink.attach_filter(device, "ingress", programs[0], "from_host")
    netns.call(tcx.attach_first, place_of(netlink, device), foreign, "stranger")
    netlink.attach_filter(device, "ingress", programs[1], "from_host")
    assert names(all_on(netns.path, device, "ingress")) == [("tcx", "stranger"), ("tcx", "loom_verdict")]


@needs_tcx
@pytest.mark.parametrize("ways", [("clsact", "tcx"), ("tcx", "clsact")], ids=["upgrade", "downgrade"])
def test_a_node_that_changes_its_way_leaves_nothing_of_the_other(
    netns: Namespace,
    attaching: Attaching,
    device: str,
    programs: tuple[int, int],
    ways: tuple[filters.Way, filters.Way],
) -> None:
    for way, fd in zip(ways, programs, strict=True):
        attaching(way).attach_filter(device, "ingress", fd, "from_host")
    (left,) = ours_on(netns.path, device, "ingress")
    assert left.kind == {"tcx": "tcx", "clsact": "bpf"}[ways[1]]


@needs_tcx
@pytest.mark.parametrize("way", ["tcx", "clsact"])
def test_what_hangs_by_the_other_way_is_found_and_taken_off_too(
    netns: Namespace, attaching: Attaching, device: str, programs: tuple[int, int], way: filters.Way
) -> None:
    """A clean-up need not know how the agent attached."""
    attaching(way).attach_filter(device, "egress", programs[0], "from_host")
    other = attaching("clsact" if way == "tcx" else "tcx")
    assert len(other.detach_all_filters()) == 1
    assert ours_on(netns.path, device, "egress") == []


@needs_tcx
def test_a_second_one_of_ours_is_taken_off(
    netns: Namespace, attaching: Attaching, device: str, programs: tuple[int, int]
) -> None:
    """However it got there, a packet must not meet two of ours."""
    netlink = attaching("tcx")
    netlink.attach_filter(device, "ingress", programs[0], "from_host")
    netns.call(tcx.attach_first, place_of(netlink, device), programs[1], "from_host")
    netlink.attach_filter(device, "ingress", programs[0], "from_host")
    assert len(ours_on(netns.path, device, "ingress")) == 1


@needs_tcx
def test_a_program_that_left_meanwhile_is_not_replaced(
    netns: Namespace, attaching: Attaching, device: str, programs: tuple[int, int]
) -> None:
    """The caller is told, and attaches anew."""
    netlink = attaching("tcx")
    place = place_of(netlink, device)
    netlink.attach_filter(device, "ingress", programs[0], "from_host")
    (old,) = netns.call(tcx.programs, place)
    netlink.detach_filter(device, "ingress")
    assert netns.call(tcx.replace, place, programs[1], "from_host", old) is False
    assert netns.call(tcx.detach, place, old) is False


@needs_tcx
def test_a_program_stays_when_nobody_holds_it(netns: Namespace, attaching: Attaching, device: str) -> None:
    """As long as its device, so traffic outlives the agent."""
    fd = load_verdict(0)
    attaching("tcx").attach_filter(device, "ingress", fd, "from_host")
    os.close(fd)
    assert len(ours_on(netns.path, device, "ingress")) == 1


def test_no_device_has_no_programs(netns: Namespace) -> None:
    place = Attachment(device="gone", ifindex=99, direction="ingress")
    assert not tcx.supported() or netns.call(tcx.programs, place) == ()


# --- the choice ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("has_tcx", "way"), [(True, "tcx"), (False, "clsact")])
def test_tcx_is_used_where_the_kernel_has_it(monkeypatch: pytest.MonkeyPatch, has_tcx: bool, way: str) -> None:
    monkeypatch.setattr(tcx, "supported", lambda: has_tcx)
    assert filters.choose("auto") == way


def test_a_wanted_tcx_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcx, "supported", lambda: False)
    with pytest.raises(Unsupported, match=r"tcx.*Linux 6\.6"):
        filters.choose("tcx")
