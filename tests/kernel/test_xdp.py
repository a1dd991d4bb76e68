"""One program at a device's XDP hook: in its driver where that can be, and never in a stranger's place."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netloom.edge.netlink import Netlink
from netloom.edge.xdp import Attached, Xdp, XdpProgram
from netloom.model.errors import Conflict, Invalid, NotFound
from support.bpf import XDP, attach_by_link, load_verdict
from support.netns import Namespace

pytestmark = pytest.mark.kernel

PASS = 2
"""XDP_PASS."""


@pytest.fixture(scope="module")
def programs() -> Iterator[tuple[int, int]]:
    """Two of ours."""
    fds = load_verdict(PASS, kind=XDP), load_verdict(PASS, kind=XDP)
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    fd = load_verdict(PASS, "stranger", kind=XDP)
    yield fd
    os.close(fd)


@pytest.fixture
def xdp(netns: Namespace, netlink: Netlink) -> Xdp:
    """Of a namespace with a device whose driver has XDP, eth0, and one whose driver has not, br0."""
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    netns.run("ip", "link", "add", "name", "br0", "type", "bridge")
    return netlink.xdp


def on(xdp: Xdp, device: str) -> list[tuple[str, str]]:
    return [(each.program.name, each.mode) for each in xdp.look(device)[1]]


def by_stranger(xdp: Xdp, device: str, fd: int) -> None:
    """Attached as ours are, by a program of another name."""
    xdp.attach(device, fd, "stranger")


def test_a_driver_that_can_runs_it(xdp: Xdp, programs: tuple[int, int]) -> None:
    assert xdp.attach("eth0", programs[0], "p") == Attached(mode="native", obstacle="")
    assert on(xdp, "eth0") == [("loom_verdict", "native")]


def test_where_the_driver_cannot_the_stack_does_and_the_reason_is_told(xdp: Xdp, programs: tuple[int, int]) -> None:
    """A bridge has no frames of its own."""
    attached = xdp.attach("br0", programs[0], "p")
    assert (attached.mode, on(xdp, "br0")) == ("generic", [("loom_verdict", "generic")])
    assert 'attach XDP program "p" of device "br0": Operation not supported' in attached.obstacle


@pytest.mark.parametrize("device", ["eth0", "br0"])
def test_another_of_ours_takes_the_place_in_the_same_mode(xdp: Xdp, programs: tuple[int, int], device: str) -> None:
    seen: list[XdpProgram] = []
    for fd in programs:
        xdp.attach(device, fd, "p")
        seen += xdp.look(device)[1]
    assert (seen[0].mode, seen[0].program.tag) == (seen[1].mode, seen[1].program.tag)
    assert seen[0].program.id != seen[1].program.id


@pytest.mark.parametrize("device", ["eth0", "br0"])
def test_a_strangers_program_is_never_replaced_and_named(
    xdp: Xdp, programs: tuple[int, int], foreign: int, device: str
) -> None:
    by_stranger(xdp, device, foreign)
    ((_, mode),) = before = on(xdp, device)
    named = rf'device "{device}" has an XDP program that is not .*, "stranger" \(program \d+, {mode}\)'
    with pytest.raises(Conflict, match=named):
        xdp.attach(device, programs[0], "p")
    assert on(xdp, device) == before == [("stranger", mode)]


def test_a_program_of_a_link_is_a_strangers_too(
    netns: Namespace, xdp: Xdp, programs: tuple[int, int], foreign: int
) -> None:
    """What a library holds by bpf_link cannot be replaced, and goes when its owner does."""
    link = netns.call(attach_by_link, xdp.look("eth0")[0].ifindex, foreign)
    try:
        with pytest.raises(Conflict, match='"stranger"'):
            xdp.attach("eth0", programs[0], "p")
    finally:
        os.close(link)
    assert xdp.attach("eth0", programs[0], "p").mode == "native"


@pytest.mark.parametrize("device", ["eth0", "br0"])
def test_ours_can_be_taken_off(xdp: Xdp, programs: tuple[int, int], device: str) -> None:
    xdp.attach(device, programs[0], "p")
    assert (xdp.detach(device), xdp.detach(device), on(xdp, device)) == (True, False, [])


def test_a_strangers_stays_when_ours_is_taken_off(xdp: Xdp, foreign: int) -> None:
    by_stranger(xdp, "eth0", foreign)
    assert (xdp.detach("eth0"), on(xdp, "eth0")) == (False, [("stranger", "native")])


def test_devices_with_ours_are_found_without_memory(xdp: Xdp, programs: tuple[int, int], foreign: int) -> None:
    by_stranger(xdp, "eth1", foreign)
    xdp.attach("eth0", programs[0], "p")
    xdp.attach("br0", programs[0], "p")
    assert sorted(xdp.devices_with_ours()) == ["br0", "eth0"]


def test_without_the_device_it_is_named(xdp: Xdp, programs: tuple[int, int]) -> None:
    with pytest.raises(NotFound, match='"eth7" does not exist'):
        xdp.attach("eth7", programs[0], "p")
    assert not xdp.detach("eth7")


def test_a_device_without_ethernet_is_refused(xdp: Xdp, programs: tuple[int, int]) -> None:
    """Its frames would be read at the wrong place."""
    with pytest.raises(Invalid, match='"lo" is not Ethernet'):
        xdp.attach("lo", programs[0], "p")


def test_a_place_taken_meanwhile_is_told_by_who_took_it(
    xdp: Xdp, programs: tuple[int, int], foreign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the request a stranger comes first."""
    link, nothing = xdp.look("eth0")
    by_stranger(xdp, "eth0", foreign)
    looks = iter([(link, nothing)])
    really = xdp.look

    def look(device: str) -> tuple[object, tuple[XdpProgram, ...]]:
        return next(looks, None) or really(device)

    monkeypatch.setattr(xdp, "look", look)
    with pytest.raises(Conflict, match='"stranger"'):
        xdp.attach("eth0", programs[0], "p")
