"""What the HTTP parser costs a request and its reply, in CPU time, beside llhttp alone: ``python -m bench.l7_http``.

Three rules, one of them with a regular expression; a head as load generators send it, over and over, and heads that
never come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from httptools import HttpRequestParser, HttpResponseParser

from netloom.plugins.l7.driver import Driver
from netloom_l7_http.plugin import HTTP
from netloom_l7_http.schema import Rule

ROUNDS: Final = 7
MESSAGES: Final = 10_000
RULES: Final = (
    Rule(method="GET", path="/public/.*"),
    Rule(method="POST", path="/jobs/new"),
    Rule(method="GET", path="/api/v[12]/items(/.*)?"),
)
FIELDS: Final = b"Host: 10.1.2.3:8080\r\nUser-Agent: bench\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
GET: Final = b"GET /api/v1/items/17 HTTP/1.1\r\n" + FIELDS
DELETE: Final = b"DELETE /api/v1/items/17 HTTP/1.1\r\n" + FIELDS
REPLY: Final = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sat, 28 Nov 2026 06:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 101\r\nConnection: keep-alive\r\n\r\n" + b"x" * 101
)


class Judged:
    """An Exchange."""

    __slots__ = ("allowed", "rules")

    def __init__(self, allowed: bool) -> None:
        self.allowed, self.rules = allowed, ()

    def answered(self, **said: str) -> None:
        """Nobody is told."""


class Fields:
    """Takes what llhttp finds."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        """The target."""
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.found.append((name, value))


def best_us(work: Callable[[], Any]) -> float:
    """Of one call."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(MESSAGES):
            work()
        rounds.append(time.process_time() - begun)
    return min(rounds) / MESSAGES * 1e6


def connection() -> Driver:
    """Driven as the proxy does it."""
    matchers = [HTTP.matcher(rule) for rule in RULES]
    return Driver(HTTP.new_parser(lambda request: Judged(any([holds(request) for holds in matchers]))))  # noqa: C419


def exchanged(driver: Driver, request: bytes) -> None:
    """A request and its reply."""
    driver.feed(request, reply=False)
    driver.feed(REPLY, reply=True)


def by_llhttp() -> None:
    """The same two messages, parsed and nothing else."""
    HttpRequestParser(Fields()).feed_data(GET)
    HttpResponseParser(Fields()).feed_data(REPLY)


def main() -> None:
    """Print a table."""
    driver, numbers = connection(), count()
    costs = {
        "llhttp alone, request and reply": best_us(by_llhttp),
        "parsed, judged and driven, the same head again": best_us(lambda: exchanged(driver, GET)),
        "the same, each path once": best_us(lambda: exchanged(driver, GET.replace(b"17", b"%d" % next(numbers), 1))),
        "denied": best_us(lambda: driver.feed(DELETE, reply=False)),
    }
    for name, cost_us in costs.items():
        print(f"{cost_us:6.2f} us  {name}")


if __name__ == "__main__":
    main()
