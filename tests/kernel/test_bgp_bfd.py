"""BFD by a bfdd of our own, with FRR and BIRD at the other end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Container, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from netloom.model.address import Address
from netloom_bgp import bfd
from netloom_bgp.bfd import BfdWatch
from netloom_bgp.bfdd import Bfdd
from netloom_bgp.settings import Bfd, Peer
from support.bfd_peer import BirdBfd, FrrBfdd
from support.bgp_heard import Heard, heard_during
from support.netns import Namespace, NamespaceFactory

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

FAR, FAR6, NEAR, NEAR6 = map(ip_address, ("192.0.2.2", "2001:db8::2", "192.0.2.1", "2001:db8::1"))
BOTH = (FAR, FAR6)
FAST = Bfd(enabled=True, min_interval_ms=50, multiplier=3)
Story = Callable[[BfdWatch, Heard], Awaitable[None]]


@pytest.fixture
def far(make_netns: NamespaceFactory) -> Namespace:
    """Where the peer lives."""
    return make_netns("far")


@pytest.fixture
def near(netns: Namespace, far: Namespace) -> Namespace:
    """This node: eth0 leads to the peer's eth0."""
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far.name)
    for place, number in ((netns, 1), (far, 2)):
        place.run("ip", "addr", "add", f"192.0.2.{number}/24", "dev", "eth0")
        place.run("ip", "addr", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
        place.run("ip", "link", "set", "eth0", "up")
    return netns


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Of the plugin; bfdd ends with the test."""
    made = tmp_path / "bgp"
    made.mkdir(mode=0o700)
    yield made
    Bfdd(made).end()


@pytest.fixture(params=[FrrBfdd, BirdBfd], ids=["frr", "bird"])
def peer(
    request: pytest.FixtureRequest, near: Namespace, far: Namespace, tmp_path: Path
) -> Iterator[FrrBfdd | BirdBfd]:
    """The other end of two sessions, ready to be found."""
    del near
    made = request.param(far, tmp_path / "peer", [(NEAR, FAR), (NEAR6, FAR6)])
    yield made
    made.close()


@pytest.fixture
def frr(near: Namespace, far: Namespace, tmp_path: Path) -> Iterator[FrrBfdd]:
    """FRR at the other end."""
    del near
    made = FrrBfdd(far, tmp_path / "peer", [(NEAR, FAR), (NEAR6, FAR6)])
    yield made
    made.close()


def watch(
    near: Namespace, directory: Path, story: Story, settings: Bfd = FAST, spoken: Container[Address] = BOTH
) -> Heard:
    """What a watch of both peers tells while the story is told; ``spoken``: with whom there is a BGP session."""
    peers = tuple(Peer(address=address, remote_as=65002, bfd=settings) for address in BOTH)
    return heard_during(
        story, near, lambda listener: BfdWatch(peers, directory, listener, lambda address: address in spoken)
    )


async def up(heard: Heard) -> None:
    for address in BOTH:
        await heard.noted(address, bfd="up")


async def nothing(_watch: BfdWatch, heard: Heard) -> None:
    await up(heard)


def test_a_peer_that_falls_silent_is_lost_long_before_the_hold_time_and_found_again(
    near: Namespace, directory: Path, peer: FrrBfdd | BirdBfd
) -> None:
    async def story(_watch: BfdWatch, heard: Heard) -> None:
        await up(heard)
        begun = time.monotonic()
        peer.signal(signal.SIGSTOP)
        for address in BOTH:
            lost = await heard.first("lost", address)
            assert lost.words == ("bfd", "BFD has not heard the peer within the detection time")
            print(f"silence of {address} noticed {(lost.at_s - begun) * 1000:.0f} ms later")  # noqa: T201
            assert lost.at_s - begun < Peer(address=FAR, remote_as=1).hold_time_s / 2
        peer.signal(signal.SIGCONT)
        await up(heard)

    heard = watch(near, directory, story)
    for address in BOTH:
        assert [call.what for call in heard.calls if call.address == address] == [
            "bfd.up", "back", "lost", "bfd.down", "bfd.up", "back",
        ]  # fmt: skip


def test_bfd_begins_with_the_first_session_of_bgp(near: Namespace, directory: Path, frr: FrrBfdd) -> None:
    """FRR makes its BFD anew then, and takes one that was up before for lost."""
    del frr
    spoken: set[Address] = {FAR6}

    async def story(_watch: BfdWatch, heard: Heard) -> None:
        await heard.noted(FAR6, bfd="up")
        assert not [call for call in heard.calls if call.address == FAR]
        spoken.add(FAR)
        await heard.noted(FAR, bfd="up")

    watch(near, directory, story, spoken=spoken)


def test_packets_lost_on_the_way_are_noticed(near: Namespace, far: Namespace, directory: Path, frr: FrrBfdd) -> None:
    """Both devices keep their carrier."""
    del frr

    async def story(_watch: BfdWatch, heard: Heard) -> None:
        await up(heard)
        far.run("nft", "add table inet gone; add chain inet gone in { type filter hook input priority 0; }")
        begun = time.monotonic()
        far.run("nft", "add rule inet gone in meta l4proto udp drop")
        lost = await heard.first("lost", FAR)
        print(f"lost packets noticed {(lost.at_s - begun) * 1000:.0f} ms later")  # noqa: T201

    watch(near, directory, story)


def test_a_peer_that_switches_bfd_off_is_not_lost(
    near: Namespace, directory: Path, frr: FrrBfdd, tmp_path: Path
) -> None:
    del frr

    async def story(_watch: BfdWatch, heard: Heard) -> None:
        await up(heard)
        commands = ("configure terminal", "bfd", f"peer {NEAR} local-address {FAR}", "shutdown")
        await asyncio.to_thread(vtysh, tmp_path / "peer", *commands)
        await heard.noted(FAR, bfd="off")

    assert watch(near, directory, story).told("lost") == []


def test_a_peer_that_stays_silent_is_left_to_bgp_after_a_while(
    near: Namespace, directory: Path, frr: FrrBfdd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bfd, "RELEASE_AFTER_S", 0.3)

    async def story(_watch: BfdWatch, heard: Heard) -> None:
        await up(heard)
        frr.signal(signal.SIGSTOP)
        await heard.first("lost", FAR)
        await heard.first("back", FAR, count=2)
        assert heard.notes[FAR]["bfd"] == "down"

    watch(near, directory, story)


def test_a_peer_that_speaks_no_bfd_is_not_lost(near: Namespace, directory: Path) -> None:
    async def story(_watch: BfdWatch, heard: Heard) -> None:
        await heard.noted(FAR, bfd="down")
        await asyncio.sleep(0.5)

    assert watch(near, directory, story).told("lost") == []


def test_bfdd_outlives_the_watch_and_is_found_again(near: Namespace, directory: Path, frr: FrrBfdd) -> None:
    """No session goes down meanwhile."""
    del frr
    watch(near, directory, nothing)
    first = Bfdd(directory).find()
    assert watch(near, directory, nothing).told("lost") == []
    assert Bfdd(directory).find() == first is not None


def test_bfdd_that_was_killed_is_started_again(near: Namespace, directory: Path, frr: FrrBfdd) -> None:
    """Its death is no word about any peer."""
    del frr

    async def story(_watch: BfdWatch, heard: Heard) -> None:
        await up(heard)
        os.kill(Bfdd(directory).find() or 0, signal.SIGKILL)
        assert "is started again" in (await heard.first("bfd.unavailable")).words[0]
        await up(heard)

    assert watch(near, directory, story).told("lost") == []


def test_sessions_of_an_earlier_configuration_end(near: Namespace, directory: Path, frr: FrrBfdd) -> None:
    watch(near, directory, nothing)

    async def gone(_watch: BfdWatch, heard: Heard) -> None:
        await heard.noted(FAR, bfd="up")
        async with asyncio.timeout(10):
            while str(FAR6) in await asyncio.to_thread(sessions, directory):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    fewer = (Peer(address=FAR, remote_as=65002, bfd=FAST),)
    heard_during(gone, near, lambda listener: BfdWatch(fewer, directory, listener))
    assert str(FAR) in sessions(directory)
    del frr


def sessions(directory: Path) -> str:
    """What our bfdd itself says."""
    return vtysh(directory / "bfdd", "show bfd peers brief")


def vtysh(sockets: Path, *commands: str) -> str:
    """What a bfdd answers."""
    words = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        ["vtysh", "--vty_socket", str(sockets), *words], capture_output=True, text=True, check=True
    ).stdout


def test_without_anybody_to_watch_bfdd_ends(near: Namespace, directory: Path) -> None:
    async def down(_watch: BfdWatch, heard: Heard) -> None:
        await heard.noted(FAR, bfd="down")

    watch(near, directory, down)
    assert Bfdd(directory).find()

    async def start_alone() -> None:
        await BfdWatch((), directory, Heard()).start()

    near.call(asyncio.run, start_alone())
    assert Bfdd(directory).find() is None
    assert [path.name for path in directory.iterdir()] == ["bfdd.log"]


def test_another_bfd_daemon_of_the_node_is_left_alone(near: Namespace, directory: Path) -> None:
    """Of two, Linux would give all packets to the last."""
    with near.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as others:
        others.bind(("0.0.0.0", 3784))

        async def story(_watch: BfdWatch, heard: Heard) -> None:
            text = (await heard.first("bfd.unavailable")).words[0]
            assert "another program speaks BFD on this node" in text
            assert "noticed when its hold time is over, 9 s or more" in text

        heard = watch(near, directory, story)
    assert heard.notes[FAR] == {"bfd": "unavailable"}
    assert Bfdd(directory).find() is None


def test_a_node_without_frr_goes_on_without_bfd(
    near: Namespace, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bfd, "PAUSES_S", (0.05,))
    monkeypatch.setattr(bfd, "Bfdd", lambda where: Bfdd(where, program=Path("/nowhere/bfdd")))

    async def story(_watch: BfdWatch, heard: Heard) -> None:
        text = (await heard.first("bfd.unavailable")).words[0]
        assert text.startswith("/nowhere/bfdd does not exist: install FRR (Debian: apt install frr). ")
        await asyncio.sleep(0.3)

    assert len(watch(near, directory, story).told("bfd.unavailable")) == 1
