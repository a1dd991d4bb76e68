"""Numbered requests of HTTP over several connections, and the whole truth about them afterwards.

Of those to `/always/N` every policy of a test allows each, of those to `/never/N` none, and about `/sometimes/N` they
disagree. They are pipelined, and sent in pieces.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from netloom.model.l7 import L7Entry, L7Rule, L7Table
from support.proxy_world import CLIENT, World, eventually, ingress

KINDS: Final = ("always", "never", "sometimes")
CLIENTS: Final = 4
BATCH_MAX: Final = 12
ASKED: Final = re.compile(rb"GET /(\w+)/(\d+) HTTP/1\.1\r\nHost: a\r\n\r\n")
ANSWER: Final = re.compile(rb"HTTP/1\.1 (\d+) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n([^\r]*)\r\n")


def _table(*kinds: str) -> L7Table:
    rules = tuple(
        L7Rule(rule=f'{{"method": "GET", "path": "/{kind}/[0-9]+"}}', policy="p", origin=kind) for kind in kinds
    )
    return ingress(L7Entry(peers=(CLIENT,), ports=((7000, 7999),), protocol="http", rules=rules))


NARROW: Final = _table("always")
WIDE: Final = _table("always", "sometimes")


@dataclass(slots=True)
class Talk:
    """One connection of a client."""

    asked: list[tuple[str, int]] = field(default_factory=list)
    """Kinds and numbers, in turn."""
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    """Status and body, in turn."""
    is_broken: bool = False
    """Whether it ended otherwise than by the client."""

    def answered(self) -> Iterator[tuple[str, int, int, bytes]]:
        """Kind, number, status and body of each answer, in turn."""
        for (kind, number), (status, body) in zip(self.asked, self.answers, strict=False):
            yield kind, number, status, body

    def faults(self, served: list[int]) -> Iterator[str]:
        """What is wrong with it; ``served`` are those that the server has answered."""
        if len(self.answers) > len(self.asked):
            yield f"{len(self.asked)} requests and {len(self.answers)} answers"
        for kind, number, status, body in self.answered():
            if (status, body) not in {(200, b"%d" % number), (403, b"Access denied")}:
                yield f"{kind} {number} was answered {status} {body!r}"
            if kind != "sometimes" and (kind == "always") != (status == 200):
                yield f"{kind} {number} was answered {status}"
        told = [number for _, number, status, _ in self.answered() if status == 200]
        asked = {number for _, number in self.asked}
        mine = [number for number in served if number in asked]
        if mine[: len(told)] != told or (len(mine) > len(told) and not self.is_broken):
            yield f"answered {told}, of which the server has seen {mine}"


class Load:
    """Clients that ask, each in a thread, and a server in another."""

    def __init__(self, lab: World) -> None:
        self._lab = lab
        self._over, self._all_asked = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self.talks: list[Talk] = []
        self.served: list[tuple[str, int]] = []
        """What the server has seen, in turn."""
        self._listener = lab.listen()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads += [threading.Thread(target=self._ask, args=(Random(seed),)) for seed in range(CLIENTS)]  # noqa: S311
        for thread in self._threads:
            thread.start()

    def goes_on(self, count: int = 200) -> None:
        """Wait until so many more were served."""
        wanted = len(self.served) + count
        eventually(lambda: len(self.served) >= wanted, f"{count} more requests")

    def stop(self) -> None:
        """Let what was asked be answered, and no more."""
        self._over.set()
        for thread in self._threads[1:]:
            thread.join()
        self._all_asked.set()
        self._threads[0].join()
        self._listener.close()

    def faults(self) -> list[str]:
        """Everything that was lost, doubled, exchanged, or let through or denied wrongly."""
        numbers = [number for _, number in self.served]
        found = [f"never {number} was let through" for kind, number in self.served if kind == "never"]
        found += ["a request was served twice"] if len(set(numbers)) != len(numbers) else []
        return found + [fault for talk in self.talks for fault in talk.faults(numbers)]

    def statuses(self, kind: str) -> set[int]:
        """Of answers to requests of a kind."""
        return {status for talk in self.talks for asked, _, status, _ in talk.answered() if asked == kind}

    @property
    def broken(self) -> int:
        """Connections that ended otherwise than by the client."""
        return sum(talk.is_broken for talk in self.talks)

    # --- clients ------------------------------------------------------------------------------------

    def _ask(self, chance: Random) -> None:
        while not self._over.is_set():
            talk = Talk()
            self.talks.append(talk)
            try:
                with self._lab.connected() as client:
                    while not self._over.is_set():
                        self._batch(talk, client, chance)
            except OSError:
                talk.is_broken = True
                self._over.wait(0.01)

    def _batch(self, talk: Talk, client: socket.socket, chance: Random) -> None:
        with self._lock:
            count = chance.randint(1, BATCH_MAX)
            batch = [(chance.choice(KINDS), self._number + one) for one in range(count)]
            self._number += count
        talk.asked += batch
        data = b"".join(b"GET /%s/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (kind.encode(), number) for kind, number in batch)
        cut = chance.randrange(len(data))
        client.sendall(data[:cut])
        client.sendall(data[cut:])
        rest = b""
        while len(talk.answers) < len(talk.asked):
            piece = client.recv(1 << 16)
            if not piece:
                raise ConnectionResetError
            rest += piece
            end = 0
            for found in ANSWER.finditer(rest):
                talk.answers.append((int(found[1]), found[2]))
                end = found.end()
            rest = rest[end:]

    # --- the server ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        rests: dict[socket.socket, bytes] = {}
        with selectors.DefaultSelector() as selector:
            self._listener.setblocking(False)
            selector.register(self._listener, selectors.EVENT_READ)
            while (ready := selector.select(0.1)) or not self._all_asked.is_set():
                for key, _ in ready:
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._listener:
                        made, _ = end.accept()
                        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        rests[made] = b""
                        selector.register(made, selectors.EVENT_READ)
                    elif not self._answered(end, rests):
                        selector.unregister(end)
                        del rests[end]
                        end.close()
        for end in rests:
            end.close()

    def _answered(self, end: socket.socket, rests: dict[socket.socket, bytes]) -> bool:
        """Whether the connection goes on."""
        try:
            piece = end.recv(1 << 16)
            data = rests[end] + piece
            at = 0
            while found := ASKED.match(data, at):
                at = found.end()
                self.served.append((found[1].decode(), int(found[2])))
                end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(found[2]) + 2, found[2]))
            rests[end] = data[at:]
        except OSError:
            return False
        return bool(piece)


@contextmanager
def load(lab: World) -> Iterator[Load]:
    """Within the block, and at its end the truth."""
    running = Load(lab)
    try:
        running.goes_on()
        yield running
    finally:
        running.stop()
    assert running.faults() == []


def changing(put: Callable[[L7Table], object], over: threading.Event) -> None:
    """One table and the other, a hundred times a second."""
    turn = 0
    while not over.wait(0.01):
        turn += 1
        put((NARROW, WIDE)[turn % 2])


@contextmanager
def policies_change(put: Callable[[L7Table], object]) -> Iterator[None]:
    """Within the block, as :func:`changing` does it."""
    over = threading.Event()
    changer = threading.Thread(target=changing, args=(put, over))
    changer.start()
    try:
        yield
    finally:
        over.set()
        changer.join()
