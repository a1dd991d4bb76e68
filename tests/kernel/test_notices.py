"""What the kernel gives notice of, and what it is asked to keep for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_network

import pytest

from netloom.edge.notices import NoticeSocket, route_notices
from netloom.edge.ownership import LEARNED_METRIC, LEARNED_PROTOCOL, ROUTE_PROTOCOL
from netloom.edge.strangers import key_in, notices_at_our_metric
from netloom.plan.learned import key_of
from support.netns import Namespace

pytestmark = pytest.mark.kernel

MANY = 20_000


@pytest.fixture
def notices(netns: Namespace) -> Iterator[NoticeSocket]:
    netns.run("ip", "link", "set", "lo", "up")
    made = netns.call(route_notices)
    yield made
    made.close()


def routes(netns: Namespace, action: str, protocol: int, count: int = 1) -> None:
    lines = (f"route {action} blackhole 20.{at >> 8}.{at & 255}.0/24 proto {protocol}" for at in range(count))
    netns.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")


@pytest.mark.parametrize("action", ["add", "delete"])
def test_routes_of_ours_and_of_strangers_are_told_of(netns: Namespace, notices: NoticeSocket, action: str) -> None:
    routes(netns, "add", ROUTE_PROTOCOL)
    assert len(list(notices.read())) == 1
    if action == "delete":
        routes(netns, "delete", ROUTE_PROTOCOL)
        assert len(list(notices.read())) == 1


def test_learnt_routes_are_not(netns: Namespace, notices: NoticeSocket) -> None:
    """However many: none is heard, and no notice of something else is lost for them."""
    routes(netns, "add", LEARNED_PROTOCOL, MANY)
    routes(netns, "delete", LEARNED_PROTOCOL, MANY)
    netns.run("ip", "link", "add", "one", "type", "bridge")
    heard = list(notices.read())
    assert None not in heard
    assert 0 < len(heard) < 10


OURS = f"proto {LEARNED_PROTOCOL} metric {LEARNED_METRIC}"


@pytest.mark.parametrize("prefix", ["20.0.0.0/24", "fd00:20::/64"])
@pytest.mark.parametrize(
    ("words", "count"),
    [
        (f"proto static metric {LEARNED_METRIC}", 1),
        (f"proto {ROUTE_PROTOCOL} metric {LEARNED_METRIC}", 1),
        (OURS, 0),
        ("proto static metric 100", 0),
        ("proto static", 0),
        (f"proto static metric {LEARNED_METRIC} table 100", 0),
    ],
)
def test_of_strangers_at_our_metric_new_routes_are_told_of_and_no_more(
    netns: Namespace, prefix: str, words: str, count: int
) -> None:
    """A routing daemon with a million of its own costs nothing."""
    netns.run("ip", "link", "set", "lo", "up")
    with closing(netns.call(notices_at_our_metric)) as notices:
        for action in ("add", "delete"):
            netns.run("ip", "route", action, prefix, "dev", "lo", *words.split())
        found = list(notices.read())
    assert [key_in(datagram) for datagram in found if datagram] == [key_of(ip_network(prefix))] * count
