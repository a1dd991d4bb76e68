"""Where a message of HTTP/1.1 ends is beyond doubt, or it goes nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom_l7_http.bodies import BESIDES_BYTES_MAX, LINE_BYTES_MAX
from netloom_l7_http.head import BARE, FIELDS_MAX, HEAD_BYTES_MAX
from netloom_l7_http.request import METHODS
from support.http_talk import DENIED, Talking, get, refused

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = get("/", "Transfer-Encoding: chunked", method="POST")
ROOT = ({"path": "/"},)


def post(*headers: str, version: str = "1.1") -> bytes:
    return get("/", *headers, version=version, method="POST")


@pytest.mark.parametrize(
    "head",
    [
        post("Content-Length: 3", "Content-Length: 3"),
        post("Content-Length: 3", "Content-Length: 4"),
        post("Content-Length: 3, 3"),
        post("Content-Length: +3"),
        post("Content-Length: -1"),
        post("Content-Length: 03"),
        post("Content-Length: 0x3"),
        post("Content-Length: 3 "[:-1] + "\t4"),
        post("Content-Length: "),
        post("Content-Length: 9999999999999999999"),
        post("Content_Length: 3"),
        post("Content-Length: 3", "Transfer-Encoding: chunked"),
        post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        post("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        post("Transfer-Encoding: gzip, chunked"),
        post("Transfer-Encoding: identity"),
        post("Transfer-Encoding: xchunked"),
        post("Transfer-Encoding: chunked,"),
        post('Transfer-Encoding: "chunked"'),
        post("Transfer_Encoding: chunked"),
        post("Transfer-Encoding: chunked", version="1.0"),
        post("Transfer-Encoding : chunked"),
        post("Transfer-Encoding:\x0bchunked"),
        post("Transfer-Encoding\x00: chunked"),
        post("X: a\r\n b"),
        post("X: a\r\n\tTransfer-Encoding: chunked"),
        post(" X: a"),
        post("X : a"),
        post("X: a\nTransfer-Encoding: chunked"),
        post("X: a\rTransfer-Encoding: chunked"),
        post("X: a\x00b"),
        post("X: a\x7fb"),
        post("X"),
        post(": a"),
        post("X\xe9: a"),
        post("(X): a"),
        get("/", "Content-Length: 3"),
        get("/", "Transfer-Encoding: chunked"),
        get("/", "Content-Length: 3", method="HEAD"),
        get("/", "Host: a"),
        get("/", "Host: b"),
        get("/", "HOST: a"),
        get("/", "Connection: close, X-Role", "X-Role: cook"),
        get("/", "Connection: Host"),
        get("/", "Expect: 200-maybe"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / /pay HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xa0 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"STEAL / HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=repr,
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    """Nothing of it and nothing behind it reaches the server, and no rule is asked about it."""
    talk = refused(head + b"abc" + get("/next"))
    assert talk.judged == []


def test_a_head_that_can_never_be_one_is_refused_before_it_ends() -> None:
    for beginning in (b"GET / HTTP/1.1\r\nX: a\nb", b"POST /\x00", b"HELO mail", b"\x00", b"G" * 30):
        refused(beginning)


def test_a_head_that_comes_byte_by_byte_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends one so would take a thousand times the CPU of others."""
    looked_bytes = 0

    class Counting:
        def search(self, data: bytes, at: int) -> object:
            nonlocal looked_bytes
            looked_bytes += len(data) - at
            return BARE.search(data, at)

    monkeypatch.setattr("netloom_l7_http.head.BARE", Counting())
    request, talk = get("/", "X: " + "a" * 2000), Talking()
    for byte in request:
        talk.ask(bytes([byte]))
    assert talk.to_server == request
    assert looked_bytes < 3 * len(request)


def test_heads_are_bounded() -> None:
    assert refused(get("/", "X: " + "a" * HEAD_BYTES_MAX)).to_client.startswith(b"HTTP/1.1 431 ")
    assert refused(b"GET /" + b"a" * HEAD_BYTES_MAX).to_client.startswith(b"HTTP/1.1 431 ")
    assert refused(get("/", *["X: a"] * FIELDS_MAX)).to_client.startswith(b"HTTP/1.1 431 ")


