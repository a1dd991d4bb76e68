"""A parser's instructions carried out: bytes of a connection in, bytes to send out. Pure.

Whatever a parser does, nothing it has not judged goes on, and nobody is answered in the midst of another answer.
What it may not do breaks its connection, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from netloom.plugins.protocols import Op, OpKind, Parser

NEVER: Final = 1 << 62
HELD_BYTES_MAX: Final = 1 << 16
"""Of one direction, waiting for a parser to decide."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Bytes that go on."""

    reply: bool
    """To the client; else to the server."""
    data: bytes


class End(msgspec.Struct, frozen=True, gc=False):
    """A direction has come to its end: whoever reads it is told."""

    reply: bool


class Broken(msgspec.Struct, frozen=True):
    """The connection cannot go on; nothing follows."""

    why: str
    fault: bool = False
    """Of the parser; else of whoever spoke."""


Action = Send | End | Broken


class _Unspoken(Exception):
    """The bytes are not the protocol."""


class _Breach(Exception):
    """The parser broke its contract."""


@dataclass(slots=True)
class _Direction:
    """What is known of one direction."""

    held: bytes = b""
    """Come, and not decided."""
    wanted_bytes: int = 1
    """So many must be held before the parser is asked again."""
    decided_bytes: int = 0
    """Not come yet, and decided: they go the way of ``passes``."""
    passes: bool = True
    waits: bool = False
    """For the other direction."""
    ends: bool = False
    """No more will come."""
    ended: bool = False
    """And whoever reads it was told."""


