"""HTTP/2: every stream is judged by itself, and a client and a server that are strict find nothing amiss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest
from h2.settings import SettingCodes

from netloom_l7_http.frames import END_HEADERS, END_STREAM, Kind, write_frame, write_headers
from netloom_l7_http.hpack import write
from netloom_l7_http.unheard import STREAMS_MAX
from support.http_talk import Talking

READ = ({"method": "GET", "path": "/jobs.*"}, {"method": "POST", "path": "/jobs.Jobs/.*"}, {"method": "PUT"})
Headers = list[tuple[str, str]]
GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


def asks(method: str, path: str, *more: tuple[str, str]) -> Headers:
    return [(":method", method), (":scheme", "http"), (":authority", "Jobs:80"), (":path", path), *more]


class Pair:
    """A client and a server of h2, and a parser between them."""

    def __init__(self, rules: Iterable[Mapping[str, Any]] = READ, seed: int | None = None) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        lax = h2.config.H2Configuration(client_side=False)
        self.server = h2.connection.H2Connection(lax)
        self.talk = Talking(tuple(rules))
        self.heard: list[h2.events.Event] = []
        self.served: list[h2.events.Event] = []
        self._chance = Random(seed) if seed is not None else None  # noqa: S311 - cuts, no secrets
        self.client.initiate_connection()
        self.server.initiate_connection()

    def run(self) -> Pair:
        """Until nobody has anything to say."""
        while True:
            asked, said = self.client.data_to_send(), self.server.data_to_send()
            if not asked and not said:
                return self
            for piece in self._cut(asked):
                self.talk.ask(piece)
            for piece in self._cut(said):
                self.talk.reply(piece)
            assert not self.talk.broken
            to_server, self.talk.to_server = self.talk.to_server, b""
            to_client, self.talk.to_client = self.talk.to_client, b""
            self.served += self.server.receive_data(to_server)
            self.heard += self.client.receive_data(to_client)

    def _cut(self, data: bytes) -> Iterable[bytes]:
        while data:
            count = len(data) if self._chance is None else self._chance.randrange(1, 12)
            yield data[:count]
            data = data[count:]

    def ask(self, headers: Headers, body: bytes | None = None) -> int:
        """Returns the stream."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.client.send_data(stream, body, end_stream=True)
        return stream

    def answer(self, stream: int, body: bytes = b"ok") -> None:
        self.server.send_headers(stream, [(":status", "200"), ("x-long", "y" * 200)])
        self.server.send_data(stream, body, end_stream=True)

    @property
    def seen(self) -> list[str]:
        """Paths the server read."""
        found = [event for event in self.served if isinstance(event, h2.events.RequestReceived)]
        return [dict(event.headers)[b":path"].decode() for event in found]

    def answers(self, stream: int) -> dict[str, str]:
        """Headers of the answer to a stream."""
        found = [event for event in self.heard if isinstance(event, h2.events.ResponseReceived)]
        (mine,) = (event for event in found if event.stream_id == stream)
        return {name.decode(): value.decode() for name, value in mine.headers}


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_streams_are_judged_one_by_one_and_the_connection_goes_on(seed: int | None) -> None:
    """Headers that clients say again refer to those the server never saw."""
    pair = Pair(seed=seed)
    first = pair.ask(asks("GET", "/jobs/1", ("x-token", "a" * 40)))
    denied = pair.ask(asks("DELETE", "/jobs/1", ("x-token", "a" * 40), ("x-other", "b" * 40)))
    again = pair.ask(asks("GET", "/%6aobs/1?x", ("x-token", "a" * 40), ("x-other", "b" * 40)))
    pair.run()
    assert pair.seen == ["/jobs/1", "/%6aobs/1?x"]
    pair.answer(first)
    pair.answer(again)
    pair.run()
    assert [pair.answers(stream)[":status"] for stream in (first, denied, again)] == ["200", "403", "200"]
    assert [one.said for one in pair.talk.judged] == [{"status": status} for status in ("200", "403", "200")]
    assert pair.talk.judged[2].request.path == "/jobs/1?x"


