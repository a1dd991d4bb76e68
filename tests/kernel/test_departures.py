"""Departures of links are heard of, once each, and nothing else is."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from netloom.agent import removals
from netloom.agent.removals import Removals
from netloom.edge.departures import Departures
from netloom.edge.netlink import Netlink
from netloom.edge.workload import delete_workload
from netloom.model.errors import Conflict
from support.netns import Namespace

pytestmark = pytest.mark.kernel

PAIR = ("ip", "link", "add", "lxc1", "group", str(0x6C6F6F6D), "type", "veth", "peer", "name", "other")


@pytest.fixture
def departures(netns: Namespace) -> Iterator[Departures]:
    """What leaves ``netns``."""
    heard = netns.call(Departures)
    yield heard
    heard.close()


def test_both_ends_of_a_pair_have_left_when_one_is_deleted(
    netns: Namespace, netlink: Netlink, departures: Departures
) -> None:
    netns.run(*PAIR)
    ends = {netlink.require_link(name).ifindex for name in ("lxc1", "other")}
    netns.run("ip", "link", "delete", "lxc1")
    assert departures.take() == ends
    assert departures.take() == frozenset()


def test_nothing_but_departures_is_heard_of(netns: Namespace, departures: Departures) -> None:
    """Neither new links nor changed ones, nor a port that leaves its bridge, which has the same number."""
    netns.run(*PAIR)
    netns.run("ip", "link", "add", "br0", "type", "bridge")
    netns.run("ip", "link", "set", "other", "master", "br0", "up")
    netns.run("ip", "link", "set", "other", "nomaster", "down")
    assert departures.take() == frozenset()


def test_departures_there_was_no_room_for_are_left_out(netns: Namespace, departures: Departures) -> None:
    """The rest is heard, and the next one too."""
    departures._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for number in range(20):
        netns.run("ip", "link", "add", f"lxc{number}", "group", "9", "type", "bridge")
    netns.run("ip", "link", "delete", "group", "9")
    assert len(departures.take()) < 20
    netns.run(*PAIR)
    netns.run("ip", "link", "delete", "lxc1")
    assert departures.take()


def test_a_removal_is_over_when_the_link_has_left_and_not_when_the_kernel_answers(
    netns: Namespace, netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the answer comes only after the removal is over."""
    over, answers = threading.Event(), []

    def delete_and_wait(node: str, name: str) -> bool:
        found = delete_workload(node, name)
        over.wait(60)
        answers.append(found)
        return found

    async def remove() -> None:
        removing = Removals("n1")
        await removing.remove("lxc1", ifindex)
        assert answers == []
        over.set()
        await removing.close()

    monkeypatch.setattr(removals, "delete_workload", delete_and_wait)
    netns.run(*PAIR)
    ifindex = netlink.require_link("lxc1").ifindex
    netns.call(asyncio.run, remove())
    assert netlink.link("lxc1") is None


@pytest.mark.parametrize("known", [True, False])
def test_a_link_that_is_not_there_is_removed_already(netns: Namespace, known: bool) -> None:
    async def remove() -> None:
        removing = Removals("n1")
        await removing.remove("lxc1", 4711 if known else 0)
        await removing.close()

    netns.call(asyncio.run, remove())


def test_a_link_whose_index_nobody_knew_is_removed(netns: Namespace, netlink: Netlink) -> None:
    async def remove() -> None:
        removing = Removals("n1")
        await removing.remove("lxc1", 0)
        await removing.close()

    netns.run(*PAIR)
    netns.call(asyncio.run, remove())
    assert netlink.link("lxc1") is None


def test_a_strangers_link_is_refused_and_stays(netns: Namespace, netlink: Netlink) -> None:
    async def remove() -> None:
        removing = Removals("n1")
        try:
            await removing.remove("lxc1", netlink.require_link("lxc1").ifindex)
        finally:
            await removing.close()

    netns.run("ip", "link", "add", "lxc1", "type", "bridge")
    with pytest.raises(Conflict, match="was not made by Netloom"):
        netns.call(asyncio.run, remove())
    assert netlink.link("lxc1") is not None