class Driver:
    """One connection. Not reentrant; whoever calls it sends what it returns, in that order."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._replies, self._requests = _Direction(), _Direction()
        self.broken = False
        """Whether nothing goes on any more."""

    @property
    def is_idle(self) -> bool:
        """Whether no request stands half read."""
        return not self._requests.held and not self._requests.decided_bytes

    @property
    def is_undecided(self) -> bool:
        """Whether bytes of a client wait for more, or for a reply, to be judged."""
        return bool(self._requests.held)

    def feed(self, data: bytes, *, reply: bool, end: bool = False) -> tuple[Action, ...]:
        """Bytes that came from the server (``reply``) or from the client; with ``end``, its last."""
        side = self._replies if reply else self._requests
        if self.broken or side.ends or side.ended or not (data or end):
            return ()
        if len(data) <= side.decided_bytes and not end:  # the body of something large
            side.decided_bytes -= len(data)
            return (Send(reply, data),) if side.passes else ()
        actions: list[Action] = []
        try:
            other = self._requests if reply else self._replies
            if end or side.held or side.decided_bytes or len(data) < side.wanted_bytes:
                self._feed(side, actions, data, reply=reply, end=end)
            else:
                side.held = data
                ops = self._ask(side, reply=reply, end=False)
                done = self._at_once(side, ops, data, reply=reply) if ops and ops[0].count >= len(data) else None
                if done and not other.waits:
                    return (done,)
                actions.extend((done,) if done else self._obey(side, ops, reply=reply))
                _refuse_hoard(side, reply=reply)
            if other.waits:
                self._resume(other, actions, reply=not reply)
        except _Unspoken as error:
            actions.append(self._break(Broken(str(error))))
        except _Breach as error:
            actions.append(self._break(Broken(str(error), fault=True)))
        return tuple(actions) if len(actions) < 2 else tuple(_joined(actions))

    def _break(self, action: Broken) -> Broken:
        self.broken = True
        return action

    def _at_once(self, side: _Direction, ops: tuple[Op, ...], data: bytes, *, reply: bool) -> Send | None:
        """What comes most often: all of it passes as it is, or all of it is dropped and answered; None for the rest."""
        first = ops[0]
        if first.kind is OpKind.PASS and len(ops) == 1:
            action = Send(reply, data)
        elif first.kind is OpKind.DROP and len(ops) == 2 and ops[1].kind is OpKind.INJECT:
            self._refuse_midst(ops[1].reply)
            action = Send(ops[1].reply, ops[1].data)
        else:
            return None
        side.held, side.wanted_bytes = b"", 1
        side.decided_bytes, side.passes = first.count - len(data), first.kind is OpKind.PASS
        return action

    def _feed(self, side: _Direction, actions: list[Action], data: bytes, *, reply: bool, end: bool) -> None:
        if taken := data[: side.decided_bytes]:
            side.decided_bytes -= len(taken)
            data = data[len(taken) :]
            if side.passes:
                actions.append(Send(reply, taken))
        side.held += data
        side.ends = end
        if (end and not side.waits) or len(side.held) >= side.wanted_bytes:
            ops = self._ask(side, reply=reply, end=end)
            actions.extend(self._obey(side, ops, reply=reply))
        _refuse_hoard(side, reply=reply)
        if end and not (side.ended or side.waits):
            actions.append(self._end(side))

    def _resume(self, side: _Direction, actions: list[Action], *, reply: bool) -> None:
        """What has waited is asked about again."""
        side.waits, side.wanted_bytes = False, 1
        self._feed(side, actions, b"", reply=reply, end=side.ends)

    def _ask(self, side: _Direction, *, reply: bool, end: bool) -> tuple[Op, ...]:
        try:
            return tuple(self._parser.on_data(reply=reply, end=end, data=side.held))
        except Exception as error:
            raise _Breach(f"raised {type(error).__name__}: {error}"[:200]) from error

    def _end(self, side: _Direction) -> End:
        """What was not judged by now goes nowhere."""
        side.held, side.decided_bytes, side.waits, side.ended = b"", 0, False, True
        return End(side is self._replies)

    def _obey(self, side: _Direction, ops: tuple[Op, ...], *, reply: bool) -> Iterator[Action]:
        at, more = 0, 1
        for op in ops:
            if op.kind is OpKind.PASS or op.kind is OpKind.DROP:
                taken = self._decided(side, at, op)
                at += len(taken)
                side.decided_bytes, side.passes = op.count - len(taken), op.kind is OpKind.PASS
                if taken and side.passes:
                    yield Send(reply, taken)
            elif op.kind is OpKind.INJECT:
                self._refuse_midst(op.reply)
                yield Send(op.reply, op.data)
            elif op.kind is OpKind.ERROR:
                raise _Unspoken(op.data.decode(errors="replace") or "not the protocol")
            elif op.kind is OpKind.CLOSE and op is ops[-1]:
                yield from (self._end(one) for one in (self._replies, self._requests) if not one.ended)
                return
            elif op.kind is OpKind.MORE and op.count > 0 and op is ops[-1]:
                more = op.count
            elif op.kind is OpKind.WAIT and op is ops[-1]:
                side.waits = not (self._requests if reply else self._replies).ended
                more = NEVER if side.waits else 1
            else:
                raise _Breach(
                    f"returned {op!r}"[:200] + ", expected one about at least 1 byte, MORE, WAIT or CLOSE last"
                )
        side.held = side.held[at:]
        side.wanted_bytes = len(side.held) + more

    def _decided(self, side: _Direction, at: int, op: Op) -> bytes:
        if op.count < 1 or side.decided_bytes:
            raise _Breach(f"wanted {op.kind} of {op.count} bytes behind {side.decided_bytes} that had not come")
        return side.held[at : at + op.count]

    def _refuse_midst(self, reply: bool) -> None:
        into = self._replies if reply else self._requests
        if into.decided_bytes and into.passes:
            raise _Breach("wanted to inject into the midst of what it has passed")
        if into.ended:
            raise _Breach("wanted to inject into what has come to its end")


def _refuse_hoard(side: _Direction, *, reply: bool) -> None:
    if len(side.held) > HELD_BYTES_MAX:
        raise _Unspoken(f"more than {HELD_BYTES_MAX} bytes without a {'reply' if reply else 'request'} among them")


def _joined(actions: list[Action]) -> Iterator[Action]:
    """Neighbours that go the same way as one: each is a call into the kernel."""
    pending: list[Send] = []
    for action in actions:
        if isinstance(action, Send) and (not pending or pending[0].reply is action.reply):
            pending.append(action)
            continue
        if pending:
            yield _one(pending)
        pending = [action] if isinstance(action, Send) else []
        if not isinstance(action, Send):
            yield action
    if pending:
        yield _one(pending)


def _one(sends: list[Send]) -> Send:
    return sends[0] if len(sends) == 1 else Send(sends[0].reply, b"".join(send.data for send in sends))
