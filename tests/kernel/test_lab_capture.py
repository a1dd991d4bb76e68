"""Watchers of a lab: they watch before the block begins, and what they saw is complete after it."""

from __future__ import annotations

import pytest

from netloom.lab.capture import Watcher, tcpdump, watching
from netloom.lab.inside import CommandError
from support.netns import Namespace

pytestmark = pytest.mark.kernel


@pytest.fixture
def loopback(netns: Namespace) -> Namespace:
    netns.run("ip", "link", "set", "lo", "up")
    return netns


def test_the_first_packet_of_the_block_is_seen(loopback: Namespace) -> None:
    """Nothing is missed at the beginning, nothing lost at the end."""
    with watching(loopback.name, tcpdump("lo", "icmp"), lines=2) as seen:
        loopback.run("ping", "-c", "1", "127.0.0.1")
        assert seen == []
    assert ["request" in line for line in seen] == [True, False]


def test_silence_is_an_empty_list(loopback: Namespace) -> None:
    """A watcher that is to see nothing is not waited for."""
    with watching(loopback.name, tcpdump("lo", "icmp6"), lines=0) as seen:
        loopback.run("ping", "-c", "1", "127.0.0.1")
    assert seen == []


def test_a_watcher_that_cannot_begin_is_reported_with_its_words(loopback: Namespace) -> None:
    """A device that is not there, a program that is not installed."""
    with (
        pytest.raises(CommandError, match="no-such-device"),
        watching(loopback.name, tcpdump("no-such-device", "icmp"), lines=0),
    ):
        pass
    missing = Watcher(argv=("no-such-program",), watches=lambda said: "begun" in said)
    with pytest.raises(CommandError, match="no-such-program"), watching(loopback.name, missing, lines=0):
        pass