def test_every_method_that_a_rule_may_name_is_read() -> None:
    for method in METHODS - {"CONNECT"}:
        assert Talking().ask(get(method=method)).to_server


def test_who_is_refused_is_told_so_behind_the_answers_before() -> None:
    """And reads nothing of the server behind that."""
    talk = Talking().ask(get("/1") + get("/2", "Host: b") + get("/3"))
    assert (talk.to_client, talk.broken) == (b"", "")
    talk.reply(OK + OK)
    assert talk.to_client.startswith(OK + b"HTTP/1.1 400 Bad Request\r\n")
    assert talk.to_client.count(b"HTTP/1.1") == 2
    assert talk.to_server == get("/1")
    assert talk.broken == "host twice or misspelt"


# --- bodies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"0003;a\r\nabc\r\n000\r\n\r\n",
        b'a;x="\xe9";\t y=z\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nY:\r\n\r\n',
        b"F\r\n0\r\n\r\nGET /pay H\r\n0\r\n\r\n",
    ],
    ids=repr,
)
def test_a_body_in_chunks_ends_where_it_says(body: bytes) -> None:
    """Chunks may hold anything, trailers come to its end."""
    talk = Talking(ROOT).ask(CHUNKED + body + get("/x") + get("/"))
    assert talk.paths == ["/", "/x", "/"]
    assert talk.to_server == CHUNKED + body + get("/")


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1_0\r\n",
        b"1\n",
        b"1;a\nb\r\n",
        b"1;a\rb\r\n",
        b"1;\x00\r\n",
        b"1\r\nabc",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\na\rX",
        b"ffffffffffffffff\r\n",
        b"0\r\nX : a\r\n\r\n",
        b"0\r\n X: a\r\n\r\n",
        b"0\r\nX: a\nY: b\r\n\r\n",
        b"0\r\nContent-Length: 3\r\n\r\n",
        b"0\r\nContent_length: 3\r\n\r\n",
        b"0\r\nHost: b\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"1;" + b"a" * LINE_BYTES_MAX,
        (b"1;" + b"a" * 2000 + b"\r\nx\r\n") * (BESIDES_BYTES_MAX // 2000 + 1),
    ],
    ids=lambda body: repr(body[:40]),
)
@pytest.mark.parametrize("path", ["/", "/denied"])
def test_a_body_in_chunks_that_can_be_read_in_two_ways_breaks_the_connection(body: bytes, path: str) -> None:
    talk = Talking(ROOT).ask(get(path, "Transfer-Encoding: chunked", method="POST") + body + b"x" * LINE_BYTES_MAX)
    assert talk.broken
    assert len(talk.judged) == 1


@pytest.mark.parametrize("body", [b"5\r\nhello\r\n0\r\n\r\n", b"hello"], ids=repr)
def test_the_body_of_who_is_denied_is_no_request(body: bytes) -> None:
    head = post("Transfer-Encoding: chunked" if body[:1] == b"5" else "Content-Length: 5")
    talk = Talking(({"method": "GET"},))
    for byte in head + body + get():
        talk.ask(bytes([byte]))
    assert (talk.to_client, talk.to_server) == (DENIED, get())


def test_a_body_may_be_any_bytes() -> None:
    body = get("/pay") + b"\r\n\r\n\x00"
    head = post(f"Content-Length: {len(body)}")
    talk = Talking(ROOT).ask(head + body + get("/pay"))
    assert talk.to_server == head + body
    assert talk.to_client == b""


@given(st.lists(st.binary(max_size=40), max_size=5), st.binary(max_size=60))
def test_whatever_follows_a_body_is_judged_by_itself(chunks: list[bytes], tail: bytes) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
    talk = Talking(({"method": "POST", "path": "/"},)).ask(CHUNKED + body + get("/secret") + tail)
    assert talk.paths[:2] == ["/", "/secret"]
    assert talk.to_server.startswith(CHUNKED + body)
    assert b"/secret" not in talk.to_server[len(CHUNKED + body) :]