def test_a_call_of_grpc_is_denied_by_its_status() -> None:
    pair = Pair()
    stream = pair.ask(asks("POST", "/jobs.Pay/Raise", *GRPC), b"\0\0\0\0\1x")
    allowed = pair.ask(asks("POST", "/jobs.Jobs/List", *GRPC), b"\0\0\0\0\1x")
    pair.run()
    answer = pair.answers(stream)
    assert (answer[":status"], answer["grpc-status"], answer["grpc-message"]) == ("200", "7", "Access denied")
    assert pair.seen == ["/jobs.Jobs/List"]
    pair.server.send_headers(allowed, [(":status", "200"), ("content-type", "application/grpc")])
    pair.server.send_headers(allowed, [("grpc-status", "0")], end_stream=True)
    pair.run()
    assert pair.talk.judged[1].said == {"status": "200"}


def test_what_is_denied_costs_no_window() -> None:
    """Many times the connection's, of 65,535 bytes."""
    pair = Pair()
    for _ in range(20):
        pair.ask(asks("POST", "/else"), b"x" * 16_000)
        pair.run()
    stream = pair.ask(asks("PUT", "/any"), b"y" * 16_000)
    pair.run()
    data = [event.data for event in pair.served if isinstance(event, h2.events.DataReceived)]
    assert b"".join(data) == b"y" * 16_000
    pair.answer(stream, b"z" * 16_000)
    pair.run()
    assert pair.answers(stream)[":status"] == "200"


def upload(pair: Pair, size: int) -> list[h2.events.Event]:
    """Send a body that is denied as far as windows and the other end let; returns what came back behind the answer."""
    stream = pair.client.get_next_available_stream_id()
    pair.client.send_headers(stream, asks("POST", "/else"))
    pair.run()
    assert pair.answers(stream)[":status"] == "403"
    pair.heard.clear()
    while size and not any(isinstance(event, h2.events.StreamReset) for event in pair.heard):
        count = min(size, 16_000, pair.client.local_flow_control_window(stream))
        pair.client.send_data(stream, b"x" * count, end_stream=count == size)
        size -= count
        pair.run()
    return pair.heard


def test_who_is_denied_may_say_its_say() -> None:
    """Some clients take a reset for a failure, though the answer came before it."""
    heard = upload(Pair(), 500_000)
    assert not [event for event in heard if not isinstance(event, h2.events.WindowUpdated)]


def test_who_is_denied_is_reset_behind_the_end() -> None:
    """A client that has stopped because of the answer may wait for a word behind that."""
    pair = Pair()
    stream = pair.client.get_next_available_stream_id()
    pair.client.send_headers(stream, asks("POST", "/else"))
    pair.run()
    pair.client.end_stream(stream)
    pair.talk.ask(pair.client.data_to_send())
    assert pair.talk.to_client == write_frame(Kind.RST_STREAM, 0, stream, bytes(4))


def test_who_is_denied_and_does_not_end_is_reset() -> None:
    (reset,) = (event for event in upload(Pair(), 1 << 21) if isinstance(event, h2.events.StreamReset))
    assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR


def test_only_so_many_who_are_denied_may_go_on() -> None:
    pair = Pair()
    pair.server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX + 2})
    pair.run()
    for _ in range(STREAMS_MAX + 2):
        pair.client.send_headers(pair.client.get_next_available_stream_id(), asks("POST", "/else"))
        pair.run()
    assert len([event for event in pair.heard if isinstance(event, h2.events.StreamReset)]) == 2


def test_who_is_denied_is_answered_between_two_frames_of_the_server() -> None:
    pair = Pair()
    stream = pair.ask(asks("GET", "/jobs"))
    pair.run()
    pair.answer(stream, b"z" * 1000)
    said = pair.server.data_to_send()
    pair.talk.reply(said[:-500])
    pair.ask(asks("GET", "/pay"))
    pair.talk.ask(pair.client.data_to_send())
    pair.talk.reply(said[-500:])
    pair.heard += pair.client.receive_data(pair.talk.to_client)
    assert b"".join(event.data for event in pair.heard if isinstance(event, h2.events.DataReceived)) == b"z" * 1000
    assert pair.answers(3)[":status"] == "403"


