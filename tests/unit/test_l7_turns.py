"""Parsers made of requests and replies: everybody is answered in turn, whoever is denied too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from netloom.plugins import L7Protocol
from netloom.plugins.l7.driver import Broken, Driver, Send
from netloom.plugins.l7.turns import WAITING_MAX, Part, Request, Unspoken, in_turn
from netloom.plugins.testing import ParserConformance, Talk


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Request):
    """A line; with `!` at its front nobody answers it."""

    word: str


class Lines:
    """Requests and replies are lines. A reply goes on while its lines end in `+`."""

    def parse_request(self, data: bytes) -> Line | None:
        line, end, _ = data.partition(b"\n")
        if not line.isascii() or len(line) > 64:
            raise Unspoken("no line")
        word = line.decode()
        return Line(size_bytes=len(line) + 1, is_answered=not word.startswith("!"), word=word) if end else None

    def parse_reply(self, data: bytes, request: Line) -> Part | None:
        del request
        line, end, _ = data.partition(b"\n")
        return Part(len(line) + 1, is_last=not line.endswith(b"+")) if end else None

    def deny(self, request: Line) -> bytes:
        return f"no {request.word}\n".encode()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A word."""

    word: str


LINES = L7Protocol(
    name="lines",
    rule_type=Rule,
    matcher=lambda rule: lambda line: bool(line.word == rule.word),
    describe=lambda line: {"word": line.word},
    new_parser=in_turn(Lines),
)


class TestLines(ParserConformance):
    """What every parser keeps is kept by those that are made so."""

    def protocol(self) -> L7Protocol:
        return LINES

    def talks(self) -> Iterable[Talk]:
        return (
            Talk(
                rules=({"word": "a"}, {"word": "!b"}),
                requests=(b"a\n", b"x\n", b"!b\n", b"!x\n", b"a\n", b"y\n"),
                replies=(b"1+\n2\n", b"", b"", b"", b"3\n", b""),
                allowed=(True, False, True, False, True, False),
            ),
        )


@dataclass
class Told:
    """A judge who lets words go on, and an exchange of each."""

    words: frozenset[str]
    answered: list[str] = field(default_factory=list)

    def __call__(self, line: Any) -> Asked:
        return Asked(self, line.word, allowed=line.word in self.words)


@dataclass
class Asked:
    """An Exchange."""

    told: Told
    word: str
    allowed: bool
    rules: tuple[Any, ...] = ()

    def answered(self, **said: str) -> None:
        del said
        self.told.answered.append(self.word)


def connection(*words: str) -> tuple[Driver, Told]:
    """One on which these words may go on."""
    told = Told(frozenset(words))
    return Driver(LINES.new_parser(told)), told


def test_who_is_denied_is_answered_when_the_replies_before_have_ended() -> None:
    driver, _ = connection("a")
    assert driver.feed(b"a\nx\n", reply=False) == (Send(False, b"a\n"),)
    assert driver.feed(b"1+\n", reply=True) == (Send(True, b"1+\n"),)
    assert driver.feed(b"2\n", reply=True) == (Send(True, b"2\nno x\n"),)


def test_who_is_denied_with_nobody_waiting_is_answered_at_once() -> None:
    driver, _ = connection("a")
    assert driver.feed(b"x\n", reply=False) == (Send(True, b"no x\n"),)


def test_a_request_is_answered_once_its_reply_begins() -> None:
    driver, told = connection("a", "b")
    driver.feed(b"a\nb\nx\n", reply=False)
    driver.feed(b"1+\n2\n", reply=True)
    assert told.answered == ["a"]
    driver.feed(b"3\n", reply=True)
    assert told.answered == ["a", "b", "x"]


def test_a_request_without_a_reply_waits_for_none() -> None:
    driver, told = connection("!a", "b")
    driver.feed(b"!a\nb\n", reply=False)
    assert told.answered == ["!a"]
    driver.feed(b"1\n", reply=True)
    assert told.answered == ["!a", "b"]


def test_a_reply_nobody_asked_for_breaks_the_connection() -> None:
    driver, _ = connection("a")
    assert driver.feed(b"1\n", reply=True) == (Broken("a reply that nobody has asked for"),)


def test_who_sends_and_never_reads_is_refused() -> None:
    driver, _ = connection("a")
    *_, broken = driver.feed(b"a\n" * (WAITING_MAX + 1), reply=False)
    assert isinstance(broken, Broken)
    assert not broken.fault
