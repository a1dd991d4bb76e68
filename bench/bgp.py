"""What BGP costs a node: how soon its announcements are in a router's kernel, and many routes in its own.

What of that is writing routes is measured by itself (:mod:`bench.routes`).

A rack of one node with a router, FRR, at the other end of a cable; agent, speaker and plugin are those of any node. FRR
is given its routes by the kernel it runs on, and told to spread them in one step, from which is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from typing import TypeVar

from bench import routes
from bench.nodes import resident_bytes
from bench.routes import Written
from netloom.edge.learned_routes import LearnedTable
from netloom.edge.messages import attributes
from netloom.edge.netns import call_in_netns, open_netns
from netloom.edge.routes import ATTRIBUTES_AT, RTA_DST, list_routes
from netloom.edge.rtnl import RtnlSocket
from netloom.lab import routers
from netloom.lab.inside import ip_batch, netns_path
from netloom.lab.lab import Lab, running
from netloom.lab.racks import RackSpec, cables_of
from netloom.lab.topology import LabSpec
from netloom_bgp.client import Gobgp
from netloom_bgp.paths import own_path
from netloom_bgp.settings import Exports

T = TypeVar("T")

SCALES = (10_000, 100_000)
ANNOUNCEMENTS = 100
_POLL_S = 0.001
_WITHIN_S = 180.0
_AS = 65101
_ROUTER_AS = 65000
_FRR_PROTOCOL = 186
"""RTPROT_BGP of linux/rtnetlink.h: what FRR writes."""
_GIVEN_PROTOCOL = 99
"""Of the routes in the router's kernel that it spreads: nobody's."""
_PREFIXES = IPv4Network("20.0.0.0/8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """Many routes from the router into the node's kernel."""

    routes: int
    first_s: float
    """From the router's command until the first is there."""
    all_s: float
    withdrawn_s: float
    """From the router's command until the last is gone."""
    agent_bytes: int
    speaker_bytes: int
    """Resident, with all routes."""
    agent_before_bytes: int
    speaker_before_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcing:
    """Seconds of each announcement and withdrawal, until the router's kernel has done it."""

    announced_s: tuple[float, ...]
    withdrawn_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Everything that was measured."""

    announcing: Announcing
    learning: tuple[Learning, ...]
    writing: Written


def measure(mark: str, say: Callable[[str], None]) -> Spread:
    """Takes two minutes or three."""
    writing = routes.measure(mark, say)
    cable = cables_of(1, 1)[0]
    bgp = {"local_as": _AS, "peers": [{"address": str(cable.tor_ipv4.ip), "remote_as": _ROUTER_AS}]}
    settings = {
        "network_mode": "native",
        "plugins": {"native": {"direct_node_routes": False, "routed": True}, "bgp": bgp},
    }
    spec = LabSpec(name=f"{mark}-bgp", nodes=1, pods_per_node=0, racks=(RackSpec(name="a", nodes=1),), uplinks=1)
    with running(spec, settings) as lab:
        bench = _Bench(lab)
        say(f"{ANNOUNCEMENTS} announcements")
        announcing = bench.announce(ANNOUNCEMENTS)
        learning = tuple(bench.learn(count, say) for count in SCALES)
        return Spread(announcing=announcing, learning=learning, writing=writing)


class _Bench:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._node = lab.topology.nodes[0]
        (self._tor,) = lab.topology.tors
        self._run_dir = lab.files.run_dir / self._node.name

    def announce(self, count: int) -> Announcing:
        prefixes = list(IPv4Network("198.18.0.0/16").subnets(new_prefix=24))[:count]
        with _kernel(self._tor.netns, _FRR_PROTOCOL) as known:
            times = asyncio.run(self._announce(prefixes, known))
        return Announcing(announced_s=times[0], withdrawn_s=times[1])

    async def _announce(
        self, prefixes: Sequence[IPv4Network], known: Callable[[], set[bytes]]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        gobgp = Gobgp(self._run_dir / "bgp" / "gobgpd.sock")
        found: dict[bool, list[float]] = {False: [], True: []}
        try:
            for withdraw, times in found.items():
                for prefix in prefixes:
                    key = prefix.network_address.packed
                    began = time.monotonic()
                    await gobgp.add_paths([own_path(prefix, Exports(), withdraw=withdraw)])
                    _wait(partial(_is_done, key, known, withdraw=withdraw))
                    times.append(time.monotonic() - began)
        finally:
            gobgp.close()
        return tuple(found[False]), tuple(found[True])

    def learn(self, many: int, say: Callable[[str], None]) -> Learning:
        say(f"{many} routes")
        before = self._resident()
        prefixes = [_PREFIXES.network_address + (number << 8) for number in range(many)]
        lines = [f"blackhole {prefix}/24 proto {_GIVEN_PROTOCOL}" for prefix in prefixes]
        ip_batch(self._tor.netns, [f"route add {line}" for line in lines])
        table = _inside(self._node.netns, LearnedTable)
        try:
            count = len(table.read())
            began = time.monotonic()
            self._spread("redistribute kernel")
            _wait(lambda: len(table.read()) > count)
            first_s = time.monotonic() - began
            _wait(lambda: len(table.read()) >= count + many)
            all_s = time.monotonic() - began
            after = self._resident()
            began = time.monotonic()
            self._spread("no redistribute kernel")
            _wait(lambda: len(table.read()) <= count)
            withdrawn_s = time.monotonic() - began
        finally:
            table.close()
        ip_batch(self._tor.netns, [f"route delete {line}" for line in lines])
        return Learning(
            routes=many,
            first_s=first_s,
            all_s=all_s,
            withdrawn_s=withdrawn_s,
            agent_bytes=after[0],
            speaker_bytes=after[1],
            agent_before_bytes=before[0],
            speaker_before_bytes=before[1],
        )

    def _spread(self, command: str) -> None:
        routers.vtysh(
            self._tor, "configure terminal", f"router bgp {_ROUTER_AS}", "address-family ipv4 unicast", command
        )

    def _resident(self) -> tuple[int, int]:
        agent = self._lab.agent(self._node.name)
        if agent is None:
            raise RuntimeError("the agent has ended")
        speaker = int((self._run_dir / "bgp" / "gobgpd.pid").read_text().split()[0])
        return resident_bytes(agent.pid), resident_bytes(speaker)


@contextlib.contextmanager
def _kernel(netns: str, protocol: int) -> Iterator[Callable[[], set[bytes]]]:
    """Asks for the network addresses of a namespace's IPv4 routes of a protocol."""
    sock = _inside(netns, RtnlSocket)
    try:
        yield lambda: {
            dict(attributes(raw, ATTRIBUTES_AT)).get(RTA_DST, b"") for raw in sock.dump(list_routes(4, protocol))
        }
    finally:
        sock.close()


def _is_done(key: bytes, known: Callable[[], set[bytes]], *, withdraw: bool) -> bool:
    return (key in known()) is not withdraw


def _inside(netns: str, make: Callable[[], T]) -> T:
    """Something with a socket of a namespace."""
    with open_netns(netns_path(netns)) as fd:
        return call_in_netns(fd, make)


def _wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + _WITHIN_S
    while not done():
        if time.monotonic() > until:
            raise RuntimeError(f"routes were not as they should be within {_WITHIN_S:g} s")
        time.sleep(_POLL_S)
