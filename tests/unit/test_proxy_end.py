"""When an end is read: while there is room for what may come of it."""

from __future__ import annotations

import asyncio

import pytest

from netloom.proxy.end import End


class Transport(asyncio.Transport):
    """Remembers whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def write(self, data: object) -> None:
        del data


class Owner:
    """Of both ends."""

    def came(self, end: End, data: bytes, *, is_last: bool) -> None: ...

    def made(self, end: End) -> None: ...

    def lost(self, end: End, error: Exception | None) -> None: ...


class Pair:
    """Client and server, connected."""

    def __init__(self) -> None:
        self.client, self.server = End(Owner(), is_server=False), End(Owner(), is_server=True)
        self.client.other, self.server.other = self.server, self.client
        self._transports = Transport(), Transport()
        for end, transport in zip((self.client, self.server), self._transports, strict=True):
            end.connection_made(transport)

    @property
    def reads(self) -> tuple[bool, bool]:
        """Whether the client is read, and the server."""
        return self._transports[0].reads, self._transports[1].reads


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_who_does_not_read_holds_the_other_back(pair: Pair) -> None:
    """And himself not: what he sends may be what the other waits for."""
    pair.client.pause_writing()
    assert pair.reads == (True, False)


def test_who_reads_again_lets_the_other_go_on(pair: Pair) -> None:
    pair.client.pause_writing()
    pair.client.resume_writing()
    assert pair.reads == (True, True)


def test_who_asks_and_does_not_read_is_held_back_by_answers_of_our_own(pair: Pair) -> None:
    pair.client.pause_writing()
    pair.client.write(b"denied", pair.client)
    assert pair.reads == (False, False)
    pair.client.resume_writing()
    assert pair.reads == (True, True)


def test_answers_of_the_other_do_not_hold_back_who_asks(pair: Pair) -> None:
    pair.client.pause_writing()
    pair.client.write(b"found", pair.server)
    assert pair.reads == (True, False)


def test_what_is_being_worked_through_is_not_added_to(pair: Pair) -> None:
    """Not even when there is room again."""
    pair.client.wait(waits=True)
    pair.server.pause_writing()
    pair.server.resume_writing()
    assert pair.reads == (False, True)
    pair.client.wait(waits=False)
    assert pair.reads == (True, True)
