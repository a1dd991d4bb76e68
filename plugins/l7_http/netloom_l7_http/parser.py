"""One connection of HTTP/1.1: requests judged as they come, replies followed so that everybody is answered in turn.

Pipelined requests go on as they are judged. Who is denied is answered by us when the replies before have ended; who
says what has no one meaning is answered 400 then, and nothing more is read of him.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Final

from netloom.plugins import Exchange, Judge, Op, OpKind, Parser
from netloom.plugins.l7.turns import Unspoken
from netloom_l7_http.answers import denial, refusal
from netloom_l7_http.bodies import Body, Chunked, Open, Sized
from netloom_l7_http.edits import Action, Edit, edited
from netloom_l7_http.head import CHUNKED, KNOWN, Head, read_head
from netloom_l7_http.replies import KNOWN as KNOWN_REPLIES
from netloom_l7_http.replies import OPEN, Reply, read_reply
from netloom_l7_http.request import WORD_BYTES_MAX, Refused
from netloom_l7_http.rules import edits_of

WAITING_MAX: Final = 1024
"""Requests of one connection without an answer; who sends more does not read."""
EVER: Final = 1 << 62
DROPS_REST: Final = Op(kind=OpKind.DROP, count=EVER)
PASSES_REST: Final = Op(kind=OpKind.PASS, count=EVER)
WAITS: Final = Op(kind=OpKind.WAIT)
CLOSES: Final = (Op(kind=OpKind.CLOSE),)


Turn = tuple[Head, Exchange, str]
"""A request that has not been answered; and the headers that were not as its rules want them."""


class Tunnel:
    """A Parser that judges nothing."""

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        """Everything goes on."""
        del reply, end
        return (PASSES_REST,) if data else ()


class HttpParser:
    """A Parser."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._waiting: deque[Turn] = deque()
        """In turn; the first one's reply may have begun."""
        self._farewell: tuple[Op, ...] = ()
        """What is due when nobody waits any more; set, nothing more is read of the client."""
        self._request_body: Body | None = None
        """Of the last request, where it is not passed or dropped as a whole."""
        self._passes_body = True
        self._seen_bytes = 0
        """Of a head whose end has not come."""
        self._switching = False
        """Whether what follows the last request is HTTP is for the server to say."""
        self._successor: Parser | None = None
        """Whose everything is from then on."""
        self._reply_body: Body | None = None
        self._is_over = False
        """Whether the server has said its last."""

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        """What to do with bytes of one direction."""
        if self._successor is not None:
            return self._successor.on_data(reply=reply, end=end, data=data)
        if not end and (ops := self._whole_reply(data) if reply else self._whole_request(data)):
            return ops
        return self._piecemeal(data, reply=reply, end=end)

    def _piecemeal(self, data: bytes, *, reply: bool, end: bool) -> tuple[Op, ...]:
        ops: list[Op] = []
        try:
            if reply:
                self._replies(data, ops, end=end)
            else:
                self._requests(data, ops)
        except Unspoken as error:
            ops.append(Op(kind=OpKind.ERROR, data=str(error).encode()))
        else:
            if self._farewell and not self._waiting:
                ops.extend(op for op in self._farewell if op.kind is not OpKind.INJECT or not self._is_over)
        self._is_over = self._is_over or (reply and end)
        return tuple(ops)

    # --- what most connections say most of the time -----------------------------------------------

    def _whole_request(self, data: bytes) -> tuple[Op, ...]:
        """One that comes alone and in one piece, and was read before; () for any other: nothing is done."""
        head = KNOWN.get(data)
        if head is None or head.simple_bytes != len(data) or head.closes:
            return ()
        if self._waiting or self._request_body or self._seen_bytes or self._farewell or self._is_over:
            return ()
        exchange = self._judge(head.request)
        if not exchange.allowed:
            exchange.answered(status="403")
            return _denied(len(data), is_head=head.request.method == "HEAD")
        if exchange.rules and (edits := edits_of(exchange.rules, head.request)):
            return self._edited(head, exchange, edits)
        self._waiting.append((head, exchange, ""))
        return _whole(len(data))

    def _edited(self, head: Head, exchange: Exchange, edits: list[Edit]) -> tuple[Op, ...]:
        ops: list[Op] = []
        self._waiting.append((head, exchange, _mismatched(edits)))
        self._pass(head, edits, ops)
        return tuple(ops)

    def _whole_reply(self, data: bytes) -> tuple[Op, ...]:
        """To the only request there is, in one piece; () for any other: nothing is done."""
        if len(self._waiting) != 1 or self._reply_body or self._farewell:
            return ()
        head = self._waiting[0][0]
        reply = KNOWN_REPLIES.get(data[: data.find(b"\r\n\r\n") + 4])
        if reply is None or reply.status < 200 or reply.size_bytes + reply.body_bytes != len(data):
            return ()
        if not head.simple_bytes or head.request.method == "HEAD":
            return ()
        self._begin(reply)
        self._waiting.popleft()
        return _whole(len(data))

    # --- requests -----------------------------------------------------------------------------------

    def _requests(self, data: bytes, ops: list[Op]) -> None:
        at = 0
        while at < len(data) and not self._farewell:
            if self._request_body is not None:
                end = self._request_body.advance(data, at)
                _add(ops, end - at, passes=self._passes_body)
                if not self._request_body.done:
                    return
                self._request_body, at = None, end
                continue
            if self._switching:
                ops.append(WAITS)
                return
            try:
                head = self._next_head(data, at)
            except Refused as error:
                self._refuse(error)
                break
            if head is None:
                self._seen_bytes = len(data) - at
                return
            self._seen_bytes = 0
            at += self._ask(head, ops)
        if at < len(data):
            ops.append(DROPS_REST)

    def _next_head(self, data: bytes, at: int) -> Head | None:
        if len(self._waiting) >= WAITING_MAX:
            raise Unspoken(f"more than {WAITING_MAX} requests without a reply")
        return read_head(data, at, self._seen_bytes)

    def _refuse(self, error: Refused) -> None:
        why = Op(kind=OpKind.ERROR, data=str(error).encode())
        self._farewell = (refusal(error.status), why)

    def _ask(self, head: Head, ops: list[Op]) -> int:
        """Judge a request; returns how many bytes are decided by that."""
        exchange = self._judge(head.request)
        if not exchange.allowed:
            return self._deny(head, exchange, ops)
        edits = edits_of(exchange.rules, head.request) if exchange.rules else []
        self._waiting.append((head, exchange, _mismatched(edits)))
        self._switching = head.switches
        if head.simple_bytes and not edits:
            _add(ops, head.simple_bytes, passes=True)
            return head.simple_bytes
        return self._pass(head, edits, ops)

    def _pass(self, head: Head, edits: list[Edit], ops: list[Op]) -> int:
        """One that is edited, or whose end is not known yet."""
        changed = head.edited
        if any(edit.action is not Action.LOG for edit in edits):
            changed = edited(changed or head.raw, edits)
        _add(ops, head.size_bytes, passes=changed is None)
        if changed is not None:
            ops.append(Op(kind=OpKind.INJECT, data=changed, reply=False))
        if head.body_bytes == CHUNKED:
            self._request_body, self._passes_body = Chunked(is_request=True), True
        elif head.expects_continue:
            self._request_body, self._passes_body = Sized(head.body_bytes), True
        elif head.body_bytes:
            _add(ops, head.body_bytes, passes=True)
            return head.size_bytes + head.body_bytes
        return head.size_bytes

    def _deny(self, head: Head, exchange: Exchange, ops: list[Op]) -> int:
        if head.closes or head.expects_continue:  # of the latter, nobody knows whether the body follows
            self._farewell = CLOSES
            count = head.size_bytes
        elif head.body_bytes == CHUNKED:
            self._request_body, self._passes_body = Chunked(is_request=True), False
            count = head.size_bytes
        else:
            count = head.size_bytes + head.body_bytes
        _add(ops, count, passes=False)
        if self._waiting:
            self._waiting.append((head, exchange, ""))
        else:
            self._answer(head, exchange, ops)
        return count

    def _answer(self, head: Head, exchange: Exchange, ops: list[Op]) -> None:
        """Tell a client that it is denied."""
        if not self._is_over:
            closes = head.closes or head.expects_continue
            ops.append(denial(closes=closes, is_head=head.request.method == "HEAD"))
        exchange.answered(status="403")

    # --- replies ------------------------------------------------------------------------------------

    def _replies(self, data: bytes, ops: list[Op], *, end: bool) -> None:
        at = passed = 0
        try:
            while at < len(data) and (self._waiting or not self._farewell):
                at, has_ended = self._follow(data, at)
                if not has_ended:
                    break
                self._waiting.popleft()
                if self._waiting and not self._waiting[0][1].allowed:
                    _add(ops, at - passed, passes=True)
                    passed = at
                    self._answer_those_in_turn(ops)
        finally:
            _add(ops, at - passed, passes=True)
        if self._successor is not None and at < len(data):
            ops.extend(self._successor.on_data(reply=True, end=end, data=data[at:]))

    def _follow(self, data: bytes, at: int) -> tuple[int, bool]:
        """Follow one reply as far as it has come: returns how far that is, and whether it has ended."""
        while self._reply_body is None:
            reply = self._next_reply(data, at)
            if reply is None:
                return at, False
            if reply.is_interim:
                at += reply.size_bytes
                continue
            body_bytes = self._begin(reply)
            at += reply.size_bytes
            if self._successor is not None:
                return at, False
            if 0 <= body_bytes <= len(data) - at:
                return at + body_bytes, True
            self._reply_body = _body(body_bytes)
        at = self._reply_body.advance(data, at)
        has_ended = self._reply_body.done
        if has_ended:
            self._reply_body = None
        return at, has_ended

    def _next_reply(self, data: bytes, at: int) -> Reply | None:
        if not self._waiting:
            raise Unspoken("a reply that nobody has asked for")
        return read_reply(data, at)

    def _begin(self, reply: Reply) -> int:
        """How long the body of this reply to the first who waits is; it may be none, and a tunnel in its place."""
        head, exchange, mismatched = self._waiting[0]
        method = head.request.method
        if reply.status == 101:
            if not head.switches or reply.upgrade != ("websocket" if head.h2c is None else "h2c"):
                raise Unspoken("another protocol after a request that did not ask for it")
            if head.h2c is not None:
                self._successor = self._go_on(exchange, mismatched, head.h2c)
                return 0
        if mismatched:
            exchange.answered(status=reply.word, mismatched=mismatched)
        else:
            exchange.answered(status=reply.word)
        if head.switches and (reply.status == 101 or (method == "CONNECT" and reply.status < 300)):
            self._successor = Tunnel()
        if len(self._waiting) == 1:
            self._switching = False
        if head.expects_continue and self._request_body is not None and len(self._waiting) == 1:
            # Whether the body follows, client and server may see differently: nothing does.
            self._request_body, self._farewell = None, CLOSES
        return 0 if method == "HEAD" else reply.body_bytes

    def _go_on(self, exchange: Exchange, mismatched: str, settings: bytes) -> Parser:
        """By HTTP/2, in which the request that made the offer is the first stream."""
        from netloom_l7_http.http2 import Http2Parser

        parser = Http2Parser(self._judge)
        parser.go_on(exchange, mismatched, settings)
        return parser

    def _answer_those_in_turn(self, ops: list[Op]) -> None:
        while self._waiting and not self._waiting[0][1].allowed:
            head, exchange, _ = self._waiting.popleft()
            self._answer(head, exchange, ops)


def _body(body_bytes: int) -> Body:
    if body_bytes == CHUNKED:
        return Chunked(is_request=False)
    return Open() if body_bytes == OPEN else Sized(body_bytes)


def _mismatched(edits: list[Edit]) -> str:
    """For the access log."""
    return ", ".join([edit.name for edit in edits])[:WORD_BYTES_MAX]


def _add(ops: list[Op], count: int, *, passes: bool) -> None:
    """What is decided of the next bytes."""
    if count:
        kind = OpKind.PASS if passes else OpKind.DROP
        if ops and ops[-1].kind is kind:
            count += ops.pop().count
        ops.append(_about(kind, count))


@lru_cache(4096)
def _whole(count: int) -> tuple[Op, ...]:
    return (_about(OpKind.PASS, count),)


@lru_cache(4096)
def _denied(count: int, *, is_head: bool) -> tuple[Op, ...]:
    return _about(OpKind.DROP, count), denial(closes=False, is_head=is_head)


@lru_cache(4096)
def _about(kind: OpKind, count: int) -> Op:
    return Op(kind=kind, count=count)
