"""Requests of HTTP between places of a lab: the service of ``examples/job-postings``, and clients that talk to it."""

from __future__ import annotations

import json
import runpy
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, Self

from netloom.edge.netns import call_in_netns, open_netns
from netloom.lab.inside import netns_path
from netloom.model.address import Address
from support.cluster import WITHIN_S, Place

EXAMPLE = Path(__file__).parents[2] / "examples" / "job-postings"
PORT = 80
POSTING = {"title": "Weaver", "place": "Augsburg"}


class Answer(NamedTuple):
    """Of a request."""

    status: int
    body: bytes


DENIED = Answer(403, b"Access denied\r\n")


class Service:
    """Job postings, served in a place; who asked is remembered."""

    def __init__(self, place: Place) -> None:
        made = runpy.run_path(str(EXAMPLE / "service.py"))["Server"]
        with open_netns(netns_path(place.netns)) as fd:
            self._server = call_in_netns(fd, lambda: made("::", PORT))
        self._server.verify_request = self._came
        self._server.handle_error = lambda *_: None  # connections are broken on purpose
        self._server.RequestHandlerClass.log_message = lambda *_: None
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.peers: list[tuple[Address, int]] = []
        """Address and port of each connection so far."""

    def _came(self, _: Any, peer: tuple[str, int, int, int]) -> bool:
        address = ip_address(peer[0])
        self.peers.append((getattr(address, "ipv4_mapped", None) or address, peer[1]))
        return True

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(*places: Place) -> Iterator[dict[str, Service]]:
    """While the block runs; by the places' names."""
    services: dict[str, Service] = {}
    try:
        for place in places:
            services[place.name] = Service(place)
        yield services
    finally:
        for service in services.values():
            service.close()


class Talk:
    """One connection that stays open, of a place to an address."""

    def __init__(self, client: Place, server: Address, source: Address | None = None, source_port: int = 0) -> None:
        """``source``: the client's own address, where it has several, or the port matters. Raises OSError."""
        self._socket = client.open_socket(
            socket.AF_INET6 if server.version == 6 else socket.AF_INET, socket.SOCK_STREAM
        )
        try:
            if source is not None:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._socket.bind((str(source), source_port))
            self._socket.connect((str(server), PORT))
        except BaseException:
            self._socket.close()
            raise
        self._http = HTTPConnection(str(server), PORT)
        self._http.sock = self._socket
        self._http.auto_open = 0  # an end of the connection is to be seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def end(self) -> tuple[Address, int]:
        """The client's own address and port."""
        host, port, *_ = self._socket.getsockname()
        return ip_address(host), port

    def ask(
        self, method: str = "GET", path: str = "/jobs/1", body: object = None, within_s: float = WITHIN_S
    ) -> Answer:
        """One request. Raises OSError or HTTPException when the connection has ended, or nothing comes."""
        self._socket.settimeout(within_s)
        self._http.request(method, path, None if body is None else json.dumps(body))
        answer = self._http.getresponse()
        return Answer(answer.status, answer.read())


def asks(client: Place, server: Address, method: str = "GET", path: str = "/jobs/1", body: object = None) -> Answer:
    """One request over a connection of its own. Raises as :class:`Talk`."""
    with Talk(client, server) as talk:
        return talk.ask(method, path, body)


def connects(client: Place, server: Address, *, within_s: float = 0.5) -> bool:
    """Whether somebody takes the connection; what is dropped is not waited for longer."""
    family = socket.AF_INET6 if server.version == 6 else socket.AF_INET
    with client.open_socket(family, socket.SOCK_STREAM) as near:
        near.settimeout(within_s)
        try:
            near.connect((str(server), PORT))
        except OSError:
            return False
        return True
