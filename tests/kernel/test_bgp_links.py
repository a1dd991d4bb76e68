"""A device that fails is noticed at once by the peers it leads to; one that returns, when the way is there again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import pytest

from netloom.model.address import Address
from netloom_bgp import links
from netloom_bgp.links import LinkWatch
from netloom_bgp.rtnl import Notices
from support.bgp_heard import Heard, heard_during
from support.netns import Namespace

pytestmark = pytest.mark.kernel

NEAR, NEAR6, FAR, NOWHERE = map(ip_address, ("192.0.2.2", "2001:db8::2", "203.0.113.1", "198.51.100.77"))
PEERS = (NEAR, NEAR6, FAR)
Story = Callable[[LinkWatch, Heard], Awaitable[None]]


@pytest.fixture
def node(netns: Namespace) -> Namespace:
    """eth0 leads to a segment of both families, eth1 to the router of the default route."""
    for number in range(2):
        netns.run("ip", "link", "add", f"eth{number}", "type", "veth", "peer", "name", f"far{number}")
        netns.run("ip", "link", "set", f"far{number}", "up")
        netns.run("ip", "link", "set", f"eth{number}", "up")
    netns.run("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
    netns.run("ip", "addr", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    netns.run("ip", "addr", "add", "198.51.100.1/30", "dev", "eth1")
    netns.run("ip", "route", "add", "default", "via", "198.51.100.2")
    return netns


def watch(node: Namespace, story: Story, peers: tuple[Address, ...] = PEERS) -> Heard:
    """What a watch of these peers tells while the story is told."""
    return heard_during(story, node, lambda listener: LinkWatch(peers, listener))


async def ip(node: Namespace, *words: str) -> None:
    """Change something without stopping the loop."""
    await asyncio.to_thread(node.attempt, "ip", *words)


def test_each_peer_is_shown_with_the_device_that_leads_to_it(node: Namespace) -> None:
    async def story(_watch: LinkWatch, heard: Heard) -> None:
        assert {peer: heard.notes[peer] for peer in PEERS} == {
            NEAR: {"device": "eth0", "link": "up"},
            NEAR6: {"device": "eth0", "link": "up"},
            FAR: {"device": "eth1", "link": "up"},
        }

    assert watch(node, story).calls == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("link", "set", "far0", "down"), "device eth0 has no carrier"),
        (("link", "set", "eth0", "down"), "device eth0 is switched off"),
        (("link", "delete", "eth0"), "device eth0 is switched off"),
    ],
)
def test_a_failed_device_cuts_off_its_peers_and_no_others(
    node: Namespace, words: tuple[str, ...], why: str, record_property: Callable[[str, object], None]
) -> None:
    async def story(_watch: LinkWatch, heard: Heard) -> None:
        begun = time.monotonic()
        await ip(node, *words)
        for peer in (NEAR, NEAR6):
            lost = await heard.first("lost", peer)
            assert lost.words == ("link", why)
            record_property(f"told_of_{peer}_ms", round((lost.at_s - begun) * 1000, 1))
            print(f"{' '.join(words)}: told of {peer} {(lost.at_s - begun) * 1000:.1f} ms later")  # noqa: T201

    heard = watch(node, story)
    assert heard.told("lost", FAR) == []
    assert [call.words[0] for call in heard.told("link.down", NEAR)] == [f"{why}: {NEAR} is cut off"]
    assert heard.notes[NEAR]["link"] == "down"


def test_a_device_that_is_gone_is_said_to_be(node: Namespace) -> None:
    """The kernel switches it off first."""

    async def story(_watch: LinkWatch, heard: Heard) -> None:
        await ip(node, "link", "delete", "eth0")
        assert (await heard.first("lost", NEAR, count=2)).words == ("link", "device eth0 is gone")

    assert len(watch(node, story).told("link.down", NEAR)) == 1


@pytest.mark.parametrize("device", ["far0", "eth0"])
def test_a_device_that_returns_brings_its_peers_back_once(node: Namespace, device: str) -> None:
    """IPv6 addresses go when a device is switched off, and have to be given again."""

    async def story(_watch: LinkWatch, heard: Heard) -> None:
        await ip(node, "link", "set", device, "down")
        await heard.first("lost", NEAR6)
        await ip(node, "link", "set", device, "up")
        await ip(node, "addr", "replace", "2001:db8::1/64", "dev", "eth0", "nodad")
        for peer in (NEAR, NEAR6):
            assert (await heard.first("back", peer)).words == ("link",)
        await asyncio.sleep(sum(links.LOOKS_AFTER_NEWS_S))

    heard = watch(node, story)
    assert heard.told("back", FAR) == []
    assert [len(heard.told(what, NEAR)) for what in ("lost", "back", "link.down", "link.up")] == [1, 1, 1, 1]


def test_a_neighbour_is_not_looked_for_behind_the_default_router(node: Namespace) -> None:
    async def story(_watch: LinkWatch, heard: Heard) -> None:
        await ip(node, "addr", "delete", "192.0.2.1/24", "dev", "eth0")
        assert (await heard.first("lost", NEAR)).words == ("link", "device eth0 is not on its network any more")
        await ip(node, "addr", "add", "192.0.2.1/24", "dev", "eth0")
        await heard.first("back", NEAR)

    watch(node, story)


def test_a_device_without_carrier_cuts_off_its_peers_from_the_start(node: Namespace) -> None:
    node.run("ip", "link", "set", "far0", "down")

    async def story(_watch: LinkWatch, heard: Heard) -> None:
        assert [call.words for call in heard.told("lost", NEAR)] == [("link", "device eth0 has no carrier")]

    watch(node, story)


def test_a_peer_that_no_route_leads_to_is_left_to_bgp(node: Namespace) -> None:
    """A route may come; nobody said that something has failed."""
    node.run("ip", "route", "delete", "default")

    async def story(_watch: LinkWatch, heard: Heard) -> None:
        await ip(node, "route", "add", "default", "via", "198.51.100.2")
        await ip(node, "addr", "add", "192.0.2.99/24", "dev", "eth0")
        await heard.noted(NOWHERE, device="eth1", link="up")

    heard = watch(node, story, (NOWHERE,))
    assert heard.told("lost") == []


def test_a_way_by_another_device_is_found(node: Namespace) -> None:
    """One behind routers moves with its route, and fails with its new device."""

    async def story(_watch: LinkWatch, heard: Heard) -> None:
        await ip(node, "route", "replace", "default", "via", "192.0.2.254")
        await ip(node, "addr", "add", "192.0.2.99/24", "dev", "eth0")
        await heard.noted(FAR, device="eth0", link="up")
        await ip(node, "link", "set", "far0", "down")
        await heard.first("lost", FAR)

    watch(node, story)


def test_bad_news_among_lost_notices_is_found_by_looking(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says only that some notices had no room."""
    monkeypatch.setattr(links, "Notices", lambda: Notices(buffer_bytes=1))
    monkeypatch.setattr(links, "LOOK_EVERY_S", 1000.0)
    monkeypatch.setattr(links, "LOOKS_AFTER_NEWS_S", (1000.0,))

    async def story(_watch: LinkWatch, heard: Heard) -> None:
        for number in range(20):
            node.run("ip", "link", "add", f"other{number}", "type", "bridge")
        node.run("ip", "link", "set", "far0", "down")
        await heard.first("lost", NEAR)

    watch(node, story)


def test_a_watch_that_was_stopped_tells_nothing(node: Namespace) -> None:
    async def story(watching: LinkWatch, _heard: Heard) -> None:
        await watching.stop()
        await watching.stop()
        await ip(node, "link", "set", "far0", "down")
        await asyncio.sleep(0.3)

    assert watch(node, story).calls == []
