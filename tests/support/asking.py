"""Pods that ask each other who they are: many questions at once, over TCP, UDP and SCTP, IPv4 and IPv6.

Every pod serves on the same ports, and answers with its name: by TCP to whoever connects, by UDP to whatever comes,
by SCTP in the cookie of an INIT ACK. A question without an answer was dropped on its way, and whoever dropped it has
counted it. So nothing is waited for in the hope that it does not come: a round is over when each question was answered
or counted.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol as Interface
from typing import TypeVar

from netloom.edge.netns import call_in_netns, open_netns
from netloom.lab.inside import netns_path
from netloom.model.address import Address
from netloom.model.policy import Protocol
from support import sctp

PORTS = (80, 81)
"""Those on which every pod serves, by each protocol."""
VERSIONS = (4, 6)
_IDLE_S = 0.01
_NAME_BYTES = 64
_FIRST_EPHEMERAL_PORT = 32768
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_IPV4_HEADER_BYTES = 20

T = TypeVar("T")
Handler = Callable[[], None]


class Pod(Interface):
    """Where somebody asks and serves."""

    @property
    def netns(self) -> str:
        """Name of its network namespace."""

    def address(self, version: int) -> Address:
        """That of an IP version."""


@dataclass(frozen=True, slots=True, order=True)
class Question:
    """One pod asks another."""

    source: str
    target: str
    version: int
    protocol: Protocol
    port: int


@dataclass(slots=True)
class Round:
    """What became of questions that were asked together."""

    asked: frozenset[Question]
    answered: set[Question] = field(default_factory=set)
    dropped: int = 0
    """How many packets were counted as dropped meanwhile."""

    @property
    def waiting(self) -> int:
        """Questions without an answer so far."""
        return len(self.asked) - len(self.answered)

    @property
    def is_over(self) -> bool:
        """Whether it is known of each what became of it."""
        return self.waiting <= self.dropped


class Askers:
    """Pods by name, their servers, and the questions under way. Everything happens in the thread that calls."""

    def __init__(self, pods: Mapping[str, Pod]) -> None:
        self._pods = dict(pods)
        self._stack = ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self._tags: dict[int, Question] = {}
        self._raw: dict[tuple[str, int], socket.socket] = {}
        self._round = Round(frozenset())
        try:
            for name in self._pods:
                self._serve(name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop serving."""
        self._stack.close()

    def ask(self, questions: Iterable[Question], drops: Callable[[], int], within_s: float) -> Round:
        """Ask all at once; ``drops`` counts packets that were dropped. Not over, if that is not so in time."""
        self._round = Round(frozenset(questions))
        before = drops()
        deadline = time.monotonic() + within_s
        with ExitStack() as stack:
            for (source, protocol), group in groupby(sorted(self._round.asked, key=_sender), key=_sender):
                self._send(source, protocol, tuple(group), stack)
            while not self._round.is_over and time.monotonic() < deadline:
                if not self._handle(_IDLE_S):
                    self._round.dropped = drops() - before
        self._tags.clear()
        return self._round

    def _handle(self, within_s: float) -> bool:
        """Everything that came; says whether there was anything."""
        ready = self._selector.select(within_s)
        for key, _ in ready:
            handler: Handler = key.data
            handler()
        return bool(ready)

    def _sockets(self, name: str, wanted: Sequence[tuple[int, int, int]]) -> list[socket.socket]:
        """Sockets of a pod, by family, kind and protocol."""
        with open_netns(netns_path(self._pods[name].netns)) as fd:
            made = call_in_netns(fd, lambda: [socket.socket(*one) for one in wanted])
        for one in made:
            one.setblocking(False)
        return made

    def _answered(self, question: Question, answer: bytes) -> None:
        assert answer == question.target.encode(), f"{question} was answered by {answer!r}"
        self._round.answered.add(question)

    # --- servers ----------------------------------------------------------------------------

    def _serve(self, name: str) -> None:
        """Open all of a pod's servers; those of TCP and UDP take both families."""
        for port in PORTS:
            listener, receiver = self._sockets(
                name, ((socket.AF_INET6, socket.SOCK_STREAM, 0), (socket.AF_INET6, socket.SOCK_DGRAM, 0))
            )
            for one, handler in ((listener, _greet), (receiver, _echo)):
                self._stack.enter_context(one)
                one.bind(("::", port))
                self._selector.register(one, selectors.EVENT_READ, _bound(handler, one, name))
            listener.listen(socket.SOMAXCONN)
        wanted = [(family, socket.SOCK_RAW, sctp.PROTOCOL) for family in _FAMILIES.values()]
        for version, one in zip(_FAMILIES, self._sockets(name, wanted), strict=True):
            self._raw[name, version] = self._stack.enter_context(one)
            self._selector.register(one, selectors.EVENT_READ, _bound(self._associate, one, name))

    def _associate(self, raw: socket.socket, name: str) -> None:
        """An SCTP packet came to a pod: a question, or the answer to one of its own."""
        received, sender = raw.recvfrom(65535)
        found = sctp.parse(received[_IPV4_HEADER_BYTES if raw.family == socket.AF_INET else 0 :])
        if found is None:
            return
        if not found.is_answer:
            if found.target in PORTS:
                raw.sendto(sctp.init_ack(found, name.encode()), sender)
        elif question := self._tags.get(found.verification_tag):
            self._answered(question, found.cookie)

    # --- clients ----------------------------------------------------------------------------

    def _send(self, source: str, protocol: Protocol, questions: Sequence[Question], stack: ExitStack) -> None:
        """Questions of one pod by one protocol."""
        if protocol is Protocol.SCTP:
            for question in questions:
                self._send_init(question)
            return
        kind = socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
        made = self._sockets(source, [(_FAMILIES[question.version], kind, 0) for question in questions])
        for one in made:
            stack.enter_context(one)
        for question, one in zip(questions, made, strict=True):
            one.connect_ex((self._address(question), question.port))
            self._selector.register(one, selectors.EVENT_READ, _bound(self._hear, one, question))
            stack.callback(self._unregister, one)
            if protocol is Protocol.UDP:
                one.send(b"who are you?")

    def _send_init(self, question: Question) -> None:
        tag = secrets.randbelow(2**32 - 1) + 1
        self._tags[tag] = question
        port = _FIRST_EPHEMERAL_PORT + secrets.randbelow(65536 - _FIRST_EPHEMERAL_PORT)
        packet = sctp.init(port, question.port, tag)
        self._raw[question.source, question.version].sendto(packet, (self._address(question), 0))

    def _hear(self, client: socket.socket, question: Question) -> None:
        """An answer, or word that there will be none, which is as good as silence."""
        self._unregister(client)
        try:
            self._answered(question, client.recv(_NAME_BYTES))
        except OSError:
            return

    def _unregister(self, client: socket.socket) -> None:
        if client in self._selector.get_map():
            self._selector.unregister(client)

    def _address(self, question: Question) -> str:
        return str(self._pods[question.target].address(question.version))


def _greet(listener: socket.socket, name: str) -> None:
    with listener.accept()[0] as connection:
        connection.send(name.encode())


def _echo(receiver: socket.socket, name: str) -> None:
    receiver.sendto(name.encode(), receiver.recvfrom(_NAME_BYTES)[1])


def _sender(question: Question) -> tuple[str, Protocol]:
    return question.source, question.protocol


def _bound(handler: Callable[[socket.socket, T], None], one: socket.socket, of: T) -> Handler:
    return lambda: handler(one, of)
