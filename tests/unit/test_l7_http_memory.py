"""Heads that come again are read once; those that do not leave nothing behind."""

from __future__ import annotations

from netloom_l7_http.memory import COUNT_MAX, Memory
from support.http_talk import Talking, get

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_what_comes_again_is_known() -> None:
    memory: Memory[int] = Memory(8)
    for _ in range(2):
        assert memory.get(b"a") is None
        assert memory.keep(b"a", 1) == 1
    assert memory.get(b"a") == 1


def test_what_came_once_or_is_long_is_not_kept() -> None:
    memory: Memory[int] = Memory(8)
    for number in range(3 * COUNT_MAX):
        memory.keep(b"%d" % number, number)
    for _ in range(3):
        memory.keep(b"123456789", 1)
    assert not memory


def test_it_does_not_grow_without_bound() -> None:
    memory: Memory[int] = Memory(8)
    for number in range(3 * COUNT_MAX):
        for _ in range(2):
            memory.keep(b"%d" % number, number)
    assert 0 < len(memory) <= COUNT_MAX


def test_a_head_that_is_known_and_comes_in_pieces_leaves_nothing_to_the_next() -> None:
    """Which is shorter than what had come of the first."""
    known, short = get("/comes/again/and/again"), get("/")
    for _ in range(3):
        Talking().ask(known)
    talk = Talking().ask(known[:-1]).ask(known[-1:]).reply(OK).ask(short)
    assert talk.to_server == known + short
