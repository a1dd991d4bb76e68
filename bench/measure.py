"""Runs the measurements: interleaved, so that whatever else happens on the machine meets all networks alike."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import drivers
from bench.networks import Pair
from netloom.lab.inside import argv_in

_FIRST_PORT = 5001
PORTS = (_FIRST_PORT, _FIRST_PORT + 1)
"""Of servers, by their CPU."""
CLIENT_CPU = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float
    """Of one measurement."""
    server_cpus: tuple[int, ...]
    """The client is held to CPU 0; a server runs on each of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number."""

    network: str
    server_cpu: int
    metric: str
    """``rr_p50_ns``, ``rr_p99_ns``, ``stream_bits_per_second``, ``connect_per_second``."""
    round: int
    value: float


def build(directory: Path) -> Path:
    """Compile both ends; returns the program."""
    return drivers.build("tcpbench", directory)


def run(program: Path, pairs: Sequence[Pair], plan: Plan, say: Callable[[str], None]) -> Iterator[Sample]:
    """Every network, placement and measurement once a round; each round begins with another network."""
    with ExitStack() as stack:
        for pair in pairs:
            for cpu in plan.server_cpus:
                stack.enter_context(server(program, pair, cpu))
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            shift = number % len(pairs)
            for cpu in plan.server_cpus:
                for what in ("rr", "stream", "connect"):
                    for pair in (*pairs[shift:], *pairs[:shift]):
                        measured = _client(program, pair, cpu, what, plan.seconds)
                        yield from _samples(pair, cpu, what, number, measured)


def _samples(pair: Pair, cpu: int, what: str, number: int, measured: dict[str, float]) -> Iterator[Sample]:
    for name, value in measured.items():
        yield Sample(network=pair.name, server_cpu=cpu, metric=f"{what}_{name}", round=number, value=value)


def _client(program: Path, pair: Pair, cpu: int, what: str, seconds: float) -> dict[str, float]:
    argv = client_argv(program, pair, cpu, what, seconds)
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def client_argv(program: Path, pair: Pair, cpu: int, what: str, seconds: float) -> list[str]:
    """The command that measures against the server on ``cpu``."""
    argv = [str(program), what, pair.server_address, _port(cpu), str(CLIENT_CPU), str(seconds)]
    return argv_in(pair.client_netns, argv)


@contextmanager
def server(program: Path, pair: Pair, cpu: int) -> Iterator[None]:
    """The other end, on a core of its choice, while the block runs."""
    argv = [str(program), "server", pair.server_address, _port(cpu), str(cpu)]
    with subprocess.Popen(argv_in(pair.server_netns, argv), stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "listening\n":
                raise RuntimeError(f"the server of {pair.name} did not start")
            yield
        finally:
            process.terminate()


def _port(cpu: int) -> str:
    return str(PORTS[cpu])
