"""One connection of HTTP/2, from its preface on: the headers of every stream are judged, its data follow them.

Frames go on as they came, but for header blocks of requests: these are written anew, since blocks refer to those
before, and the server does not see all of them. What belongs to no open stream is dropped, and the client's window
given back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from netloom.plugins import Exchange, Judge, Op
from netloom.plugins.l7.turns import Unspoken
from netloom_l7_http.bodies import NO_TRAILERS
from netloom_l7_http.fields import edited_fields, joined, read_fields
from netloom_l7_http.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADER_BYTES,
    PREFACE,
    Frame,
    Kind,
    block_of,
    error_of,
    read_frame,
    table_bytes_of,
    write_headers,
)
from netloom_l7_http.hpack import DEFAULT_TABLE_BYTES, Field, Inflater, Said, write
from netloom_l7_http.instructions import Instructions
from netloom_l7_http.memory import Memory
from netloom_l7_http.request import WORD_BYTES_MAX, HttpRequest, Refused
from netloom_l7_http.rules import edits_of
from netloom_l7_http.unheard import Unheard

STREAMS_MAX: Final = 4096
BLOCK_BYTES_MAX: Final = 1 << 15
CONTINUATIONS_MAX: Final = 16
WAITING_BYTES_MAX: Final = 1 << 15
"""Of our own words to a client, while a frame of the server is passing."""
KNOWN_BYTES_MAX: Final = 1024
BLOCKS: Final = frozenset({Kind.HEADERS, Kind.CONTINUATION})
ALWAYS_PASS: Final = frozenset({Kind.PING, Kind.GOAWAY, Kind.SETTINGS})
NEVER_PASS: Final = frozenset({Kind.PRIORITY, Kind.PUSH_PROMISE})
GRPC: Final = "application/grpc"
PERMISSION_DENIED: Final = b"7"
BEHIND_ITS_END: Final = "a request that goes on behind its end"


@dataclass(slots=True)
class Stream:
    """One that is open."""

    exchange: Exchange
    mismatched: str
    has_asked: bool
    """Whether the request has ended."""
    is_answered: bool = False
    """Whether the answer has begun."""
    is_over: bool = False
    """Whether the answer has ended."""

    def tell(self, said: dict[str, str]) -> None:
        """What has become of the request, once."""
        if self.is_answered:
            return
        self.is_answered = True
        self.exchange.answered(**said, **({"mismatched": self.mismatched} if self.mismatched else {}))


@dataclass(slots=True)
class Block:
    """A header block of which not all has come."""

    stream: int
    ends: bool
    data: bytes
    count: int = 1


class Wish(NamedTuple):
    """A request, and the block by which a server is told of it."""

    request: HttpRequest
    words: bytes


KNOWN: Final[Memory[Wish]] = Memory(KNOWN_BYTES_MAX)
"""By their words, of all connections: most say what others have said."""


class _Side:
    """One direction."""

    def __init__(self) -> None:
        self.inflater = Inflater()
        self.block: Block | None = None
        self.tables: deque[int | None] = deque()
        """Sizes that the other direction has asked for, and this one has not acknowledged."""
        self.shrunk: int | None = None
        """One that this direction has acknowledged, and the next block must begin with."""

    def resize(self, table_bytes: int) -> None:
        """Its header table has another size from now on."""
        self.inflater.resize(table_bytes)
        self.shrunk = table_bytes if table_bytes < DEFAULT_TABLE_BYTES else None

    def headers(self, frame: Frame, part: bytes) -> Block | None:
        """Take up a part of a block; returns the block when that was its last."""
        block = self.block
        if frame.kind == Kind.HEADERS and block is None and frame.stream:
            block = Block(frame.stream, bool(frame.flags & END_STREAM), part)
            if frame.flags & END_HEADERS:
                return block
            self.block = block
        elif frame.kind == Kind.CONTINUATION and block is not None and block.stream == frame.stream:
            block.data += part
            block.count += 1
        else:
            raise Unspoken("a header block in the midst of another")
        if len(block.data) > BLOCK_BYTES_MAX or block.count > CONTINUATIONS_MAX:
            raise Unspoken(f"a header block of more than {BLOCK_BYTES_MAX} bytes or {CONTINUATIONS_MAX} frames")
        if not frame.flags & END_HEADERS:
            return None
        self.block = None
        return block


class Http2Parser:
    """A Parser."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._requests, self._replies = _Side(), _Side()
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0
        self._has_greeted = self._is_answered = self._is_over = False
        """Whether the client has sent its preface; whether the server has, and whether it has said its last."""
        self._is_garbled = False
        """Whether header blocks of the server can be read no more."""
        self._left_bytes = 0
        """Of the server's frame of data that is passing."""
        self._due = b""
        """Our own words to the client, which wait until that has passed."""
        self._unheard = Unheard()

    def go_on(self, exchange: Exchange, mismatched: str, settings: bytes) -> None:
        """Begin with a request that came by HTTP/1.1, and what the client said of itself with it."""
        self._streams[1] = Stream(exchange, mismatched, has_asked=True)
        self._last_stream = 1
        if (size := table_bytes_of(settings)) is not None:
            self._replies.resize(size)  # the server's 101 acknowledges it

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        """What to do with bytes of one direction."""
        ops, why = Instructions(), ""
        try:
            if reply:
                self._from_server(data, ops)
            else:
                self._from_client(data, ops)
        except Unspoken as error:
            why = str(error)
        self._speak(ops)
        if len(self._due) > WAITING_BYTES_MAX:
            why = why or "a client that is denied faster than it reads"
        if why:
            ops.breaks(why)
        self._is_over = self._is_over or (reply and end)
        return ops.taken()

    # --- what clients say ---------------------------------------------------------------------------

    def _from_client(self, data: bytes, ops: Instructions) -> None:
        at = 0
        if not self._has_greeted:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise Unspoken("no preface where HTTP/2 should begin")
            if len(data) < len(PREFACE):
                return
            self._has_greeted, at = True, len(PREFACE)
            ops.passes(at)
        while at < len(data) and (frame := read_frame(data, at)):
            self._client_frame(frame, data, at, ops)
            at += frame.size_bytes

    def _client_frame(self, frame: Frame, data: bytes, at: int, ops: Instructions) -> None:
        if frame.kind in BLOCKS:
            ops.drops(frame.size_bytes)
            if block := self._requests.headers(frame, block_of(frame, data, at)):
                self._headers(block, ops)
            return
        _refuse_within(self._requests)
        if frame.kind == Kind.DATA and (stream := self._streams.get(frame.stream)) and stream.has_asked:
            raise Unspoken(BEHIND_ITS_END)
        passes = frame.kind in ALWAYS_PASS or frame.stream in self._streams
        passes = passes or (frame.kind == Kind.WINDOW_UPDATE and not frame.stream)
        if frame.kind > Kind.CONTINUATION or frame.kind in NEVER_PASS:
            passes = False
        (ops.passes if passes else ops.drops)(frame.size_bytes)
        if frame.kind == Kind.DATA:
            self._data(frame)
        elif frame.kind == Kind.RST_STREAM:
            self._reset(frame, data[at + HEADER_BYTES : at + frame.size_bytes], "client")
            self._unheard.forget(frame.stream)
        elif frame.kind == Kind.SETTINGS:
            _settle(frame, data[at + HEADER_BYTES : at + frame.size_bytes], self._requests, self._replies)

    def _data(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            self._unheard.drop(frame)
        elif frame.flags & END_STREAM:
            self._end(frame.stream, stream, has_asked=True)

    def _headers(self, block: Block, ops: Instructions) -> None:
        said = self._requests.inflater.read(block.data)
        if block.stream in self._streams:
            self._trailers(block, said.fields, ops)
        elif block.stream > self._last_stream and block.stream % 2:
            self._last_stream = block.stream
            try:
                wish = _wish(said, ends=block.ends)
            except Refused:
                self._answer(block, [(b":status", b"400"), (b"content-length", b"0")])
            else:
                self._ask(block, wish, said.fields, ops)
        elif block.ends:
            self._unheard.end(block.stream)

    def _ask(self, block: Block, wish: Wish, fields: list[Field], ops: Instructions) -> None:
        if len(self._streams) >= STREAMS_MAX:
            raise Unspoken(f"more than {STREAMS_MAX} streams without an end")
        exchange = self._judge(wish.request)
        if not exchange.allowed:
            self._deny(block, wish.request, exchange)
            return
        edits = edits_of(exchange.rules, wish.request) if exchange.rules else []
        mismatched = ", ".join(edit.name for edit in edits)[:WORD_BYTES_MAX] if edits else ""
        self._streams[block.stream] = Stream(exchange, mismatched, has_asked=block.ends)
        words = _written(edited_fields(fields, edits)) if edits else wish.words
        ops.tells_server(write_headers(block.stream, words, ends=block.ends))

    def _trailers(self, block: Block, fields: list[Field], ops: Instructions) -> None:
        names = {name.replace(b"_", b"-") for name, _ in fields}
        if not block.ends or names & NO_TRAILERS:
            raise Unspoken("trailers that do not end a request, or would change it")
        try:
            joined(fields)
        except Refused as error:
            raise Unspoken(str(error)) from error
        if self._streams[block.stream].has_asked:
            raise Unspoken(BEHIND_ITS_END)
        self._end(block.stream, self._streams[block.stream], has_asked=True)
        ops.tells_server(write_headers(block.stream, _written(fields), ends=True))

    def _deny(self, block: Block, request: HttpRequest, exchange: Exchange) -> None:
        if request.headers.get("content-type", "").startswith(GRPC):
            fields = [(b":status", b"200"), (b"content-type", GRPC.encode())]
            self._answer(block, [*fields, (b"grpc-status", PERMISSION_DENIED), (b"grpc-message", b"Access denied")])
            exchange.answered(status="200", grpc_status="7")
        else:
            self._answer(block, [(b":status", b"403"), (b"content-length", b"0")])
            exchange.answered(status="403")

    def _answer(self, block: Block, fields: list[Field]) -> None:
        """In the server's place, without a body: its windows are the server's to count."""
        self._due += write_headers(block.stream, write(fields, table_bytes=self._replies.shrunk), ends=True)
        if not block.ends:
            self._due += self._unheard.add(block.stream)

    def _speak(self, ops: Instructions) -> None:
        """To the client, between two frames of the server, of which the first must be its settings."""
        if self._left_bytes or not self._is_answered or self._replies.block is not None:
            return
        words, self._due = self._due + self._unheard.words(), b""
        if words and not self._is_over:
            ops.tells_client(words)

    # --- what servers say ---------------------------------------------------------------------------

    def _from_server(self, data: bytes, ops: Instructions) -> None:
        at = 0
        while at < len(data):
            if not self._left_bytes:
                frame = read_frame(data, at)
                if frame is None:
                    return
                if not self._is_answered and frame.kind != Kind.SETTINGS:
                    raise Unspoken("no settings where a server's first frame should be")
                self._is_answered, self._left_bytes = True, frame.size_bytes
                self._server_frame(frame, data, at)
            count = min(self._left_bytes, len(data) - at)
            ops.passes(count)
            at, self._left_bytes = at + count, self._left_bytes - count
            if self._due or self._unheard.is_due:
                self._speak(ops)

    def _server_frame(self, frame: Frame, data: bytes, at: int) -> None:
        if frame.kind in BLOCKS:
            if block := self._replies.headers(frame, block_of(frame, data, at)):
                self._reply(block)
            return
        _refuse_within(self._replies)
        if frame.kind == Kind.PUSH_PROMISE:
            raise Unspoken("a promise of what nobody has asked for")
        if frame.kind == Kind.SETTINGS:
            _settle(frame, data[at + HEADER_BYTES : at + frame.size_bytes], self._replies, self._requests)
        elif frame.kind == Kind.RST_STREAM:
            self._reset(frame, data[at + HEADER_BYTES : at + frame.size_bytes], "server")
        elif frame.kind == Kind.DATA and frame.flags & END_STREAM and (stream := self._streams.get(frame.stream)):
            self._end(frame.stream, stream, is_over=True)

    def _reply(self, block: Block) -> None:
        status = self._status(block)
        self._replies.shrunk = None
        stream = self._streams.get(block.stream)
        if stream is None:
            return
        if status and not status.startswith("1"):
            stream.tell({"status": status})
        if block.ends:
            self._end(block.stream, stream, is_over=True)

    def _status(self, block: Block) -> str:
        """For the log alone: what else a server says is for the client to read, and to refuse."""
        if self._is_garbled:
            return ""
        try:
            return _status(self._replies.inflater.read(block.data))
        except Unspoken:
            self._is_garbled = True
            return ""

    def _reset(self, frame: Frame, payload: bytes, by: str) -> None:
        """Nobody waits for the rest."""
        if stream := self._streams.pop(frame.stream, None):
            stream.tell({"reset_by": by, "error": error_of(payload)})

    def _end(self, number: int, stream: Stream, *, has_asked: bool = False, is_over: bool = False) -> None:
        """One direction of a stream has ended; with both it is forgotten."""
        stream.has_asked = stream.has_asked or has_asked
        stream.is_over = stream.is_over or is_over
        if is_over:
            stream.tell({})  # where no status was read
        if stream.has_asked and stream.is_over:
            del self._streams[number]


def _wish(said: Said, *, ends: bool) -> Wish:
    """Raises Refused."""
    wish: Wish | None = said.made.get(ends)
    if wish is None:
        words = _written(said.fields)
        key = words + bytes([ends])
        wish = KNOWN.get(key) or KNOWN.keep(key, Wish(read_fields(said.fields, ends=ends), words))
        said.made[ends] = wish
    return wish


def _written(fields: list[Field]) -> bytes:
    """The server keeps no table: it may have asked for a smaller one at any time."""
    return write(fields, table_bytes=0)


def _status(said: Said) -> str:
    """Empty where a block names none."""
    if not said.made:
        said.made[False] = dict(said.fields).get(b":status", b"").decode("latin-1")[:WORD_BYTES_MAX]
    status: str = said.made[False]
    return status


def _refuse_within(side: _Side) -> None:
    if side.block is not None:
        raise Unspoken("a frame in the midst of a header block")


def _settle(frame: Frame, payload: bytes, speaker: _Side, other: _Side) -> None:
    """Sizes of header tables hold once whoever writes blocks has acknowledged them."""
    if not frame.flags & ACK:
        other.tables.append(table_bytes_of(payload))
        if len(other.tables) > STREAMS_MAX:
            raise Unspoken("settings that nobody acknowledges")
    elif speaker.tables and (size := speaker.tables.popleft()) is not None:
        speaker.resize(size)
