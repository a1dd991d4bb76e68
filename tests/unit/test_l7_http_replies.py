"""Replies are followed to their end, whatever says where that is; everybody is answered in turn."""

from __future__ import annotations

import pytest

from netloom_l7_http.parser import WAITING_MAX
from support.http_talk import DENIED, Talking, get

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ROOT = ({"path": "/"},)
UPGRADE = get("/", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Key: x")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"
EXPECTS = get("/", "Expect: 100-Continue", "Content-Length: 5", method="POST")


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("GET", OK),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n"),
        ("GET", b"HTTP/1.0 404 Not\xe9 Found\r\nContent-Length:  3 \r\n\r\nabc"),
        ("GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\nContent-MD5: y\r\nHost: b\r\n\r\n",
        ),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK),
    ],
    ids=repr,
)
def test_a_reply_ends_where_it_says_and_who_is_denied_is_answered_behind_it(method: str, reply: bytes) -> None:
    """Byte by byte, so that nothing is passed ahead."""
    talk = Talking(ROOT).ask(get("/", method=method) + get("/pay") + get("/"))
    for byte in reply + OK:
        talk.reply(bytes([byte]))
    assert talk.to_client == reply + DENIED + OK
    assert not talk.broken


def test_a_reply_may_be_as_long_as_the_connection() -> None:
    """Nobody is answered in its midst, nor behind its end."""
    talk = Talking(ROOT).ask(get() + get("/pay")).reply(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 ")
    talk.ask(get("/pay")).reply(b"more", end=True).ask(get("/pay"))
    assert talk.to_client == b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 more"
    assert not talk.broken


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: a\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"hello\r\n",
        SWITCHED,
    ],
    ids=repr,
)
def test_a_reply_that_clients_could_read_in_two_ways_breaks_the_connection(reply: bytes) -> None:
    talk = Talking().ask(get()).reply(reply)
    assert talk.broken
    assert talk.to_client == b""


def test_a_reply_that_nobody_asked_for_breaks_the_connection() -> None:
    """It is what a request leads to that was hidden in another."""
    talk = Talking().ask(get()).reply(OK + OK)
    assert talk.to_client == OK
    assert talk.broken == "a reply that nobody has asked for"


def test_the_access_log_is_told_the_status_when_a_reply_begins() -> None:
    talk = Talking().ask(get() + get()).reply(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert [one.said for one in talk.judged] == [None, None]
    talk.reply(OK[:-2])
    assert [one.said for one in talk.judged] == [{"status": "200"}, None]


def test_who_is_denied_by_a_server_that_has_left_is_not_answered() -> None:
    talk = Talking(ROOT).reply(b"", end=True).ask(get("/pay") + get("//"))
    assert talk.to_client == b""
    assert talk.ended == ["replies"]
    assert talk.broken == "a path with an empty segment"


def test_who_never_reads_is_refused() -> None:
    assert Talking().ask(get() * (WAITING_MAX + 1)).broken == f"more than {WAITING_MAX} requests without a reply"


# --- who closes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_", [get("/pay", "Connection: close"), get("/pay", version="1.0"), b"GET /pay HTTP/1.0\r\n\r\n"], ids=repr
)
def test_who_reads_to_the_end_is_denied_with_one(request_: bytes) -> None:
    talk = Talking(ROOT).ask(get() + request_ + get()).reply(OK)
    assert talk.to_client.startswith(OK + b"HTTP/1.1 403 Forbidden\r\n")
    assert b"\r\nConnection: close\r\n" in talk.to_client
    assert (talk.to_server, talk.ended, talk.broken) == (get(), ["replies", "requests"], "")


def test_an_old_client_may_keep_its_connection() -> None:
    talk = Talking(ROOT).ask(get("/pay", "Connection: Keep-Alive", version="1.0") + get())
    assert (talk.to_client, talk.to_server) == (DENIED, get())


def test_the_answer_to_head_has_no_body() -> None:
    talk = Talking(ROOT).ask(get("/pay", method="HEAD"))
    assert talk.to_client == DENIED.removesuffix(b"Access denied\r\n")


# --- bodies that are waited for ---------------------------------------------------------------------


