"""What is asked of proxies, by Debian's wrk and h2load, and what these say of it."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.request_peers import GRPC_PORT, HTTP1_PORT, HTTP2_PORT, JOBS
from netloom.lab.inside import argv_in

CPU: Final = 1
"""Of clients, proxies and servers alike: what is left of it tells what a proxy takes."""
AGENT_CPU: Final = 0
PATH: Final = "/api/v1/items/17"
"""The one that the rule with an expression allows."""
CONNECTIONS: Final = 64
WRONG_MAX: Final = 0.01
"""So many answers may be others than they must be: of thousands of ports some are taken again too early."""
H2_CONNECTIONS, H2_STREAMS = 8, 16
MESSAGE: Final = b"\0" + (101).to_bytes(4, "big") + b"x" * 101
"""Of gRPC: not compressed, its length, and so many bytes."""
MESSAGE_FILE: Final = Path(__file__).parent / "out" / "message"
_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_FINISHED: Final = re.compile(r"finished in [0-9.]+\w+, ([0-9.]+) req/s")
_REQUESTS: Final = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_CODES: Final = re.compile(r"status codes: (\d+) 2xx, \d+ 3xx, (\d+) 4xx, \d+ 5xx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One way of asking."""

    name: str
    port: int = HTTP1_PORT
    """Over HTTP/2 at any other; at that of gRPC with a message."""
    method: str = "GET"
    path: str = PATH
    headers: tuple[str, ...] = ()
    is_denied: bool = False
    """What every answer must be."""


KEPT, DENIED, ANEW, STREAMS, UNARY = "keep-alive", "denied", "new connections", "HTTP/2", "gRPC"
LOADS: Final = (
    Load(name=KEPT),
    Load(name=DENIED, method="DELETE", is_denied=True),
    Load(name=ANEW, headers=("Connection: close",)),
    Load(name=STREAMS, port=HTTP2_PORT),
    Load(
        name=UNARY,
        port=GRPC_PORT,
        method="POST",
        path=JOBS,
        headers=("content-type: application/grpc", "te: trailers"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of one run."""

    requests: int
    requests_per_second: float
    p50_us: float = 0
    """0 where the program tells none."""
    p99_us: float = 0


def measure(load: Load, netns: str, server: str, seconds: int) -> Measured:
    """Ask for so long. Raises RuntimeError when an answer is another than it must be."""
    done = subprocess.run(argv(load, netns, server, seconds), capture_output=True, text=True, check=True)
    found, wrong = (read_wrk if load.port == HTTP1_PORT else read_h2load)(done.stdout, is_denied=load.is_denied)
    if not found.requests or wrong > found.requests * WRONG_MAX:
        raise RuntimeError(f"{load.name}: {wrong} requests were not answered as they must be:\n{done.stdout}")
    return found


def argv(load: Load, netns: str, server: str, seconds: int) -> list[str]:
    """The command that asks."""
    headers = [word for header in load.headers for word in ("-H", header)]
    url = f"http://{server}:{load.port}{load.path}"
    if load.port == HTTP1_PORT:
        options = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(_SCRIPT)]
        asking = [*options, *headers, url, "--", load.method]
    else:
        message = ["-d", str(MESSAGE_FILE)] if load.port == GRPC_PORT else []
        options = ["h2load", "-t1", f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", f"-D{seconds}"]
        asking = [*options, *message, *headers, url]
    return argv_in(netns, ["taskset", "-c", str(CPU), *asking])


def read_wrk(text: str, *, is_denied: bool) -> tuple[Measured, int]:
    """What ``wrk.lua`` has printed; and how many answers were others than they must be, or did not come."""
    told = json.loads(text.splitlines()[-1])
    requests = told["requests"]
    found = Measured(
        requests=requests,
        requests_per_second=requests / told["duration_us"] * 1e6,
        p50_us=told["p50_us"],
        p99_us=told["p99_us"],
    )
    wrong = requests - told["refused"] if is_denied else told["refused"]
    return found, wrong + told["broken"]


def read_h2load(text: str, *, is_denied: bool) -> tuple[Measured, int]:
    """The same of h2load. Raises RuntimeError for what it does not say."""
    finished, requests, codes = (pattern.search(text) for pattern in (_FINISHED, _REQUESTS, _CODES))
    if finished is None or requests is None or codes is None:
        raise RuntimeError(f"h2load does not say what it found:\n{text}")
    answered, *broken = map(int, requests.groups())
    wrong = int(codes[1] if is_denied else codes[2])
    return Measured(requests=answered, requests_per_second=float(finished[1])), wrong + sum(broken)
