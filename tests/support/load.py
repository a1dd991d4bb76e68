"""Traffic between pods while something else happens, and the whole truth about it afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netloom.lab.inside import argv_in
from support.cluster import PodView

HERE = Path(__file__).parent
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """From one pod to another."""

    client: PodView
    server: PodView

    def __str__(self) -> str:
        return f"{self.client.name} to {self.server.name}"


@dataclass(slots=True)
class Account:
    """What became of the traffic, complete when the block has ended."""

    trouble: list[str] = field(default_factory=list)
    """Everything that got lost, doubled or changed, in words."""
    pings: int = 0
    """Echo requests sent."""
    lost: int = 0
    """Of these, how many nothing came back from."""
    streamed_bytes: int = 0
    """Sent, and come through as they were."""


@contextmanager
def under_load(routes: Sequence[Route]) -> Iterator[Account]:
    """Between each two pods, a thousand pings a second of either family, and a TCP stream of either."""
    account = Account()
    with ExitStack() as running:
        pings = {
            f"{route} by IPv{version}": running.enter_context(
                _program(route.client, "pinging.py", str(route.server.address(version)))
            )
            for route in routes
            for version in (4, 6)
        }
        streams = {
            f"{route} by IPv{version}": _stream(running, route, version) for route in routes for version in (4, 6)
        }
        for process in (*pings.values(), *(client for _, client in streams.values())):
            assert _line(process) == "ready"
        yield account
        for process in (*pings.values(), *(client for _, client in streams.values())):
            process.terminate()
        for name, process in pings.items():
            _judge_pings(account, name, json.loads(_line(process)))
        for name, (server, client) in streams.items():
            _judge_stream(account, name, _line(client), server)


def _stream(running: ExitStack, route: Route, version: int) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    address = str(route.server.address(version))
    server = running.enter_context(_program(route.server, "streaming.py", "listen", address))
    client = running.enter_context(_program(route.client, "streaming.py", "send", address, _line(server)))
    return server, client


def _judge_pings(account: Account, name: str, found: dict[str, Any]) -> None:
    account.pings += found["sent"]
    account.lost += len(found["missing"])
    if found["missing"] or found["twice"]:
        missing = found["missing"]
        account.trouble.append(
            f"{name}: {len(missing)} of {found['sent']} lost {missing[:9]}, {found['twice']} doubled"
        )


def _judge_stream(account: Account, name: str, sent: str, server: subprocess.Popen[str]) -> None:
    received, words = server.communicate(timeout=WITHIN_S)
    if sent != received.strip():
        account.trouble.append(f"stream {name}: sent {sent or 'less'}, received {received.strip()}: {words}")
    account.streamed_bytes += int(sent or 0)


@contextmanager
def _program(pod: PodView, file: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = argv_in(pod.netns, [sys.executable, str(HERE / file), *arguments])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WITHIN_S)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
