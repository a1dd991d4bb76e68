"""Many routes into the kernel: as the agent writes what routers have learnt, beside ``ip -batch``.

Both write to an empty namespace of their own with two neighbours: add routes by one, have them lead by both, delete
them. The peer is given its lines in a file, and only reads, asks the kernel and checks its answers; the agent is given
what a router told, and compares, keeps and writes it. Whoever goes first changes with each round.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from statistics import median

from netloom.agent.learned import LearnedRoutes
from netloom.edge.learned_routes import LearnedTable, Outcome, Put
from netloom.edge.netns import call_in_netns, create_named_netns, delete_named_netns, open_netns
from netloom.edge.ownership import LEARNED_METRIC, LEARNED_PROTOCOL
from netloom.lab.inside import argv_in, ip_batch, netns_path
from netloom.model.address import Address, Family, Network
from netloom.plan.learned import Facts, Hops, Key
from netloom.plugins.contract import LearnedRoute, RouteChanges

PEER, OURS = "ip -batch", "Netloom"
WAYS = (PEER, OURS)
"""The first is the base of the ratios."""
ADDED, CHANGED, DELETED = "added", "changed", "deleted"
STEPS = (ADDED, CHANGED, DELETED)
ROUTES, ROUNDS = 10_000, 5
FAMILIES: tuple[Family, ...] = (4, 6)
_NODE = {4: "192.0.2.1/24", 6: "fd00:a::1/64"}
_NEIGHBOURS: Mapping[int, tuple[Address, Address]] = {
    4: (ip_address("192.0.2.2"), ip_address("192.0.2.3")),
    6: (ip_address("fd00:a::2"), ip_address("fd00:a::3")),
}
_FIRST = {4: ip_network("20.0.0.0/24"), 6: ip_network("fd20::/64")}
_STEP_BITS = {4: 8, 6: 64}
_MARK = f"proto {LEARNED_PROTOCOL} metric {LEARNED_METRIC}"
Step = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number."""

    way: str
    family: Family
    step: str
    round: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of all rounds, by way, IP version and step."""

    routes: int
    rounds: int
    seconds: Mapping[tuple[str, Family, str], float]
    """Medians."""
    ratios: Mapping[tuple[str, Family, str], tuple[float, float, float]]
    """To the peer, formed within each round: the median, the least, the most."""


def measure(mark: str, say: Callable[[str], None], routes: int = ROUTES, rounds: int = ROUNDS) -> Written:
    """Takes half a minute."""
    say(f"{routes} routes written {rounds} times by {' and '.join(WAYS)}")
    return summarise(list(_samples(mark, routes, rounds)), routes, rounds)


def summarise(samples: Sequence[Sample], routes: int, rounds: int) -> Written:
    """Pure."""
    times: dict[tuple[str, Family, str], dict[int, float]] = {}
    for one in samples:
        times.setdefault((one.way, one.family, one.step), {})[one.round] = one.seconds
    ratios = {}
    for (way, family, step), by_round in times.items():
        base = times[PEER, family, step]
        found = [seconds / base[number] for number, seconds in by_round.items()]
        ratios[way, family, step] = (median(found), min(found), max(found))
    medians = {key: median(found.values()) for key, found in times.items()}
    return Written(routes=routes, rounds=rounds, seconds=medians, ratios=ratios)


def _samples(mark: str, routes: int, rounds: int) -> Iterator[Sample]:
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            for family in FAMILIES:
                with _namespace(f"{mark}-routes") as name, _steps(way, name, family, routes) as steps:
                    for step in STEPS:
                        began = time.perf_counter()
                        steps[step]()
                        seconds = time.perf_counter() - began
                        _check(name, family, 0 if step == DELETED else routes)
                        yield Sample(way=way, family=family, step=step, round=number, seconds=seconds)


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    """With a cable to a segment where the neighbours would be."""
    create_named_netns(name)
    try:
        lines = ["link add eth0 type veth peer name far", "link set far up", "link set eth0 up"]
        lines += [f"address add {address} dev eth0 {'nodad' * (version == 6)}" for version, address in _NODE.items()]
        ip_batch(name, lines)
        yield name
    finally:
        delete_named_netns(name)


@contextmanager
def _steps(way: str, name: str, family: Family, routes: int) -> Iterator[Mapping[str, Step]]:
    prefixes = list(_prefixes(family, routes))
    with _by_peer(name, family, prefixes) if way == PEER else _by_agent(name, family, prefixes) as steps:
        yield steps


def _prefixes(family: Family, count: int) -> Iterator[Network]:
    first = _FIRST[family]
    for number in range(count):
        yield type(first)((int(first.network_address) + (number << _STEP_BITS[family]), first.prefixlen))


@contextmanager
def _by_peer(name: str, family: Family, prefixes: Sequence[Network]) -> Iterator[Mapping[str, Step]]:
    one, other = _NEIGHBOURS[family]
    commands = {
        ADDED: f"route add {{}} {_MARK} via {one}",
        CHANGED: f"route replace {{}} {_MARK} nexthop via {one} nexthop via {other}",
        DELETED: f"route delete {{}} {_MARK}",
    }

    def step(file: Path) -> None:
        subprocess.run(argv_in(name, ["ip", f"-{family}", "-batch", str(file)]), check=True)

    with tempfile.TemporaryDirectory() as directory:
        files = {what: Path(directory) / what for what in commands}
        for what, command in commands.items():
            files[what].write_text("".join(f"{command.format(prefix)}\n" for prefix in prefixes))
        yield {what: lambda file=file: step(file) for what, file in files.items()}  # type: ignore[misc]


class _Table:
    """The kernel's table for :class:`LearnedRoutes`, without a thread."""

    def __init__(self, table: LearnedTable) -> None:
        self._table = table

    async def read(self) -> dict[Key, Hops]:
        """As :meth:`LearnedTable.read`."""
        return self._table.read()

    async def write(self, puts: Sequence[Put], deletes: Sequence[Key]) -> Outcome:
        """As :meth:`LearnedTable.write`."""
        return self._table.write(puts, deletes)


@contextmanager
def _by_agent(name: str, family: Family, prefixes: Sequence[Network]) -> Iterator[Mapping[str, Step]]:
    one, other = _NEIGHBOURS[family]
    changes = {
        ADDED: RouteChanges(routes=tuple(LearnedRoute(prefix=prefix, via=one) for prefix in prefixes)),
        CHANGED: RouteChanges(routes=tuple(LearnedRoute(prefix=p, via=one, more=(other,)) for p in prefixes)),
        DELETED: RouteChanges(gone=tuple(prefixes)),
    }
    with open_netns(netns_path(name)) as fd:
        table = call_in_netns(fd, LearnedTable)

    async def take(learned: LearnedRoutes, told: RouteChanges) -> None:
        await learned.take("router", told)
        await learned.flush()

    try:
        with asyncio.Runner() as runner:
            learned = LearnedRoutes(("router",), _Table(table), Facts)
            runner.run(learned.resync())
            yield {what: lambda told=told: runner.run(take(learned, told)) for what, told in changes.items()}  # type: ignore[misc]
    finally:
        table.close()


def _check(name: str, family: Family, expected: int) -> None:
    with open_netns(netns_path(name)) as fd:
        table = call_in_netns(fd, LearnedTable)
    try:
        found = sum(len(key) == (5 if family == 4 else 17) for key in table.read())
    finally:
        table.close()
    if found != expected:
        raise RuntimeError(f"{found} routes are in the kernel, expected {expected}")
