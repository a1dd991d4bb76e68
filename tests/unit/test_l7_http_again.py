"""What was said before is answered as it was the first time, on the same connection and on others."""

from __future__ import annotations

import pytest

from support.http_talk import DENIED, Talking, get

READ = ({"method": "GET|HEAD"},)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TIMES = 5


@pytest.mark.parametrize(
    ("request_", "reply", "to_client"),
    [
        (get("/a"), OK, OK),
        (get("/a", method="DELETE"), b"", DENIED),
        (get("/a", method="HEAD"), OK[:-2], OK[:-2]),
    ],
    ids=["allowed", "denied", "HEAD"],
)
def test_a_request_that_comes_again_is_judged_and_answered_again(
    request_: bytes, reply: bytes, to_client: bytes
) -> None:
    talk = Talking(READ)
    for number in range(1, TIMES):
        talk.ask(request_).reply(reply)
        assert (len(talk.judged), talk.to_client) == (number, number * to_client)
        assert talk.judged[-1].said == {"status": talk.to_client[9:12].decode()}


def test_a_request_that_comes_again_is_edited_again() -> None:
    talk = Talking(({"method": "GET", "headerMatches": [{"name": "X-By", "value": "1", "mismatch": "ADD"}]},))
    for number in range(1, TIMES):
        talk.ask(get("/f")).reply(OK)
        assert talk.to_server == number * get("/f", "X-By: 1")
        assert talk.judged[-1].said == {"status": "200", "mismatched": "X-By"}


def test_who_is_denied_behind_the_servers_last_word_is_told_nothing() -> None:
    for _ in range(TIMES):
        talk = Talking(READ).reply(b"", end=True).ask(get("/g", method="DELETE"))
        assert (talk.to_client, len(talk.judged)) == (b"", 1)


@pytest.mark.parametrize("second", [OK, OK[:-2]], ids=["whole", "its head"])
def test_a_reply_that_nobody_asked_for_is_none_however_well_it_is_known(second: bytes) -> None:
    talk = Talking(READ)
    for _ in range(TIMES):
        talk.ask(get("/b")).reply(OK)
    assert not talk.broken
    assert talk.reply(second).broken


def test_the_body_of_a_reply_to_head_is_no_reply() -> None:
    talk = Talking(READ)
    for _ in range(TIMES):
        talk.ask(get("/c")).reply(OK)
    assert talk.ask(get("/c", method="HEAD")).reply(OK).broken


def test_another_protocol_that_nobody_asked_for_breaks_the_connection_every_time() -> None:
    for _ in range(TIMES):
        talk = Talking(READ).ask(get("/d"))
        assert talk.reply(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").broken


def test_nothing_is_read_behind_a_request_that_ends_the_connection() -> None:
    for _ in range(TIMES):
        talk = Talking(READ).ask(get("/e", "Connection: close", method="DELETE"))
        assert talk.ended == ["replies", "requests"]
        assert len(talk.ask(get("/e")).judged) == 1
