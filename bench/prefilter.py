"""Dropping packets by their source: the prefilter beside a drop in nftables' ingress hook, the earliest it has."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from bench import frames
from bench.frames import SprayPlan
from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import prefilter_program
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramKind
from netloom.bpf.programs import LoadedProgram, load_program
from netloom.datapath.maps import Index
from netloom.datapath.prefilter import PREFILTER_MAPS
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import METRICS, metrics_index
from netloom.edge.netlink import Netlink
from netloom.edge.netns import call_in_netns, create_named_netns, delete_named_netns, open_netns
from netloom.lab.inside import argv_in, netns_path
from netloom.plan.prefilter import PRESENT, entries, parse

NFTABLES, GENERIC, NATIVE = "nftables", "Netloom, generic", "Netloom, native"
WAYS = (NFTABLES, GENERIC, NATIVE)
"""The first is the base of the ratios."""
CPU = 0
_FIRST = 100 << 24
"""100.0.0.0."""
_STRIDE = 61_799
"""Prime, and no divisor of any number of prefixes here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What is to be dropped, and by that where frames come from."""

    name: str
    count: int
    bits: int
    """Of each prefix; 32 for single addresses."""

    @property
    def cidrs(self) -> list[str]:
        """Each beside the one before."""
        step = 1 << 32 - self.bits
        numbers = (_FIRST + at * step for at in range(self.count))
        return [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/{self.bits}" for n in numbers]

    @property
    def plan(self) -> SprayPlan:
        """A frame from each prefix in turn, in no order a cache would like."""
        return SprayPlan(first=_FIRST, step=1 << 32 - self.bits, count=self.count, stride=_STRIDE % self.count)


SETS = (
    Refused(name="1 range", count=1, bits=24),
    Refused(name="100,000 ranges", count=100_000, bits=24),
    Refused(name="1 address", count=1, bits=32),
    Refused(name="100,000 addresses", count=100_000, bits=32),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number."""

    refused: str
    way: str
    round: int
    drops_per_second: float
    """Of CPU time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One way with one set; ratios to nftables are formed within each round."""

    drops_per_second: float
    ratio: float
    low: float
    high: float


class Ground:
    """A namespace with one device for nftables and one for XDP in the stack's first step, for one set.

    They are bridges without ports, whose driver has no XDP; frames made inside of the kernel need nothing else.
    """

    def __init__(self, stack: ExitStack, name: str, refused: Refused, compiler: Compiler) -> None:
        self.refused = refused
        self._netns = name
        create_named_netns(name)
        stack.callback(delete_named_netns, name)
        for device in ("nft0", "xdp0"):
            self._run("ip", "link", "add", "name", device, "type", "bridge")
            self._run("ip", "link", "set", device, "up")
        self._fd = stack.enter_context(open_netns(netns_path(name)))
        self._maps = stack.enter_context(MapSet.ephemeral((*PREFILTER_MAPS, METRICS)))
        compiled = compiler.compile(prefilter_program(), kind=ProgramKind.XDP)
        program = stack.enter_context(load_program(compiled, self._maps))
        spray = frames.compile_sprayer(compiler)
        self._to_stack = stack.enter_context(frames.sprayer(spray, refused.plan, None))
        self._to_program = stack.enter_context(frames.sprayer(spray, refused.plan, program))
        self._fill()
        self._fill_nftables()
        self._ifindex = call_in_netns(self._fd, lambda: self._attach(program))

    def drop(self, way: str, count: int) -> float:
        """Have so many frames dropped; how many that makes in a second of CPU time. Raises RuntimeError for others."""
        program = self._to_program if way == NATIVE else self._to_stack
        device = "nft0" if way == NFTABLES else "xdp0"
        counted = self._by_nftables if way == NFTABLES else self._by_netloom
        before = counted()
        spent_ns = call_in_netns(self._fd, lambda: _held(lambda: frames.send(program, self._ifindex[device], count)))
        if counted() - before != count:
            raise RuntimeError(f"{way} dropped {counted() - before} of {count} frames ({self.refused.name})")
        return count / spent_ns * 1e9

    def _attach(self, program: LoadedProgram) -> dict[str, int]:
        """Gives the indexes of both devices. Raises RuntimeError when it is not where it should be."""
        with Netlink(self._netns) as netlink:
            if netlink.xdp.attach("xdp0", program.fd, program.name).mode != "generic":
                raise RuntimeError("the program is in the driver, expected in the stack")
            return {name: netlink.require_link(name).ifindex for name in ("nft0", "xdp0")}

    def _fill(self) -> None:
        for name, keys in entries(map(parse, self.refused.cidrs)).items():
            for key in keys:
                self._maps[name].put_raw(key, PRESENT)

    def _fill_nftables(self) -> None:
        flags = "flags interval;" if self.refused.bits < 32 else ""
        elements = ", ".join(cidr.removesuffix("/32") for cidr in self.refused.cidrs)
        rules = (
            "table netdev bench {\n"
            f" set refused {{ type ipv4_addr; {flags} elements = {{ {elements} }} }}\n"
            " chain ingress {\n type filter hook ingress device nft0 priority -500;\n"
            " ip saddr @refused counter drop\n }\n}\n"
        )
        subprocess.run(argv_in(self._netns, ["nft", "-f", "-"]), input=rules, text=True, check=True)

    def _by_nftables(self) -> int:
        found = re.search(r"counter packets (\d+)", self._run("nft", "list", "chain", "netdev", "bench", "ingress"))
        return int(found[1]) if found else 0

    def _by_netloom(self) -> int:
        place = Index(metrics_index(DropReason.PREFILTERED, Direction.INGRESS))
        return sum(value.packets for value in self._maps.of(METRICS).get_percpu(place) or ())

    def _run(self, *argv: str) -> str:
        done = subprocess.run(argv_in(self._netns, list(argv)), capture_output=True, text=True, check=True)
        return done.stdout


def _held(work: Callable[[], int]) -> int:
    """Run by the calling thread on one CPU."""
    os.sched_setaffinity(0, {CPU})
    return work()


def run(cache: Path, mark: str, rounds: int, count: int, say: Callable[[str], None]) -> Iterator[Sample]:
    """Every set and way once a round, each round beginning with another way; ``count`` frames each time."""
    compiler = Compiler(cache)
    with ExitStack() as stack:
        grounds = [Ground(stack, f"{mark}-drop{at}", refused, compiler) for at, refused in enumerate(SETS)]
        for number in range(-1, rounds):  # the first warms caches up, and is not counted
            say(f"prefilter, round {number + 1} of {rounds}")
            for ground in grounds:
                for way in _shifted(WAYS, number):
                    rate = ground.drop(way, count)
                    if number >= 0:
                        yield Sample(refused=ground.refused.name, way=way, round=number, drops_per_second=rate)


def _shifted(ways: Sequence[str], number: int) -> Iterator[str]:
    at = number % len(ways)
    return iter((*ways[at:], *ways[:at]))


def summarise(samples: Iterable[Sample]) -> Mapping[tuple[str, str], Figure]:
    """Figures by set and way. Pure."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for sample in samples:
        found.setdefault((sample.refused, sample.way), {})[sample.round] = sample.drops_per_second
    return {(refused, way): _figure(rates, found[refused, NFTABLES]) for (refused, way), rates in found.items()}


def _figure(rates: Mapping[int, float], base: Mapping[int, float]) -> Figure:
    ratios = [rate / base[number] for number, rate in rates.items()]
    low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Figure(drops_per_second=median(rates.values()), ratio=middle, low=low, high=high)
