"""Tests every parser of an application protocol passes."""

# ruff: noqa: S101, S311 - these are tests, wherever they are kept, and chance is for variety alone

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import cycle
from random import Random
from typing import Any

from netloom.plugins.l7.driver import HELD_BYTES_MAX, Broken, Driver, Send
from netloom.plugins.l7.rules import read_rule
from netloom.plugins.protocols import L7Protocol, Untold

SPLITS = 200
"""Ways of cutting each talk that are tried, beside byte by byte."""
NOISE = 500
"""Streams of chance."""
WORD_BYTES_MAX = 1024
"""Of one value that the access log tells."""


Cut = Callable[[bytes], Iterator[bytes]]
"""Divides bytes into pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A connection as clients and servers make it, and what policies make of it."""

    requests: tuple[bytes, ...]
    """Each from its first byte to its last."""
    replies: tuple[bytes, ...]
    """As many: what a server says to each, if it sees it; ``b""`` for nothing."""
    allowed: tuple[bool, ...]
    """As many: which of them the rules allow."""
    rules: tuple[Mapping[str, Any], ...] = ()
    """As they stand in a policy."""


@dataclass(slots=True)
class Account:
    """What came of a talk."""

    to_server: bytes = b""
    to_client: bytes = b""
    verdicts: list[bool] = field(default_factory=list)
    broken: Broken | None = None


@dataclass(slots=True)
class _Judged:
    """An Exchange."""

    allowed: bool
    rules: tuple[Any, ...] = ()
    answers: int = 0

    def answered(self, **said: str) -> None:
        assert all(len(word) <= WORD_BYTES_MAX for word in said.values()), f"the access log is told too much: {said}"
        self.answers += 1
        assert self.answers == 1, "one request was said to be answered twice"


class Wire:
    """A parser at work: every request is judged by the rules, and everything that goes on is kept."""

    def __init__(self, protocol: L7Protocol, rules: Iterable[Mapping[str, Any]]) -> None:
        self._protocol = protocol
        self._matchers = [_matcher(protocol, json.dumps(rule)) for rule in rules]
        self.account = Account()
        self.requests: list[Any] = []
        """As they were judged, one for each verdict."""
        self.driver = Driver(protocol.new_parser(self._judge))

    def _judge(self, request: Any) -> _Judged:
        for name, word in self._protocol.describe(request).items():
            assert len(word) <= WORD_BYTES_MAX, f"{name} of the access log has {len(word)} bytes"
        self._recall(request)
        allowed = any(matches(request) for matches in self._matchers)
        self.account.verdicts.append(allowed)
        self.requests.append(request)
        return _Judged(allowed)

    def _recall(self, request: Any) -> None:
        """What the access log tells of it is judged as it was, as far as that can be told."""
        if self._protocol.recall is None:
            return
        told = self._protocol.describe(request)
        recalled = self._protocol.recall(dict(told))
        assert dict(self._protocol.describe(recalled)) == dict(told), f"{told} is not recalled as it was"
        for matches in self._matchers:
            with suppress(Untold):
                assert matches(recalled) == matches(request), f"{told} is judged otherwise when it is recalled"

    def feed(self, data: bytes, *, reply: bool, end: bool = False) -> None:
        """Some bytes of one direction."""
        for action in self.driver.feed(data, reply=reply, end=end):
            if isinstance(action, Broken):
                assert not action.fault, f"the parser {action.why}"
                self.account.broken = action
            elif isinstance(action, Send) and action.reply:
                self.account.to_client += action.data
            elif isinstance(action, Send):
                self.account.to_server += action.data


@lru_cache(256)
def _matcher(protocol: L7Protocol, rule: str) -> Callable[[Any], bool]:
    """Read once: a test has many connections."""
    return protocol.matcher(read_rule(protocol, rule))


