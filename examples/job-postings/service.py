"""Job postings over HTTP: a service of one file and the standard library, for trying policies on.

    python3 service.py [--host ADDRESS] [--port NUMBER]

    GET    /healthz       whether it is well
    GET    /jobs          all postings
    GET    /jobs/NUMBER   one of them
    POST   /jobs          a new one: {"title": "...", "place": "..."}
    PUT    /jobs/NUMBER   in its place
    DELETE /jobs/NUMBER   gone

It keeps postings in memory, and everybody who reaches it may do everything: who may what is the network's to say.
"""

from __future__ import annotations

import argparse
import json
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

MAX_BODY_BYTES = 64 * 1024
MAX_POSTINGS = 10_000
IDLE_S = 60
"""How long a client may be silent."""

Posting = dict[str, str]


class Refused(Exception):
    """A request that cannot be done."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Postings:
    """What is offered, by number. Threads share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._all: dict[int, Posting] = {1: {"title": "Gardener", "place": "Potsdam"}}
        self._last = 1

    def list(self) -> list[dict[str, Any]]:
        """All, with their numbers."""
        with self._lock:
            return [{"id": number, **posting} for number, posting in self._all.items()]

    def read(self, number: int) -> dict[str, Any]:
        """One. Raises Refused."""
        with self._lock:
            return {"id": number, **self._known(number)}

    def create(self, posting: Posting) -> dict[str, Any]:
        """Give one the next number. Raises Refused."""
        with self._lock:
            if len(self._all) >= MAX_POSTINGS:
                raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"there are {MAX_POSTINGS} postings already")
            self._last += 1
            self._all[self._last] = posting
            return {"id": self._last, **posting}

    def change(self, number: int, posting: Posting) -> dict[str, Any]:
        """Put one in the place of another. Raises Refused."""
        with self._lock:
            self._known(number)
            self._all[number] = posting
            return {"id": number, **posting}

    def delete(self, number: int) -> None:
        """Take one away. Raises Refused."""
        with self._lock:
            self._known(number)
            del self._all[number]

    def _known(self, number: int) -> Posting:
        if number not in self._all:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no posting {number}")
        return self._all[number]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "job-postings"
    timeout = IDLE_S
    server: Server

    def do_GET(self) -> None:
        """Reads."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Creates."""
        self._answer(self._post)

    def do_PUT(self) -> None:
        """Changes."""
        self._answer(lambda: (HTTPStatus.OK, self.server.postings.change(self._number(), self._posting())))

    def do_DELETE(self) -> None:
        """Takes away."""
        self._answer(self._delete)

    def _get(self) -> tuple[HTTPStatus, Any]:
        if self.path == "/healthz":
            return HTTPStatus.OK, {"status": "ok"}
        if self.path == "/jobs":
            return HTTPStatus.OK, self.server.postings.list()
        return HTTPStatus.OK, self.server.postings.read(self._number())

    def _post(self) -> tuple[HTTPStatus, Any]:
        if self.path != "/jobs":
            raise Refused(HTTPStatus.NOT_FOUND, "postings are created at /jobs")
        return HTTPStatus.CREATED, self.server.postings.create(self._posting())

    def _delete(self) -> tuple[HTTPStatus, Any]:
        self.server.postings.delete(self._number())
        return HTTPStatus.OK, {"deleted": True}

    def _number(self) -> int:
        head, _, number = self.path.rpartition("/")
        if head != "/jobs" or not (number.isascii() and number.isdigit() and len(number) <= 9):
            raise Refused(HTTPStatus.NOT_FOUND, "there are /healthz, /jobs and /jobs/NUMBER")
        return int(number)

    def _posting(self) -> Posting:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise Refused(HTTPStatus.LENGTH_REQUIRED, f"a body needs Content-Length, of at most {MAX_BODY_BYTES}")
        try:
            found = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
        if not isinstance(found, dict) or {type(found.get(name)) for name in ("title", "place")} != {str}:
            raise Refused(HTTPStatus.BAD_REQUEST, 'the body must be {"title": "...", "place": "..."}')
        return {"title": found["title"], "place": found["place"]}

    def _answer(self, work: Any) -> None:
        try:
            status, value = work()
        except Refused as error:
            status, value = error.status, {"error": str(error)}
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Serves both families where the host has both."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.postings = Postings()
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """With IPv4 too, at the address that stands for all."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(description="Job postings over HTTP.")
    parser.add_argument("--host", default="::", help="address to listen at; :: is every one")
    parser.add_argument("--port", default=80, type=int)
    asked = parser.parse_args()
    Server(asked.host, asked.port).serve_forever()


if __name__ == "__main__":
    main()
