"""How long a runtime waits for ADD and DEL: Netloom and the reference plugins in turn, for the same pods."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import drivers
from bench.nodes import Node, node
from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab.inside import argv_in, ip_batch

PLUGINS = Path("/usr/lib/cni")
"""Where Debian's containernetworking-plugins puts them."""
COMMANDS = ("ADD", "DEL")
OURS = "netloom"
PEERS = ("ptp", "bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    rounds: int
    pods: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls of one command, one for each pod, in order."""

    network: str
    command: str
    round: int
    took_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Somebody who attaches pods."""

    name: str
    netns: str
    """Of the node."""
    program: Path
    config: Path


def build(directory: Path) -> Path:
    """Compile what calls; returns the program."""
    return drivers.build("attachbench", directory, "-D_GNU_SOURCE")


@contextmanager
def pods(mark: str, count: int) -> Iterator[str]:
    """Empty namespaces; what their names begin with, before their numbers."""
    prefix = f"{mark}-pod"
    made = 0
    try:
        for number in range(count):
            create_named_netns(f"{prefix}{number}")
            made += 1
        yield prefix
    finally:
        for number in range(made):
            delete_named_netns(f"{prefix}{number}")


def call(driver: Path, candidate: Candidate, command: str, prefix: str, numbers: range) -> tuple[int, ...]:
    """One call for each pod, one after another; nanoseconds of each. Raises RuntimeError when one fails."""
    words = [candidate.program, candidate.config, prefix, numbers.start, len(numbers), command]
    argv = argv_in(candidate.netns, [str(driver), *map(str, words)])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} by {candidate.name} failed: {done.stderr.strip()}")
    return tuple(map(int, done.stdout.split()))


@contextmanager
def ours(home: Node) -> Iterator[Candidate]:
    """Netloom with a running agent, called as runtimes call it."""
    home.start()
    config = home.directory / "netloom.conf"
    config.write_text(json.dumps({"cniVersion": "1.0.0", "name": "bench", "type": "netloom-cni"}))
    yield Candidate(name=OURS, netns=home.name, program=home.install(), config=config)


@contextmanager
def _peer(kind: str, mark: str) -> Iterator[Candidate]:
    """A reference plugin with host-local, for IPv4 alone."""
    name = f"{mark}-{kind}"
    create_named_netns(name)
    try:
        ip_batch(name, ["link set lo up"])
        with TemporaryDirectory(prefix=name) as directory:
            ipam = {"type": "host-local", "subnet": "10.245.0.0/16", "dataDir": f"{directory}/addresses"}
            config = Path(directory, "config")
            gateway = {"isDefaultGateway": True} if kind == "bridge" else {}
            view = {"cniVersion": "1.0.0", "name": name, "type": kind, "ipam": ipam, **gateway}
            config.write_text(json.dumps(view))
            yield Candidate(name=kind, netns=name, program=PLUGINS / kind, config=config)
    finally:
        delete_named_netns(name)


def run(driver: Path, mark: str, plan: Plan, say: Callable[[str], None]) -> Iterator[Calls]:
    """In each round each candidate attaches all pods and detaches them; each round begins with another one."""
    with ExitStack() as stack:
        prefix = stack.enter_context(pods(mark, plan.pods))
        candidates = [stack.enter_context(ours(stack.enter_context(node(mark))))]
        candidates += [stack.enter_context(_peer(kind, mark)) for kind in PEERS]
        for candidate in candidates:  # bridges, directories and caches are made by the first call
            for command in COMMANDS:
                call(driver, candidate, command, prefix, range(1))
        for number in range(plan.rounds):
            say(f"attaching, round {number + 1} of {plan.rounds}")
            shift = number % len(candidates)
            for candidate in (*candidates[shift:], *candidates[:shift]):
                for command in COMMANDS:
                    took = call(driver, candidate, command, prefix, range(plan.pods))
                    yield Calls(network=candidate.name, command=command, round=number, took_ns=took)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is said of one network's calls of one command."""

    minimum_ns: int
    p50_ns: float
    """Medians of the rounds' percentiles."""
    p99_ns: float
    p50_ratio: float
    """Medians of the rounds' ratios to the first of ``PEERS``."""
    p99_ratio: float


def summarise(calls: Sequence[Calls]) -> Mapping[tuple[str, str], Waiting]:
    """By network and command. Pure."""
    by_round = {(item.network, item.command, item.round): item.took_ns for item in calls}
    found = {}
    for network, command in dict.fromkeys((item.network, item.command) for item in calls):
        rounds = [number for name, what, number in by_round if (name, what) == (network, command)]
        own = [by_round[network, command, number] for number in rounds]
        base = [by_round[PEERS[0], command, number] for number in rounds]
        found[network, command] = Waiting(
            minimum_ns=min(map(min, own)),
            p50_ns=_middle([percentile(took, 50) for took in own]),
            p99_ns=_middle([percentile(took, 99) for took in own]),
            p50_ratio=_middle([percentile(a, 50) / percentile(b, 50) for a, b in zip(own, base, strict=True)]),
            p99_ratio=_middle([percentile(a, 99) / percentile(b, 99) for a, b in zip(own, base, strict=True)]),
        )
    return found


def percentile(values: Sequence[float], rank: int) -> float:
    """The least value that ``rank`` of a hundred values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-rank * len(ordered) // 100) - 1)]


def _middle(values: Sequence[float]) -> float:
    return percentile(values, 50)