class ParserConformance:
    """What every parser does. Say which protocol, and how it is spoken."""

    def protocol(self) -> L7Protocol:
        """The protocol under test."""
        raise NotImplementedError

    def talks(self) -> Iterable[Talk]:
        """Connections of every kind: each request there is, allowed and denied, short, long and with a body."""
        raise NotImplementedError

    # --- what comes of a talk ---------------------------------------------------------------------

    def test_each_request_is_judged_and_only_the_allowed_go_on(self) -> None:
        """Byte for byte, one after another."""
        for talk in self.talks():
            account = self._one_by_one(talk)
            assert account.broken is None, account.broken
            assert tuple(account.verdicts) == talk.allowed
            sent = zip(talk.requests, talk.allowed, strict=True)
            assert account.to_server == b"".join(request for request, allowed in sent if allowed)

    def test_replies_reach_the_client_in_turn(self) -> None:
        """Each as the server sent it, and something in place of each that the server never saw."""
        for talk in self.talks():
            rest = self._one_by_one(talk).to_client
            for reply, allowed in zip(talk.replies, talk.allowed, strict=True):
                if allowed and reply:
                    assert reply in rest
                    rest = rest.partition(reply)[2]
            if all(talk.allowed):
                assert rest == b""

    def test_pieces_change_nothing(self) -> None:
        """Byte by byte and cut anywhere, both ways."""
        for talk in self.talks():
            whole = self._one_by_one(talk)
            for cut in (_bytewise, *map(_by_chance, range(SPLITS))):
                assert self._one_by_one(talk, cut) == whole

    def test_requests_may_come_all_at_once(self) -> None:
        """Pipelined, and the replies behind them."""
        for talk in self.talks():
            whole = self._one_by_one(talk)
            for cut in (_whole, _bytewise, *map(_by_chance, range(SPLITS))):
                assert self._pipelined(talk, cut) == whole

    # --- hostile bytes ----------------------------------------------------------------------------

    def test_what_is_cut_short_goes_no_further_than_it_was_judged(self) -> None:
        """Wherever the client stops, the server sees the beginning of what it would have seen."""
        for talk in self.talks():
            whole = self._one_by_one(talk).to_server
            stream = b"".join(talk.requests)
            for length in range(len(stream)):
                wire = Wire(self.protocol(), talk.rules)
                wire.feed(stream[:length], reply=False, end=True)
                assert whole.startswith(wire.account.to_server)

    def test_any_bytes_are_refused_or_judged(self) -> None:
        """Nothing raises, nothing is held without bound, and without rules nothing reaches a server."""
        for seed in range(NOISE):
            chance = Random(seed)
            wire = Wire(self.protocol(), ())
            for piece in _by_chance(seed)(self._noise(chance)):
                wire.feed(piece, reply=False)
            wire.feed(b"", reply=False, end=True)
            assert wire.account.to_server == b""

    def test_any_bytes_of_a_server_break_at_most_their_connection(self) -> None:
        """Whatever it says, and whenever."""
        for seed, talk in zip(range(NOISE), cycle(self.talks()), strict=False):
            chance = Random(seed)
            wire = Wire(self.protocol(), talk.rules)
            wire.feed(b"".join(talk.requests), reply=False)
            wire.feed(chance.randbytes(chance.randrange(1, 300)), reply=True)
            wire.feed(_mutated(chance, b"".join(talk.replies)), reply=True, end=True)

    def test_no_end_of_a_request_is_not_waited_for_for_ever(self) -> None:
        """What never becomes a request breaks the connection before it fills the memory."""
        for talk in self.talks():
            first = talk.requests[0]
            wire = Wire(self.protocol(), ())
            for _ in range(4 * HELD_BYTES_MAX // len(first)):
                wire.feed(first[: max(1, len(first) // 2)], reply=False)
            assert len(wire.driver._requests.held) <= HELD_BYTES_MAX  # noqa: SLF001 - the bound is what is tested

    # --- how ------------------------------------------------------------------------------------

    def _one_by_one(self, talk: Talk, cut: Cut | None = None) -> Account:
        wire = Wire(self.protocol(), talk.rules)
        cut = cut or _whole
        for request, reply, allowed in zip(talk.requests, talk.replies, talk.allowed, strict=True):
            for piece in cut(request):
                wire.feed(piece, reply=False)
            for piece in cut(reply) if allowed else ():
                wire.feed(piece, reply=True)
        return wire.account

    def _pipelined(self, talk: Talk, cut: Cut) -> Account:
        wire = Wire(self.protocol(), talk.rules)
        for piece in cut(b"".join(talk.requests)):
            wire.feed(piece, reply=False)
        replies = zip(talk.replies, talk.allowed, strict=True)
        for piece in cut(b"".join(reply for reply, allowed in replies if allowed)):
            wire.feed(piece, reply=True)
        return wire.account

    def _noise(self, chance: Random) -> bytes:
        """Bytes of chance, or of a talk with some of them changed."""
        if chance.random() < 0.3:
            return chance.randbytes(chance.randrange(1, 500))
        talk = chance.choice(tuple(self.talks()))
        return _mutated(chance, b"".join(talk.requests))


def _whole(data: bytes) -> Iterator[bytes]:
    yield data


def _bytewise(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def _by_chance(seed: int) -> Cut:
    """Into up to six pieces, the same ones for the same bytes."""

    def cut(data: bytes) -> Iterator[bytes]:
        chance = Random(seed)
        places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 6))) if data else []
        for start, end in zip([0, *places], [*places, len(data)], strict=True):
            if start < end:
                yield data[start:end]

    return cut


def _mutated(chance: Random, data: bytes) -> bytes:
    """With some bytes changed, some missing and some twice."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(3):
            case 0:
                changed[at : at + 1] = chance.randbytes(1)
            case 1:
                del changed[at : at + chance.randrange(1, 5)]
            case _:
                changed[at:at] = changed[max(0, at - chance.randrange(1, 20)) : at]
    return bytes(changed)
