"""The agent and the connection maps: swept of what has expired, shown, and forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from yarl import URL

from netloom.agent.connection_api import read_conditions
from netloom.agent.connections import Connections
from netloom.bpf.maps import MapSet
from netloom.datapath.connections import (
    CONNECTION_MAPS,
    CONNECTIONS_ANY,
    CONNECTIONS_TCP,
    ConnectionInfo,
    ConnectionKey,
)
from netloom.datapath.layout import encode
from netloom.datapath.maps import MapSpec
from netloom.model.errors import Invalid
from netloom.plan.sweeps import FIRST_PAUSE_S
from support.maps import small

pytestmark = pytest.mark.bpf

HOUR_NS = 3600 * 10**9
LIVE = ConnectionInfo(0, 1, 60, 0, 0, 300, 301, 1, 80, 0)
FULL = CONNECTIONS_TCP


@pytest.fixture
def maps() -> Iterator[MapSet]:
    specs: tuple[MapSpec[Any, Any], ...] = CONNECTION_MAPS
    with MapSet.ephemeral(map(small, specs)) as opened:
        yield opened


def write(maps: MapSet, *ports: int, protocol: int = 6, left_ns: int = HOUR_NS) -> None:
    """Connections of 10.0.0.1 at these ports with 10.0.0.2."""
    spec = CONNECTIONS_TCP if protocol == 6 else CONNECTIONS_ANY
    for port in ports:
        key = ConnectionKey(ip_address("10.0.0.1"), ip_address("10.0.0.2"), port, 80, protocol)
        maps.of(spec).put(key, replace(LIVE, expires_ns=time.monotonic_ns() + left_ns))


def ports(connections: Connections) -> list[int]:
    return sorted(one.source_port for one in connections.live())


async def test_a_sweep_removes_what_has_expired_and_nothing_else(maps: MapSet) -> None:
    write(maps, *range(1, 6), left_ns=-1)
    write(maps, 10, 11)
    write(maps, 20, protocol=17, left_ns=-1)
    write(maps, 30, protocol=17)
    connections = Connections(maps)
    done = await connections.sweep()
    assert ((done.seen, done.removed), ports(connections)) == ((9, 6), [10, 11, 30])
    assert connections.held() == {"connections_tcp": 2, "connections_any": 1}


async def test_what_expired_is_not_shown_before_it_is_swept(maps: MapSet) -> None:
    write(maps, 1)
    write(maps, 2, left_ns=-1)
    assert ports(Connections(maps)) == [1]


async def test_sweeps_come_sooner_where_much_expires_and_later_where_nothing_does(maps: MapSet) -> None:
    connections = Connections(maps)
    await connections.sweep()
    later = connections.pause_s
    write(maps, *range(1, 10), left_ns=-1)
    write(maps, 10)
    await connections.sweep()
    assert later > FIRST_PAUSE_S > connections.pause_s
    assert (connections.removed, connections.last and connections.last.removed_share) == (9, 0.9)


async def test_a_loop_of_sweeps_tells_of_each(maps: MapSet) -> None:
    told = asyncio.Event()
    loop = asyncio.create_task(Connections(maps, told.set).run())
    await told.wait()
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_all_connections_can_be_forgotten(maps: MapSet) -> None:
    write(maps, 1, 2)
    write(maps, 3, protocol=17)
    connections = Connections(maps)
    assert (await connections.forget(), ports(connections)) == (3, [])


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("port=2", [1, 3]),
        ("port=1&port=3", [2]),
        ("protocol=17", [1, 2]),
        ("address=10.0.0.2&port=2", [1, 3]),
        ("address=10.0.0.9", [1, 2, 3]),
        ("port=80", []),
    ],
)
async def test_those_that_fit_can_be_forgotten(maps: MapSet, query: str, left: list[int]) -> None:
    write(maps, 1, 2)
    write(maps, 3, protocol=17)
    connections = Connections(maps)
    forgotten = await connections.forget(read_conditions(URL(f"?{query}").query).hold)
    assert (forgotten, ports(connections)) == (3 - len(left), left)


@pytest.mark.parametrize("query", ["port=http", "address=nobody", "protocol=-1", "pod=x", "limit=1"])
def test_a_condition_that_cannot_be_is_refused(query: str) -> None:
    with pytest.raises(Invalid):
        read_conditions(URL(f"?{query}").query)


async def test_an_answer_says_how_many_there_are_when_it_holds_fewer(maps: MapSet) -> None:
    write(maps, *range(1, 8))
    found, total = await Connections(maps).select(lambda one: one.source_port > 2, 3)
    assert (len(found), total) == (3, 5)


async def test_the_loop_goes_on_while_a_full_table_is_swept() -> None:
    """Half a million entries, half of which have expired."""
    with MapSet.ephemeral((FULL, small(CONNECTIONS_ANY))) as maps:
        now_ns = time.monotonic_ns()
        infos = [encode(replace(LIVE, expires_ns=now_ns + offset)) for offset in (-1, HOUR_NS)]
        first = encode(ConnectionKey(ip_address("10.0.0.1"), ip_address("10.0.0.2"), 0, 80, 6))
        for start in range(0, FULL.max_entries // 2, 4096):
            keys = [first[:12] + number.to_bytes(4) + first[16:] for number in range(start, start + 4096)]
            maps.of(CONNECTIONS_TCP).put_all_raw([(key, infos[at % 2]) for at, key in enumerate(keys)])
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        connections = Connections(maps)
        ticking = asyncio.create_task(tick())
        done = await connections.sweep()
        ticking.cancel()
    assert (done.seen, done.removed) == (FULL.max_entries // 2, FULL.max_entries // 4)
    assert ticks > 100