def test_a_body_follows_the_word_of_the_server() -> None:
    talk = Talking().ask(EXPECTS).reply(b"HTTP/1.1 100 Continue\r\n\r\n").ask(b"hello" + get()).reply(OK + OK)
    assert talk.to_server == EXPECTS + b"hello" + get()
    assert not talk.ended


@pytest.mark.parametrize("begun", [b"", b"hel"])
def test_where_the_server_answers_before_the_body_nothing_follows(begun: bytes) -> None:
    """The client may send its body or not, the server read it or not: what comes could be either."""
    talk = Talking().ask(EXPECTS + begun).reply(OK).ask(get())
    assert talk.to_server == EXPECTS + begun
    assert talk.to_client == OK
    assert talk.ended == ["replies", "requests"]


def test_who_is_denied_before_its_body_is_closed_on() -> None:
    talk = Talking(({"method": "GET"},)).ask(EXPECTS + get())
    assert talk.to_client.startswith(b"HTTP/1.1 403 ")
    assert (talk.to_server, talk.ended) == (b"", ["replies", "requests"])


# --- other protocols --------------------------------------------------------------------------------


def test_a_websocket_passes_once_the_server_agrees() -> None:
    talk = Talking(ROOT).ask(UPGRADE).reply(SWITCHED + b"\x81\x02hi").ask(b"\x81\x00GET /").reply(b"\x88", end=True)
    assert talk.to_server == UPGRADE + b"\x81\x00GET /"
    assert talk.to_client == SWITCHED + b"\x81\x02hi\x88"
    assert talk.judged[0].said == {"status": "101"}


def test_a_websocket_that_the_server_declines_is_http_still() -> None:
    talk = Talking(ROOT).ask(UPGRADE).reply(OK).ask(get("/pay") + get())
    assert talk.to_client == OK + DENIED
    assert talk.to_server == UPGRADE + get()


@pytest.mark.parametrize("request_", [UPGRADE, CONNECT], ids=repr)
def test_nothing_comes_between_an_offer_and_its_answer(request_: bytes) -> None:
    """It is a request, or not, as the server decides."""
    rules = ({"path": "/"}, {"method": "CONNECT"})
    talk = Talking(rules).ask(request_ + get("/pay")).ask(get())
    assert talk.to_server == request_
    talk.reply(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    assert talk.to_server == request_ + get()
    assert talk.to_client.endswith(DENIED)


@pytest.mark.parametrize(("request_", "reply"), [(UPGRADE, SWITCHED), (CONNECT, b"HTTP/1.1 200 OK\r\n\r\n")], ids=repr)
def test_what_comes_before_a_tunnel_is_open_waits_for_it(request_: bytes, reply: bytes) -> None:
    talk = Talking().ask(request_ + b"\x81").ask(b"\x00")
    assert talk.to_server == request_
    assert talk.reply(reply).to_server == request_ + b"\x81\x00"


def test_another_protocol_than_was_agreed_breaks_the_connection() -> None:
    assert Talking().ask(UPGRADE).reply(SWITCHED.replace(b"websocket", b"h2c")).broken


def test_offers_of_other_protocols_do_not_reach_the_server() -> None:
    """What they lead to, nobody could judge; a server that does not see one goes on as before."""
    offer = get("/", "Connection: Upgrade, HTTP2-Settings, close", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "X: 1")
    assert Talking().ask(offer).to_server == get("/", "Connection: close", "X: 1")
    offer = get("/", "Connection: upgrade", "Upgrade: TLS/1.2", "Content-Length: 2", method="POST")
    assert Talking().ask(offer + b"ab").to_server == get("/", "Content-Length: 2", method="POST") + b"ab"
    assert Talking().ask(get("/", "Upgrade: websocket")).to_server == get()


def test_a_tunnel_passes_once_it_is_open() -> None:
    talk = Talking().ask(CONNECT).reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").ask(b"\x16\x03").reply(b"any")
    assert talk.to_server == CONNECT + b"\x16\x03"
    assert talk.to_client.endswith(b"\r\n\r\nany")


def test_a_tunnel_that_is_declined_is_none() -> None:
    talk = (
        Talking(({"method": "CONNECT"},)).ask(CONNECT).reply(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n").ask(get())
    )
    assert talk.to_client.endswith(DENIED)
