"""A connection of HTTP with rules of a policy, and what came of what was said on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netloom.plugins.l7.driver import Broken, Driver, End, Send
from netloom.plugins.l7.rules import read_rule
from netloom_l7_http.plugin import HTTP
from netloom_l7_http.request import HttpRequest

ANYTHING: tuple[Mapping[str, Any], ...] = ({"method": ".*"},)
DENIED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\nAccess denied\r\n"


@dataclass(slots=True)
class Judged:
    """An Exchange."""

    request: HttpRequest
    rules: tuple[Any, ...]
    said: dict[str, str] | None = None

    @property
    def allowed(self) -> bool:
        return bool(self.rules)

    def answered(self, **said: str) -> None:
        assert self.said is None, "told twice"
        self.said = said


@dataclass
class Talking:
    """One connection."""

    rules: tuple[Mapping[str, Any], ...] = ANYTHING
    to_server: bytes = b""
    to_client: bytes = b""
    judged: list[Judged] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Directions that have."""
    broken: str = ""
    """Why."""

    def __post_init__(self) -> None:
        read = [read_rule(HTTP, json.dumps(rule)) for rule in self.rules]
        self._matchers = [(rule, HTTP.matcher(rule)) for rule in read]
        self.driver = Driver(HTTP.new_parser(self._judge))

    def _judge(self, request: HttpRequest) -> Judged:
        judged = Judged(request, tuple(rule for rule, holds in self._matchers if holds(request)))
        self.judged.append(judged)
        return judged

    def ask(self, data: bytes, *, end: bool = False) -> Talking:
        """The client speaks."""
        return self._feed(data, reply=False, end=end)

    def reply(self, data: bytes, *, end: bool = False) -> Talking:
        """The server speaks."""
        return self._feed(data, reply=True, end=end)

    def _feed(self, data: bytes, *, reply: bool, end: bool) -> Talking:
        for action in self.driver.feed(data, reply=reply, end=end):
            match action:
                case Send(reply=True, data=sent):
                    self.to_client += sent
                case Send(data=sent):
                    self.to_server += sent
                case End(reply=is_reply):
                    self.ended.append("replies" if is_reply else "requests")
                case Broken(why=why, fault=fault):
                    assert not fault, why
                    self.broken = why
        return self

    @property
    def paths(self) -> list[str]:
        """As rules saw them."""
        return [one.request.path for one in self.judged]


def get(target: str = "/", *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    """A request without a body."""
    lines = (f"{method} {target} HTTP/{version}", "Host: a", *headers)
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def refused(request: bytes) -> Talking:
    """A connection on which every request may go on, and this one did not: answered so, and broken."""
    talk = Talking().ask(request)
    assert talk.to_server == b""
    assert talk.to_client.startswith(b"HTTP/1.1 4")
    assert b"\r\nConnection: close\r\n" in talk.to_client
    assert talk.broken
    return talk
