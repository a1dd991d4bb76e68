"""Nothing is judged differently from how servers read it: what goes on is read by two, as strict and as lax as any.

Whatever clients send, cut and joined anyhow: the requests that a server reads are those that were judged and allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netloom_l7_http.target import read_target
from support.http_talk import Talking

Read = list[tuple[str, str]]
"""Method and path of each request, in turn."""

ALLOWED = ({"path": "/[a-z]*"}, {"method": "OPTIONS", "path": r"\*"})
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
MESSAGES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%61?x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD http://a/a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(HIDDEN), HIDDEN),
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(HIDDEN), HIDDEN),
        b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x;x=y\r\n%s\r\n0\r\n\r\n"
        % (len(HIDDEN), HIDDEN),
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: y\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings:\r\n\r\n",
    ]
)
FAULTS = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"\r\n\r\n",
            b"\t",
            b"\x00",
            b"\x0b",
            b"\xff",
            b":",
            b"0",
            b";",
            b"\r\n ",
        ),
        *(
            b"\r\nContent-Length: 0",
            b"\r\nContent-Length: 5",
            b"\nContent-Length: 5",
            b"\r\nContent-Length : 5",
            b", 5",
        ),
        *(
            b"\r\nTransfer-Encoding: chunked",
            b"\r\nTransfer_Encoding: chunked",
            b"\r\nTransfer-Encoding: x\r\n chunked",
        ),
        *(
            b"\r\nConnection: close",
            b" HTTP/1.0",
            b"0\r\n\r\n",
            b"5\r\nhello\r\n",
            b"/../",
            b"\r\nExpect: 100-continue",
            HIDDEN,
        ),
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Requests one behind another, a few bytes of them replaced."""
    stream = b"".join(draw(st.lists(MESSAGES, min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 2))):
        at, count = draw(st.integers(0, len(stream))), draw(st.integers(0, 3))
        places = [at, *(found for mark in (b"\r\n", b": ", b" HTTP") if (found := stream.find(mark, at)) >= 0)]
        at = draw(st.sampled_from(places))
        stream = stream[:at] + draw(FAULTS) + stream[at + count :]
    return stream


STREAM = streams()


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
    with suppress(ValueError):  # the stream may end where a chunk's size should be
        _Handler(stream, ("", 0), server)  # type: ignore[arg-type]
    return server.found


def allowed(talk: Talking) -> Iterator[tuple[str, str]]:
    """Those judged so, as rules saw them."""
    return ((one.request.method, one.request.path) for one in talk.judged if one.allowed)


def cut(stream: bytes, places: list[int]) -> Iterator[bytes]:
    """In pieces."""
    ends = sorted(place % (len(stream) + 1) for place in places)
    return (stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True))


@pytest.mark.parametrize("read", [by_h11, by_the_standard_library])
@settings(max_examples=300, deadline=None)
@given(stream=STREAM, places=st.lists(st.integers(0, 4000), max_size=3))
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


@settings(max_examples=300, deadline=None)
@given(stream=STREAM, places=st.lists(st.integers(0, 4000), max_size=3))
def test_how_a_stream_is_cut_changes_nothing(stream: bytes, places: list[int]) -> None:
    whole, pieces = Talking(ALLOWED).ask(stream), Talking(ALLOWED)
    for piece in cut(stream, places):
        pieces.ask(piece)
    # A body that is none breaks the connection; what came of it before may have gone on.
    assert pieces.to_server.startswith(whole.to_server)
    assert whole.broken or pieces.to_server == whole.to_server
    assert pieces.to_client == whole.to_client
    assert [one.request.path for one in pieces.judged] == [one.request.path for one in whole.judged]
