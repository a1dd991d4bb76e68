"""What must hold of parsers, whatever both ends say: functions of bytes that raise where it does not.

An input is a connection: what the client says, and behind each TURN what the other end says then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h11
from netloom_memcached.plugin import MEMCACHED

from netloom.plugins import L7Protocol
from netloom.plugins.l7.driver import HELD_BYTES_MAX
from netloom.plugins.testing.parser import Wire
from netloom_l7_http.frames import PREFACE
from netloom_l7_http.plugin import HTTP
from support.http_reader import read

TURN: Final = b"\xff\xfe"
HTTP_RULES: Final = (
    {"method": "GET|POST|CONNECT", "path": "(/[a-z]*(\\?.*)?)?"},
    {"method": "PUT", "headerMatches": [{"name": "X-A", "value": "b", "mismatch": "LOG"}]},
)
MEMCACHED_RULES: Final = ({"command": "read", "key_prefix": "j"}, {"command": "set"}, {"command": "stats"})
ASKED: Final = (
    (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"GET"),
    (b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET"),
    (b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HEAD"),
    (b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", b"POST"),
    (b"HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n", b"HEAD"),
)
"""Pipelined; of these `/1` is denied, and so is HEAD."""
Rules = Iterable[Mapping[str, Any]]


def _connection(protocol: L7Protocol, rules: Rules, data: bytes, *, is_cut: bool) -> Wire:
    """Had; cut into pieces or as it comes."""
    wire = Wire(protocol, rules)
    chance = Random(len(data))  # noqa: S311 - the same cuts for the same input
    for number, said in enumerate(data.split(TURN)):
        for piece in _pieces(said, chance) if is_cut else (said,):
            wire.feed(piece, reply=bool(number % 2))
            for side in (wire.driver._requests, wire.driver._replies):
                assert len(side.held) <= HELD_BYTES_MAX
    return wire


def _pieces(data: bytes, chance: Random) -> Iterator[bytes]:
    while data:
        count = chance.choice((1, 1, 2, 3, 8, 40))
        yield data[:count]
        data = data[count:]


def _had(protocol: L7Protocol, rules: Rules, data: bytes) -> Wire:
    """However it is cut, the same comes of it; and where nobody may do anything, nothing reaches the server."""
    whole, pieces = (_connection(protocol, rules, data, is_cut=is_cut) for is_cut in (False, True))
    assert pieces.account.verdicts == whole.account.verdicts
    assert (pieces.account.broken is None) == (whole.account.broken is None)
    if whole.account.broken is None:
        assert pieces.account == whole.account
    else:  # where it broke, more may have gone on before than could with the rest at hand
        assert pieces.account.to_server.startswith(whole.account.to_server)
        assert pieces.account.to_client.startswith(whole.account.to_client)
    return whole


def _allowed(wire: Wire) -> list[tuple[bytes, bytes]]:
    """Methods and decoded targets of requests that went on."""
    judged = zip(wire.requests, wire.account.verdicts, strict=True)
    return [(one.method.encode(), _decoded(one.path.encode())) for one, allowed in judged if allowed]


def _decoded(target: bytes) -> bytes:
    if target[:7].lower() == b"http://":
        _, mark, target = target[7:].partition(b"/")
        target = mark + target or b"/"
    return unquote_to_bytes(target)


def http(data: bytes) -> None:
    """What reaches a server is what was judged, request by request."""
    if data.startswith(PREFACE):
        return
    assert _connection(HTTP, (), data, is_cut=False).account.to_server == b""
    wire = _had(HTTP, HTTP_RULES, data)
    if any(request.method == "CONNECT" or "upgrade" in request.headers for request in wire.requests):
        return  # a tunnel may follow
    found = [(one.method, _decoded(one.target)) for one in read(wire.account.to_server)]
    assert found == _allowed(wire)


def replies(data: bytes) -> None:
    """Whatever a server says, a client finds what we said in its place, and nowhere else."""
    requests = b"".join(request for request, _ in ASKED)
    wire = _had(HTTP, HTTP_RULES, requests + TURN + data.replace(TURN, b""))
    for number, (status, body) in enumerate(_heard(wire.account.to_client)):
        denied = number in {1, 2, 4}
        assert not denied or (status, body) == (403, b"Access denied\r\n" if number == 1 else b"")


def _heard(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Status and body of each answer that a strict client finds whole."""
    rest = stream
    for _, method in ASKED:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(rest)
        answer = _answer(client)
        if answer is None:
            return
        yield answer
        rest = client.trailing_data[0]


def _answer(client: h11.Connection) -> tuple[int, bytes] | None:
    status, body = 0, b""
    try:
        while True:
            match client.next_event():
                case h11.Response(status_code=status):
                    pass
                case h11.Data(data=piece):
                    body += piece
                case h11.EndOfMessage():
                    return status, body
                case h11.InformationalResponse(status_code=given) if given != 101:
                    pass
                case _:
                    return None
    except h11.RemoteProtocolError:
        return None


def http2(data: bytes) -> None:
    """What a strict server reads is what was judged, stream by stream."""
    data = PREFACE + data
    nobody = _connection(HTTP, (), data, is_cut=False)
    wire = _had(HTTP, HTTP_RULES, data)
    assert _streams(nobody.account.to_server)[0] == []
    found, is_whole = _streams(wire.account.to_server)
    allowed = _allowed(wire)
    assert found == (allowed if is_whole else allowed[: len(found)])


def _streams(stream: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Methods and decoded paths of requests as h2 reads them; whether it has read to the end."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    server.initiate_connection()
    found: list[tuple[bytes, bytes]] = []
    for piece in _frames(stream):  # of what is given at once, an error leaves nothing
        try:
            events = server.receive_data(piece)
        except h2.exceptions.ProtocolError:
            return found, False
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                said: dict[bytes, bytes] = dict(event.headers)
                found.append((said[b":method"], _decoded(said[b":path"])))
            if isinstance(event, h2.events.ConnectionTerminated):
                return found, False
    return found, True


def _frames(stream: bytes) -> Iterator[bytes]:
    """The preface, and each frame."""
    at = len(PREFACE)
    yield stream[:at]
    while at < len(stream):
        size = 9 + int.from_bytes(stream[at : at + 3])
        yield stream[at : at + size]
        at += size


def memcached(data: bytes) -> None:
    """Either of its protocols."""
    nobody = _connection(MEMCACHED, ({"command": "noop"},), data, is_cut=False)
    judged = zip(nobody.requests, nobody.account.verdicts, strict=True)
    assert all(one.command in {"noop", "quit", "version"} for one, allowed in judged if allowed)
    _had(MEMCACHED, MEMCACHED_RULES, data)


HARNESSES: Final[dict[str, Callable[[bytes], None]]] = {one.__name__: one for one in (http, replies, http2, memcached)}