def test_trailers_follow_their_request() -> None:
    pair = Pair()
    stream = pair.client.get_next_available_stream_id()
    pair.client.send_headers(stream, asks("PUT", "/any"))
    pair.client.send_data(stream, b"x")
    pair.client.send_headers(stream, [("x-sum", "1")], end_stream=True)
    pair.run()
    (trailers,) = (event for event in pair.served if isinstance(event, h2.events.TrailersReceived))
    assert dict(trailers.headers) == {b"x-sum": b"1"}


def test_a_server_may_ask_for_another_table_of_headers() -> None:
    pair = Pair()
    pair.server.update_settings({SettingCodes.HEADER_TABLE_SIZE: 0})
    pair.run()
    for number in range(3):
        pair.ask(asks("GET", f"/jobs/{number}", ("x-token", "a" * 40)))
        pair.run()
    assert pair.seen == ["/jobs/0", "/jobs/1", "/jobs/2"]


def test_a_client_may_ask_for_another_table_of_headers() -> None:
    """Whoever speaks first afterwards says that it holds."""
    pair = Pair()
    pair.client.update_settings({SettingCodes.HEADER_TABLE_SIZE: 100})
    pair.run()
    denied = pair.ask(asks("GET", "/pay"))
    allowed = pair.ask(asks("GET", "/jobs"))
    pair.run()
    pair.answer(allowed)
    pair.run()
    assert [pair.answers(stream)[":status"] for stream in (denied, allowed)] == ["403", "200"]


def test_headers_are_edited_as_rules_say() -> None:
    rule = {"headerMatches": [{"name": "X-Role", "value": "cook", "mismatch": "REPLACE"}]}
    pair = Pair([rule])
    pair.ask(asks("GET", "/", ("x-role", "chief"), ("x_role", "king"), ("a", "b")))
    pair.run()
    (request,) = (event for event in pair.served if isinstance(event, h2.events.RequestReceived))
    assert request.headers[4:] == [(b"a", b"b"), (b"x-role", b"cook")]


@pytest.mark.parametrize(
    "headers",
    [
        asks("GET", "/jobs/../pay"),
        asks("GET", "//jobs"),
        asks("GET", "http://Jobs:80/jobs"),
        asks("STEAL", "/jobs"),
        asks("GET", "/jobs", ("connection", "close")),
        asks("GET", "/jobs", ("transfer-encoding", "chunked")),
        asks("GET", "/jobs", ("host", "other")),
        asks("GET", "/jobs", ("content_length", "1")),
        asks("GET", "/jobs", ("x", "a\r\nb: c")),
        asks("GET", "/jobs", ("x", "a\0")),
        asks("GET", "/jobs", ("X", "a")),
        asks("GET", "/jobs", (":path", "/pay")),
        asks("GET", "/jobs", (":protocol", "websocket")),
        [("x", "y"), *asks("GET", "/jobs")],
        asks("GET", "/jobs")[1:],
        [(":method", "CONNECT"), (":authority", "jobs:80")],
    ],
    ids=repr,
)
def test_a_stream_that_can_be_read_in_two_ways_is_refused_alone(headers: Headers) -> None:
    """A client as careless as need be."""
    pair = Pair([{"method": ".*"}])
    pair.client.config.validate_outbound_headers = False
    pair.client.config.normalize_outbound_headers = False
    stream = pair.ask(headers)
    good = pair.ask(asks("GET", "/jobs"))
    pair.run()
    assert pair.answers(stream)[":status"] == "400"
    assert pair.seen == ["/jobs"]
    pair.answer(good)
    assert pair.run().answers(good)[":status"] == "200"


