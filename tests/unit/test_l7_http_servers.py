"""Nothing is judged differently from how servers read it: what goes on is read by two, as strict and as lax as any.

Whatever clients send, cut and joined anyhow: the requests that a server reads are those that were judged and allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netloom_l7_http.target import read_target
from support.http_talk import Talking

Read = list[tuple[str, str]]
"""Method and path of each request, in turn."""

ALLOWED = ({"path": "/[a-z]*"}, {"method": "OPTIONS", "path": r"\*"})
PIECES = (
    [b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"PUT ", b"get ", b"GET\t", b" ", b"\r\nGET "],
    [b"/", b"/a", b"/%61", b"/a/../b", b"/secret1", b"*", b"http://a/b", b"/a b", b"//", b"/a#x", b"/\xe9"],
    [b" HTTP/1.1", b" HTTP/1.1", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/1.2", b"", b"  HTTP/1.1", b" HTTP/1.1 "],
)
HEADERS = st.lists(
    st.sampled_from(
        [
            *([b"\r\nHost: a"] * 4),
            *([b"\r\nContent-Length: 5", b"\r\nTransfer-Encoding: chunked"] * 3),
            *(b"\r\nHost:b", b"\nHost: a", b"\r\nX: y", b"\r\n Y: z", b"\r\nX : y", b"\rX: y", b"\r\nX: \x00"),
            *(
                b"\r\nContent-Length: 0",
                b"\r\nContent-Length: 5, 5",
                b"\r\nContent-Length: +5",
                b"\r\nContent_Length: 1",
            ),
            *(
                b"\r\nTransfer-Encoding: xchunked",
                b"\r\nTransfer-Encoding:\tchunked",
                b"\r\ntransfer-encoding: Chunked ",
            ),
            *(
                b"\r\nTransfer-Encoding: identity",
                b"\r\nTransfer-Encoding\t: chunked",
                b"\r\n\tchunked",
                b"\r\nTE: trailers",
            ),
            *(b"\r\nConnection: close", b"\r\nConnection: keep-alive", b"\r\nUpgrade: h2c\r\nConnection: Upgrade"),
        ]
    ),
    max_size=4,
).map(b"".join)
BODIES = st.lists(
    st.sampled_from(
        [
            *(b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"0\n\n"),
            *(
                b"a;x=y\r\n0123456789\r\n",
                b"5 \r\nhello\r\n",
                b"05\r\nhello\r\n",
                b"5;\nx\r\nhello\r\n",
                b"0\r\nX: y\r\n\r\n",
            ),
            *(
                b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n",
                b"2\r\nhello\r\n",
                b"0\r\nContent-Length: 5\r\n\r\n",
                b"\r\n",
            ),
        ]
    ),
    max_size=3,
).map(b"".join)
MESSAGE = st.tuples(
    *map(st.sampled_from, PIECES), HEADERS, st.sampled_from([b"\r\n\r\n"] * 5 + [b"\n\n", b"\r\n\n"]), BODIES
)
STREAM = st.lists(MESSAGE.map(b"".join), min_size=1, max_size=4).map(b"".join)


def by_h11(stream: bytes) -> Read:
    """By h11, strict as they come."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(stream)
    found: Read = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                found.append((event.method.decode(), event.target.decode()))
            elif isinstance(event, h11.EndOfMessage):
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return found
                connection.start_next_cycle()
            elif not isinstance(event, h11.Data):
                return found
    except h11.RemoteProtocolError:
        return found


class _Handler(BaseHTTPRequestHandler):
    """Reads from memory, answers nobody."""

    protocol_version = "HTTP/1.1"
    found: Read

    def setup(self) -> None:
        self.rfile, self.wfile, self.found = BytesIO(self.request), BytesIO(), []

    def finish(self) -> None:
        self.server.found = self.found  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._read
        raise AttributeError(name)

    def _read(self) -> None:
        self.found.append((self.command, self.path))
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        pass


class _Server:
    """What a handler belongs to."""

    def __init__(self) -> None:
        self.found: Read = []


def by_the_standard_library(stream: bytes) -> Read:
    """By http.server, lax as they come."""
    server = _Server()
    try:
        _Handler(stream, ("", 0), server)  # type: ignore[arg-type]
    except ValueError:  # in the midst of a chunk's size
        pytest.fail("a body in chunks that cannot be read went on")
    return server.found


def allowed(talk: Talking) -> Iterator[tuple[str, str]]:
    """Those judged so, as rules saw them."""
    return ((one.request.method, one.request.path) for one in talk.judged if one.allowed)


def cut(stream: bytes, places: list[int]) -> Iterator[bytes]:
    """In pieces."""
    ends = sorted(place % (len(stream) + 1) for place in places)
    return (stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True))


@pytest.mark.parametrize("read", [by_h11, by_the_standard_library])
@given(stream=STREAM, places=st.lists(st.integers(0, 4000), max_size=3))
@example(
    stream=b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /secret1 HTTP/1.1\r\nHost: a\r\n\r\n",
    places=[],
)
def test_a_server_reads_what_was_judged_and_nothing_else(
    read: Callable[[bytes], Read], stream: bytes, places: list[int]
) -> None:
    talk = Talking(ALLOWED)
    for piece in cut(stream, places):
        talk.ask(piece)
    found = [(method, read_target(method, target.encode("latin-1"), "a")) for method, target in read(talk.to_server)]
    judged = list(allowed(talk))
    assert found == judged[: len(found)]
    # Behind one that ends the connection servers read nothing; a last one may be cut short.
    ends = b"close" in talk.to_server or b"HTTP/1.0" in talk.to_server
    assert ends or len(found) >= len(judged) - 1


@given(stream=STREAM, places=st.lists(st.integers(0, 4000), max_size=3))
def test_how_a_stream_is_cut_changes_nothing(stream: bytes, places: list[int]) -> None:
    whole, pieces = Talking(ALLOWED).ask(stream), Talking(ALLOWED)
    for piece in cut(stream, places):
        pieces.ask(piece)
    assert pieces.to_server == whole.to_server
    assert pieces.to_client == whole.to_client
    assert [one.request.path for one in pieces.judged] == [one.request.path for one in whole.judged]
