"""One call in HTTP/2: what the server sends, in whatever pieces it comes, are messages, a status, or an error."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from netloom_bgp.http2 import WINDOW_BYTES, Broken, Call, Status

DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def frames(data: bytes) -> Iterable[tuple[int, int, int, bytes]]:
    while data:
        length = int.from_bytes(data[:3])
        kind, flags, stream = struct.unpack_from(">BBI", data, 3)
        yield kind, flags, stream, data[9 : 9 + length]
        data = data[9 + length :]


def message(payload: bytes) -> bytes:
    return struct.pack(">BI", 0, len(payload)) + payload


def headers(encoder: Encoder, **fields: str) -> bytes:
    return encoder.encode([(name.replace("_", "-"), value) for name, value in fields.items()])


def answer(messages: Iterable[bytes], status: str = "0", text: str = "") -> bytes:
    """All that a server sends."""
    encoder = Encoder()
    body = b"".join(map(message, messages))
    parts = [body[at : at + 10] for at in range(0, len(body), 10)]
    return b"".join(
        (
            frame(SETTINGS, stream=0),
            frame(HEADERS, headers(encoder, content_type="application/grpc"), END_HEADERS),
            *(frame(DATA, part) for part in parts),
            frame(HEADERS, headers(encoder, grpc_status=status, grpc_message=text), END_HEADERS | END_STREAM),
        )
    )


def begun() -> Call:
    call = Call("/service/Method", b"question")
    call.replies()
    return call


def test_a_call_begins_with_the_question() -> None:
    """In one piece, for a server that waits for all of it."""
    sent = Call("/service/Method", b"question").replies()
    assert sent.startswith(PREFACE)
    found = list(frames(sent[len(PREFACE) :]))
    assert [kind for kind, *_ in found] == [SETTINGS, WINDOW_UPDATE, HEADERS, DATA]
    assert "(':path', '/service/Method')" in [str(tuple(header)) for header in Decoder().decode(found[2][3])]
    assert found[3][1:] == (END_STREAM, 1, message(b"question"))


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1))
def test_messages_are_whole_whatever_pieces_they_come_in(messages: list[bytes], sizes: list[int]) -> None:
    """And the call ends well."""
    call, found, data, turn = begun(), [], answer(messages), 0
    while data:
        size = sizes[turn % len(sizes)]
        found += call.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert found == messages
    assert call.status == Status(0, "")


def test_an_error_has_its_number_and_words() -> None:
    call = begun()
    call.feed(answer([], "2", "neighbor 1.2.3.4 doesn't exist, 100%25"))
    assert call.status == Status(2, "neighbor 1.2.3.4 doesn't exist, 100%")


def test_padding_and_priority_are_no_part_of_what_is_said() -> None:
    call = begun()
    assert call.feed(frame(DATA, b"\x03" + message(b"text") + bytes(3), PADDED)) == [b"text"]
    block = headers(Encoder(), grpc_status="0")
    call.feed(frame(HEADERS, b"\x02" + bytes(5) + block[:3] + bytes(2), PADDED | PRIORITY))
    call.feed(frame(CONTINUATION, block[3:], END_HEADERS))
    assert call.status == Status(0, "")


def test_settings_and_pings_are_acknowledged_once() -> None:
    call = begun()
    call.feed(frame(SETTINGS, stream=0) + frame(SETTINGS, flags=ACK, stream=0) + frame(PING, b"12345678", stream=0))
    assert list(frames(call.replies())) == [(SETTINGS, ACK, 0, b""), (PING, ACK, 0, b"12345678")]
    assert call.replies() == b""


def test_a_server_may_always_go_on_once_it_was_read() -> None:
    """The window is opened again before it is closed, for the connection and for the call."""
    call = begun()
    sent = 0
    while sent < WINDOW_BYTES // 2:
        call.feed(frame(DATA, bytes(16_000)))
        sent += 16_000
    expected = struct.pack(">I", sent)
    assert list(frames(call.replies())) == [(WINDOW_UPDATE, 0, 0, expected), (WINDOW_UPDATE, 0, 1, expected)]


@pytest.mark.parametrize(
    "sent",
    [
        frame(RESET, bytes(4)),
        frame(GO_AWAY, bytes(8), stream=0),
        frame(DATA, message(b"text"), END_STREAM),
        frame(DATA, b"\x01" + bytes(4)),
        frame(DATA, struct.pack(">BI", 0, 2**31)),
        frame(HEADERS, b"\xff\xff\xff\xff\xff\xff\xff", END_HEADERS),
    ],
    ids=["reset", "go-away", "no-status", "compressed", "too-long", "no-headers"],
)
def test_a_server_that_gives_up_or_speaks_otherwise_is_an_error(sent: bytes) -> None:
    """And never a short answer."""
    with pytest.raises(Broken, match="gobgpd"):
        begun().feed(sent)


def test_a_connection_that_ends_after_the_status_is_no_error() -> None:
    call = begun()
    call.feed(answer([b"text"]) + frame(GO_AWAY, bytes(8), stream=0))
    assert call.status == Status(0, "")