@pytest.mark.parametrize("seed", range(40))
def test_any_bytes_behind_the_preface_reach_no_server_as_a_request(seed: int) -> None:
    """Changed here and there, and without a rule that allows anything."""
    pair, chance = Pair([{"path": "/nowhere"}]), Random(seed)  # noqa: S311 - variety alone
    pair.ask(asks("GET", "/jobs"))
    pair.ask(asks("POST", "/jobs"), b"x" * 30)
    stream = bytearray(pair.client.data_to_send())
    for _ in range(chance.randrange(1, 8)):
        stream[chance.randrange(24, len(stream))] = chance.randrange(256)
    pair.talk.ask(bytes(stream), end=True)
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    try:
        events = server.receive_data(pair.talk.to_server)
    except h2.exceptions.ProtocolError:
        return
    assert not [event for event in events if isinstance(event, h2.events.RequestReceived)]


def test_nobody_is_answered_before_the_server_has_sent_its_settings() -> None:
    """Clients take nothing else for the beginning of HTTP/2."""
    pair = Pair()
    stream = pair.ask(asks("GET", "/pay"))
    pair.talk.ask(pair.client.data_to_send())
    assert pair.talk.to_client == b""
    settings = pair.server.data_to_send()
    pair.talk.reply(settings)
    assert pair.talk.to_client.startswith(settings)
    pair.heard += pair.client.receive_data(pair.talk.to_client)
    assert pair.answers(stream)[":status"] == "403"


def test_a_server_that_speaks_something_else_breaks_the_connection() -> None:
    pair = Pair()
    pair.ask(asks("GET", "/jobs"))
    pair.talk.ask(pair.client.data_to_send()).reply(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert pair.talk.broken
    assert pair.talk.to_client == b""


def test_a_server_may_speak_first() -> None:
    pair = Pair()
    pair.talk.reply(pair.server.data_to_send())
    pair.ask(asks("GET", "/jobs"))
    pair.run()
    assert pair.seen == ["/jobs"]


def test_a_request_that_goes_on_behind_its_end_breaks_the_connection() -> None:
    """A server that read the rest would read more than was judged."""
    for rest in (write_frame(Kind.DATA, 0, 1, b"x"), write_headers(1, write([(b"x-role", b"cook")]), ends=True)):
        pair = Pair()
        pair.ask(asks("GET", "/jobs"))
        pair.run()
        assert pair.talk.ask(rest).broken == "a request that goes on behind its end"
        assert pair.talk.to_server == b""


@pytest.mark.parametrize("by", ["client", "server"])
@pytest.mark.parametrize(("code", "name"), [(8, "CANCEL"), (99, "99")])
def test_a_request_that_is_reset_is_told_of_as_such(by: str, code: int, name: str) -> None:
    """Cancelled calls would be waited for as long as their connection lasts."""
    pair = Pair()
    stream = pair.ask(asks("GET", "/jobs"))
    pair.run()
    (pair.client if by == "client" else pair.server).reset_stream(stream, code)
    pair.run()
    assert pair.talk.judged[0].said == {"reset_by": by, "error": name}


def test_a_reset_behind_the_answer_changes_nothing() -> None:
    pair = Pair()
    stream = pair.ask(asks("GET", "/jobs"))
    pair.run()
    pair.server.send_headers(stream, [(":status", "200")])
    pair.run()
    pair.client.reset_stream(stream)
    assert pair.run().talk.judged[0].said == {"status": "200"}


def test_a_reset_without_a_reason_breaks_the_connection() -> None:
    pair = Pair()
    pair.ask(asks("GET", "/jobs"))
    pair.run()
    assert pair.talk.ask(write_frame(Kind.RST_STREAM, 0, 1)).broken == "a reset of 0 bytes"


def test_headers_of_a_reply_that_cannot_be_read_are_for_the_client_to_refuse() -> None:
    """Go's server sometimes resizes its table in the midst of a block, and Java's client reads that."""
    pair = Pair()
    pair.ask(asks("GET", "/jobs"))
    pair.ask(asks("GET", "/jobs/1"))
    pair.run()
    told = write_frame(Kind.HEADERS, END_HEADERS | END_STREAM, 1, b"\x88\x3f\xe1\x1f")
    then = write_frame(Kind.HEADERS, END_HEADERS | END_STREAM, 3, b"\x88")
    pair.talk.reply(told + then)
    assert (pair.talk.to_client, pair.talk.broken) == (told + then, "")
    assert [one.said for one in pair.talk.judged] == [{}, {}]
