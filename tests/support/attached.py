"""What hangs on a device, whichever way it is attached, seen and changed as a stranger would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from netloom.edge import requests, tcx
from netloom.edge.answers import FilterInfo, filter_info
from netloom.edge.filters import Way
from netloom.edge.netlink import Direction, Netlink
from netloom.edge.netns import call_in_netns, open_netns
from netloom.edge.requests import Attachment

needs_tcx = pytest.mark.skipif(not tcx.supported(), reason=f"needs Linux {tcx.SINCE}")
Attaching: TypeAlias = Callable[[Way], Netlink]
"""Fixture ``attaching`` of the kernel tests: a node that attaches in a given way."""
CLSACT_ONLY = "datapath: {attach: clsact}\n"
"""For a node config: programs hang where tc(8) can see and remove them; Debian's tools know nothing of tcx."""


def ours_on(netns: Path, device: str, direction: Direction) -> list[FilterInfo]:
    """Programs of ours, tcx's first."""
    return [found for found in all_on(netns, device, direction) if found.ours]


def all_on(netns: Path, device: str, direction: Direction) -> list[FilterInfo]:
    """Everybody's programs by tcx, in order, then what hangs at our priority of clsact."""
    with _looking(netns, device, direction) as (netlink, place, fd):
        shown = call_in_netns(fd, lambda: tcx.programs(place)) if tcx.supported() else ()
        filters = (filter_info(raw) for raw in netlink.socket.dump(requests.list_filters(place)))
        return [
            *(FilterInfo(kind="tcx", name=item.name, program_id=item.id, tag=item.tag) for item in shown),
            *(item for item in filters if item is not None),
        ]


def strip(netns: Path, device: str, direction: Direction) -> None:
    """Take our programs off behind the agent's back; the test fails when there is none."""
    with _looking(netns, device, direction) as (netlink, _, _):
        assert netlink.detach_filter(device, direction)


@contextmanager
def _looking(netns: Path, device: str, direction: Direction) -> Iterator[tuple[Netlink, Attachment, int]]:
    with open_netns(netns) as fd, call_in_netns(fd, lambda: Netlink("stranger")) as netlink:
        link = netlink.require_link(device)
        yield netlink, Attachment(device=device, ifindex=link.ifindex, direction=direction), fd
