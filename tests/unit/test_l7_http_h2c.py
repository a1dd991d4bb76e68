"""Connections that go on as HTTP/2 once the server has agreed: until then nothing but the offer reaches it."""

from __future__ import annotations

from typing import Final

import h2.config
import h2.connection
import h2.events
import pytest
from h2.settings import SettingCodes

from netloom_l7_http.frames import PREFACE, Kind, write_frame
from support.http_talk import DENIED, Talking, get

READ: Final = ({"method": "GET|HEAD|POST", "path": "/jobs.*"},)
SETTINGS: Final = "HTTP2-Settings: AAMAAABkAAQAAP__"
HEADERS: Final = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", SETTINGS)
OFFER: Final = get("/jobs", *HEADERS)
SWITCHED: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Upgraded:
    """A client and a server of h2 that have agreed, and a parser between them."""

    def __init__(self, table_bytes: int = 4096, piece_bytes: int = 1 << 16) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.client.local_settings[SettingCodes.HEADER_TABLE_SIZE] = table_bytes
        self.client.local_settings.acknowledge()
        self.client.decoder.max_allowed_table_size = table_bytes
        settings = self.client.initiate_upgrade_connection()
        assert settings is not None
        self.talk = Talking(READ)
        self.heard: list[h2.events.Event] = []
        self._piece_bytes = piece_bytes
        self.talk.ask(get("/jobs", *HEADERS[:2], f"HTTP2-Settings: {settings.decode()}"))
        self.server.initiate_upgrade_connection(settings)
        self.answer(1)
        self._said(SWITCHED + self.server.data_to_send())
        assert self.talk.to_client.startswith(SWITCHED)
        self.talk.to_server, self.talk.to_client = b"", self.talk.to_client.removeprefix(SWITCHED)

    def answer(self, stream: int, word: str = "y") -> None:
        self.server.send_headers(stream, [(":status", "200"), ("x-word", word)])
        self.server.send_data(stream, b"ok", end_stream=True)

    def ask(self, path: str) -> int:
        stream = self.client.get_next_available_stream_id()
        headers = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)]
        self.client.send_headers(stream, headers, end_stream=True)
        return stream

    def run(self) -> list[str]:
        """Until nobody has anything to say: paths the server read by then."""
        seen = []
        while True:
            to_client, self.talk.to_client = self.talk.to_client, b""
            self.heard += self.client.receive_data(to_client)
            asked = self.client.data_to_send()
            for at in range(0, len(asked), self._piece_bytes):
                self.talk.ask(asked[at : at + self._piece_bytes])
            to_server, self.talk.to_server = self.talk.to_server, b""
            came = self.server.receive_data(to_server)
            requests = [event for event in came if isinstance(event, h2.events.RequestReceived)]
            seen += [dict(event.headers)[b":path"].decode() for event in requests]
            said = self.server.data_to_send()
            self._said(said)
            assert not self.talk.broken
            if not (asked or said):
                return seen

    def _said(self, data: bytes) -> None:
        for at in range(0, len(data), self._piece_bytes):
            self.talk.reply(data[at : at + self._piece_bytes])

    @property
    def statuses(self) -> dict[int, str]:
        """By stream."""
        found = [event for event in self.heard if isinstance(event, h2.events.ResponseReceived)]
        return {event.stream_id: dict(event.headers)[b":status"].decode() for event in found}


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 16])
def test_once_the_server_agrees_every_stream_is_judged(piece_bytes: int) -> None:
    pair = Upgraded(piece_bytes=piece_bytes)
    pair.ask("/pay")
    allowed = pair.ask("/jobs/1")
    assert pair.run() == ["/jobs/1"]
    pair.answer(allowed)
    pair.run()
    assert pair.statuses == {1: "200", 3: "403", 5: "200"}
    assert [one.said for one in pair.talk.judged] == [{"status": status} for status in ("200", "403", "200")]


@pytest.mark.parametrize("table_bytes", [0, 100, 1 << 14])
def test_the_clients_settings_hold_from_the_offer_on(table_bytes: int) -> None:
    """The server refers to headers as far back as they say."""
    pair = Upgraded(table_bytes)
    for number in (*range(50), 0):
        stream = pair.ask("/jobs")
        pair.run()
        pair.answer(stream, word=f"{number}" * 50)
    denied = pair.ask("/pay")
    pair.run()
    assert [pair.statuses[stream], pair.statuses[denied]] == ["200", "403"]


def test_the_offer_reaches_the_server_as_it_came() -> None:
    assert Talking(READ).ask(OFFER).to_server == OFFER
    assert Talking(READ).ask(get("/jobs", *HEADERS, "Content-Length: 0", method="POST")).to_server.count(b"h2c") == 1


def test_a_server_may_answer_by_http_1_and_so_it_goes_on() -> None:
    talk = Talking(READ).ask(OFFER).reply(OK).ask(get("/pay") + get("/jobs")).reply(OK)
    assert talk.to_client == OK + DENIED + OK
    assert talk.to_server == OFFER + get("/jobs")


