"""The HTTP parser keeps the contract of parsers."""

from __future__ import annotations

from collections.abc import Iterable

from netloom.plugins import L7Protocol
from netloom.plugins.testing import ParserConformance, Talk, check_plugin
from netloom_l7_http.plugin import HTTP, L7Http

READ = ({"method": "GET|HEAD", "path": "/jobs(/[0-9]+)?"}, {"method": "POST", "path": "/jobs", "host": r"jobs\.local"})
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PLAIN = Talk(
    rules=READ,
    requests=(
        b"GET /jobs/1 HTTP/1.1\r\nHost: jobs.local\r\nUser-Agent: curl/8\r\n\r\n",
        b"DELETE /jobs/1 HTTP/1.1\r\nHost: jobs.local\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: jobs.local\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000,
        b"POST /jobs HTTP/1.1\r\nHost: other.local\r\nContent-Length: 5\r\n\r\nhello",
        b"HEAD /jobs HTTP/1.1\r\nHost: jobs.local\r\n\r\n",
        b"HEAD /pay HTTP/1.1\r\nHost: jobs.local\r\n\r\n",
        b"GET /%6Aobs/2 HTTP/1.1\r\nHost: jobs.local\r\n\r\n",
        b"GET http://jobs.local/jobs HTTP/1.1\r\nHost: jobs.local\r\n\r\n",
    ),
    replies=(
        OK,
        b"",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        b"",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    allowed=(True, False, True, False, True, False, True, True),
)
CHUNKED = Talk(
    rules=READ,
    requests=(
        (
            b"POST /jobs HTTP/1.1\r\nHost: jobs.local\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5;a=b\r\nhello\r\nA\r\nGET / HTTP\r\n0\r\nX-Sum: 1\r\n\r\n"
        ),
        b"PUT /jobs HTTP/1.1\r\nHost: jobs.local\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: jobs.local\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /jobs HTTP/1.1\r\nHost: jobs.local\r\n\r\n",
    ),
    replies=(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\nX-Sum: 2\r\n\r\n",
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nas long as the connection",
    ),
    allowed=(True, False, True, True),
)
WEBSOCKET = Talk(
    rules=({"path": "/news"},),
    requests=(
        b"GET /other HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /news HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    replies=(
        b"",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    ),
    allowed=(False, True),
)


class TestHttp(ParserConformance):
    """Every parser's tests."""

    def protocol(self) -> L7Protocol:
        return HTTP

    def talks(self) -> Iterable[Talk]:
        return (PLAIN, CHUNKED, WEBSOCKET)


def test_the_plugin_keeps_the_contract() -> None:
    assert check_plugin(L7Http).name == "l7_http"
