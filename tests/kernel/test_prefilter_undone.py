"""A change of the prefilter that cannot be carried out to its end is undone, with nobody else to do it later."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netloom.agent.kernel import KernelThread
from netloom.agent.prefilter.hook import Hooks, loader
from netloom.agent.prefilter.manager import Parts, Prefilter
from netloom.agent.prefilter.request import Change, Verb
from netloom.agent.prefilter.tables import PrefilterTables
from netloom.bpf.maps import MapSet
from netloom.datapath.maps import MapSpec
from netloom.datapath.prefilter import PREFILTER_MAPS
from netloom.datapath.registry import METRICS
from netloom.edge.files import FileError
from netloom.edge.netlink import Netlink
from netloom.edge.netns import enter_netns, open_netns
from netloom.model.errors import Conflict, Exhausted, NetloomError
from netloom.plan.prefilter import PRESENT, entries, parse
from support.bpf import XDP, load_verdict
from support.netns import Namespace
from support.objects import objects_dir

pytestmark = pytest.mark.kernel

BEFORE = ("192.0.2.1", "198.51.0.0/16")
ROOM = 3
"""In the first map that is written, and in the last."""


class Whole:
    """All parts of a prefilter over a device and maps of its own; no agent comes by to repair anything."""

    def __init__(self, netns: Namespace, file: Path, maps: MapSet, prefilter: Prefilter) -> None:
        self.netns = netns
        self.file = file
        self.maps = maps
        self.prefilter = prefilter

    async def change(self, verb: Verb, *cidrs: str) -> None:
        await self.prefilter.change(Change(verb=verb, cidrs=cidrs, revision=None, force=False))

    async def state(self) -> tuple[dict[str, set[bytes]], list[str], list[str]]:
        """Keys in the kernel, names of programs on the device, and what the agent lists."""
        keys = {spec.name: {key for key, _ in self.maps[spec.name].raw_items()} for spec in PREFILTER_MAPS}
        with self.netns.call(Netlink, "stranger") as netlink:
            names = [each.program.name for each in netlink.xdp.look("eth0")[1]]
        return keys, names, (await self.prefilter.view())["cidrs"]


@pytest.fixture
async def whole(netns: Namespace, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    """Nothing is refused yet."""
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    kernel = KernelThread()
    with open_netns(netns.path) as fd:
        await kernel.run(enter_netns, fd)
    known: list[MapSpec[Any, Any]] = list(PREFILTER_MAPS)
    first, *others, last = known
    specs = (
        replace(first, max_entries=ROOM),
        *others,
        replace(last, max_entries=ROOM),
        METRICS,
    )
    with MapSet.ephemeral(specs) as maps:
        hooks = Hooks(kernel, ("eth0",), loader(objects_dir(tmp_path_factory), maps))
        file = tmp_path / "prefilter.json"
        prefilter = Prefilter(Parts(file=file, tables=PrefilterTables(maps), hooks=hooks, nodes=lambda: ()))
        await prefilter.restore()
        yield Whole(netns, file, maps, prefilter)
        await prefilter.close()
    kernel.close()


async def refused_whole(whole: Whole, error: type[NetloomError], verb: Verb, *cidrs: str) -> None:
    before = await whole.state()
    with pytest.raises(error):
        await whole.change(verb, *cidrs)
    assert await whole.state() == before


async def test_a_file_that_cannot_be_written_leaves_no_entry_and_no_program(whole: Whole) -> None:
    whole.file.mkdir()
    await refused_whole(whole, FileError, Verb.ADD, *BEFORE)


async def test_a_file_that_cannot_be_written_keeps_what_was_to_go(whole: Whole) -> None:
    """The last of the set included, which would have taken the program along."""
    await whole.change(Verb.ADD, *BEFORE)
    whole.file.unlink()
    whole.file.mkdir()
    await refused_whole(whole, FileError, Verb.REMOVE, *BEFORE)
    await refused_whole(whole, FileError, Verb.REPLACE, "203.0.113.7", "2001:db8::/32")


async def test_a_strangers_program_leaves_no_entry(whole: Whole) -> None:
    fd = load_verdict(2, "stranger", kind=XDP)
    with whole.netns.call(Netlink, "stranger") as netlink:
        netlink.xdp.attach("eth0", fd, "stranger")
    await refused_whole(whole, Conflict, Verb.ADD, *BEFORE)
    os.close(fd)


async def test_a_map_that_a_stranger_has_filled_takes_nothing_of_the_others(whole: Whole) -> None:
    """By the sizes it would have fitted: the kernel's refusal comes in the middle."""
    await whole.change(Verb.ADD, *BEFORE)
    strangers = entries(map(parse, ("2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48")))
    for key in strangers["prefilter_net6"]:
        whole.maps["prefilter_net6"].put_raw(key, PRESENT)
    await refused_whole(whole, Exhausted, Verb.ADD, "203.0.113.7", "203.0.113.0/28", "2001:db8::/32", "::1")


async def test_a_full_map_can_be_replaced_whole(whole: Whole) -> None:
    """There is no room for both sets at once."""
    await whole.change(Verb.ADD, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    await whole.change(Verb.REPLACE, "192.0.2.3", "192.0.2.4", "192.0.2.5")
    assert (await whole.state())[2] == ["192.0.2.3/32", "192.0.2.4/32", "192.0.2.5/32"]