def test_a_denied_offer_is_answered_and_http_1_goes_on() -> None:
    talk = Talking(READ).ask(get("/pay", *HEADERS)).ask(get("/jobs")).reply(OK)
    assert (talk.to_client, talk.to_server) == (DENIED + OK, get("/jobs"))


BEHIND: Final = get("/pay") + get("/jobs")
GREETING: Final = PREFACE + write_frame(Kind.SETTINGS, 0, 0)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("early", "answer", "then"),
    [
        (BEHIND, OK, get("/jobs")),
        (BEHIND, SWITCHED, b""),
        (GREETING, SWITCHED, GREETING),
        (GREETING, OK, b""),
        (b"PRI * HTTP/2.0\r\n\r\nXX", SWITCHED, b""),
    ],
)
def test_what_is_said_behind_an_offer_waits_for_the_answer(
    together: bool, early: bytes, answer: bytes, then: bytes
) -> None:
    """It could be of either protocol."""
    talk = Talking(READ)
    (talk.ask(OFFER + early) if together else talk.ask(OFFER).ask(early)).reply(b"HTTP/1.1 103 Early\r\n\r\n")
    assert talk.to_server == OFFER
    talk.reply(answer)
    assert talk.to_server == OFFER + then
    assert bool(talk.broken) is not bool(then)


def test_a_client_that_has_ended_is_still_judged_by_the_answer() -> None:
    talk = Talking(READ).ask(OFFER).ask(BEHIND).ask(b"", end=True)
    assert talk.ended == []
    talk.reply(OK)
    assert (talk.to_server, talk.ended) == (OFFER + get("/jobs"), ["requests"])


def test_what_waits_for_an_answer_that_never_comes_goes_nowhere() -> None:
    talk = Talking(READ).ask(OFFER).ask(BEHIND).ask(b"", end=True).reply(b"", end=True)
    assert (talk.to_server, talk.ended) == (OFFER, ["replies", "requests"])


def test_an_offer_behind_other_requests_is_answered_in_turn() -> None:
    talk = Talking(READ).ask(get("/jobs") + get("/pay") + OFFER + GREETING)
    assert talk.reply(OK).to_client == OK + DENIED
    assert talk.reply(SWITCHED).to_server == get("/jobs") + OFFER + GREETING


@pytest.mark.parametrize(
    "request_",
    [
        get("/jobs", *HEADERS, "Content-Length: 2", method="POST"),
        get("/jobs", *HEADERS, "Transfer-Encoding: chunked", method="POST"),
        get("/jobs", *HEADERS, version="1.0"),
        get("/jobs", *HEADERS, SETTINGS),
        get("/jobs", *HEADERS, SETTINGS.replace("-", "_", 1)),
        get("/jobs", *HEADERS[:2]),
        get("/jobs", *HEADERS[:2], "HTTP2_Settings: AAMAAABk"),
        get("/jobs", *HEADERS[:2], "HTTP2-Settings: AAMAAABkAA=="),
        get("/jobs", *HEADERS[:2], "HTTP2-Settings: AAMAAABkAAQA"),
        get("/jobs", *HEADERS[:2], "HTTP2-Settings: AAMAAAB+"),
        get("/jobs", *HEADERS[:2], "HTTP2-Settings: AAEAAQAB"),
        get("/jobs", *HEADERS[1:]),
        get("/jobs", "Connection: Upgrade", *HEADERS[1:]),
        get("/jobs", *HEADERS, "Connection: close"),
        get("/jobs", "Connection: Upgrade, HTTP2-Settings, keep-alive", *HEADERS[1:]),
        get("/jobs", HEADERS[0], "Upgrade: h2c, websocket", SETTINGS),
        get("/jobs", HEADERS[0], "Upgrade: h2", SETTINGS),
        get("/jobs", *HEADERS, "Upgrade: h2c"),
    ],
    ids=repr,
)
def test_an_offer_that_is_not_exactly_one_does_not_reach_the_server(request_: bytes) -> None:
    talk = Talking(READ).ask(request_)
    assert talk.to_server.startswith(request_.partition(b"\r\n")[0])
    assert b"h2" not in talk.to_server.lower()
    assert b"http2" not in talk.to_server.lower()


def test_a_server_may_agree_to_nothing_else() -> None:
    switched = SWITCHED.replace(b"h2c", b"websocket")
    assert Talking(READ).ask(OFFER).reply(switched).broken
    assert Talking(READ).ask(OFFER).reply(OK).ask(get("/jobs")).reply(SWITCHED).broken


def test_what_follows_is_http_2_or_nothing() -> None:
    talk = Talking(READ).ask(OFFER).reply(SWITCHED).ask(get("/jobs"))
    assert (talk.to_server, talk.broken) == (OFFER, "no preface where HTTP/2 should begin")
