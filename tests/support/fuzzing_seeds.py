"""What fuzzing begins with: short connections of every kind."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import hpack
from netloom_memcached.binary import ANSWERS, ASKS, HEADER

from netloom_l7_http.frames import ACK, END_HEADERS, END_STREAM, PADDED, PRIORITY, Kind, write_frame, write_headers
from support.fuzzing import TURN
from support.http_shapes import FIRST, HIDDEN, IN_CHUNKS, LAST, PARTS

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
POST: Final = b"POST /a HTTP/1.1\r\nHost: a\r\n"


def _http() -> Iterator[bytes]:
    yield FIRST + LAST + TURN + OK + OK
    yield FIRST + b"GET /1?x=%2f HTTP/1.1\r\nHost: a\r\n\r\n" + LAST + TURN + OK + OK
    yield b"GET http://a/%61 HTTP/1.1\r\nHost: A\r\n\r\n" + TURN + b"HTTP/1.1 204 No\r\n\r\n"
    yield POST + b"Content-Length: %d\r\n\r\n%s" % (len(HIDDEN), HIDDEN) + LAST
    yield POST + b"Transfer-Encoding: chunked\r\n\r\n" + IN_CHUNKS + LAST
    yield POST + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n" + LAST
    yield (POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n" + TURN + CONTINUE + TURN + b"hello")
    yield b"PUT /x HTTP/1.1\r\nHost: a\r\nX_A: c\r\nContent-Length: 0\r\n\r\n" + TURN + OK
    yield b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + TURN + b"HTTP/1.0 200 OK\r\n\r\nto the end"
    yield (
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        + TURN
        + (b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + TURN + b"\x81\x05hello")
    )
    yield b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"
    yield b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + TURN + b"HTTP/1.1 200 OK\r\n\r\n" + TURN + b"anything"


def _replies() -> Iterator[bytes]:
    yield OK + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nwiki\r\n0\r\nX: y\r\n\r\n" + OK
    yield b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n" + OK
    yield b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts"
    yield b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"


def _block(encoder: hpack.Encoder, method: str, path: str, *more: tuple[str, str]) -> bytes:
    fields = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path), *more]
    encoded: bytes = encoder.encode(fields)
    return encoded


SETTINGS: Final = write_frame(Kind.SETTINGS, 0, 0)
SETTLED: Final = SETTINGS + write_frame(Kind.SETTINGS, ACK, 0)


def _http2() -> Iterator[bytes]:
    encoder, decoder = hpack.Encoder(), hpack.Encoder()
    get = write_headers(1, _block(encoder, "GET", "/a"), ends=True)
    again = write_headers(3, _block(encoder, "GET", "/a", ("x-a", "b" * 20)), ends=True)
    denied = write_headers(5, _block(encoder, "GET", "/1"), ends=True)
    answer = write_headers(1, decoder.encode([(":status", "200")]), ends=False) + write_frame(
        Kind.DATA, END_STREAM, 1, b"ok"
    )
    yield SETTINGS + get + again + denied + TURN + SETTLED + answer
    post = write_headers(1, _block(hpack.Encoder(), "POST", "/a", ("content-type", "application/grpc")), ends=False)
    data = write_frame(Kind.DATA, PADDED, 1, b"\x02hello\0\0")
    trailers = write_headers(1, hpack.Encoder().encode([("x-sum", "1")]), ends=True)
    yield SETTINGS + post + data + trailers + TURN + SETTLED + answer
    refused = write_headers(
        1, _block(hpack.Encoder(), "DELETE", "/a", ("content-type", "application/grpc")), ends=False
    )
    yield SETTINGS + refused + write_frame(Kind.DATA, END_STREAM, 1, b"x") + TURN + SETTLED
    block = _block(hpack.Encoder(), "GET", "/a")
    first = write_frame(Kind.HEADERS, END_STREAM | PADDED | PRIORITY, 1, b"\x01" + bytes(5) + block[:3] + b"\0")
    yield SETTINGS + first + write_frame(Kind.CONTINUATION, END_HEADERS, 1, block[3:])
    small = write_frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 1, 0))
    yield SETTINGS + get + TURN + small + answer + TURN + write_frame(Kind.SETTINGS, ACK, 0) + b"\x20" + again
    window, ping = write_frame(Kind.WINDOW_UPDATE, 0, 1, b"\0\0\0\x09"), write_frame(Kind.PING, 0, 0, bytes(8))
    reset, away = write_frame(Kind.RST_STREAM, 0, 1, bytes(4)), write_frame(Kind.GOAWAY, 0, 0, bytes(8))
    yield small + get + window + ping + reset + away + TURN + SETTLED + reset + TURN + denied


def _memcached() -> Iterator[bytes]:
    yield b"get j1 j2\r\nget pay\r\nversion\r\n" + TURN + b"VALUE j1 0 2\r\nhi\r\nEND\r\nVERSION 1\r\n"
    yield b"set j 0 0 5\r\nhello\r\nset k 0 -1 5 noreply\r\nget \r\ngats 10 j\r\n" + TURN + b"STORED\r\nEND\r\n"
    yield b"cas j 0 0 1 7\r\nx\r\ndelete j noreply\r\nstats\r\nquit\r\n" + TURN + b"ERROR\r\nSTAT a b\r\nEND\r\n"
    for operation, extras, key in ((0x00, b"", b"j"), (0x01, bytes(8), b"j"), (0x09, b"", b"k"), (0x10, b"", b"")):
        asked = HEADER.pack(ASKS, operation, len(key), len(extras), 0, 0, len(extras + key), 7, 0) + extras + key
        yield asked + asked + TURN + HEADER.pack(ANSWERS, operation, 0, 0, 0, 0, 0, 7, 1)


SEEDS: Final = {
    "http": tuple(_http()), "replies": tuple(_replies()), "http2": tuple(_http2()), "memcached": tuple(_memcached())
}  # fmt: skip
"""By harness."""

_HTTP_WORDS: Final = (
    *(
        TURN,
        HIDDEN,
        OK,
        b"HTTP/1.1 ",
        b"HTTP/1.0 ",
        b"HEAD /a ",
        b"PUT /a ",
        b"\r\n",
        b"\r\nHost: a",
        b"\r\nConnection: close",
    ),
    *(part for parts in PARTS.values() for part in parts),
)
_FRAMES: Final = tuple(
    bytes((0, 0, size, kind, flags, 0, 0, 0, stream))
    for size in (0, 4, 6)
    for kind in Kind
    for flags in (0, 1, 4, 5)
    for stream in (0, 1, 3)
)
WORDS: Final[dict[str, tuple[bytes, ...]]] = {
    "http": _HTTP_WORDS,
    "replies": (*_HTTP_WORDS, b"HTTP/1.1 101 ", CONTINUE, b"HTTP/1.1 304 N", b"Upgrade: websocket"),
    "http2": (TURN, *_FRAMES, b"\x82\x84\x86\x41\x01a", b"\x20", b"\x3f\xe1\x1f", b"\x88", b"content-length"),
    "memcached": (
        TURN,
        b"noreply",
        b"get ",
        b"gats ",
        b"set j 0 0 ",
        b"VALUE ",
        b"END\r\n",
        b"STAT ",
        b"\x80",
        b"\x81",
    ),
}
"""What fuzzing puts anywhere, by harness."""
