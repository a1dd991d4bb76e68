"""Servers of others in places of a lab, that end with the block."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from websockets.sync.server import Server, ServerConnection
from websockets.sync.server import serve as websocket_server

from netloom.lab.agents import wait_until
from netloom.lab.inside import argv_in
from support.cluster import WITHIN_S, Place

GRPC_PORT: Final = 50051
HTTP2_PORT: Final = 8080
"""HTTP/2 alone."""
ANY_HTTP_PORT: Final = 8081
"""HTTP/1.1, HTTP/2, and whoever offers to go on from the one to the other."""
WEBSOCKET_PORT: Final = 8082
MESSAGE_BYTES_MAX: Final = 1 << 24
TESTS: Final = Path(__file__).parents[1]


@contextmanager
def running(place: Place, port: int, *argv: str) -> Iterator[None]:
    """A server that is at work when its port is open."""
    command = argv_in(place.netns, argv)
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=TESTS) as process:
        try:
            assert wait_until(lambda: _listens(place, port), WITHIN_S), f"{argv[0]} opens no port"
            yield
        finally:
            process.terminate()


def _listens(place: Place, port: int) -> bool:
    return bool(place.run("ss", "-Hltn", f"sport = :{port}").strip())


@contextmanager
def http2(place: Place, directory: Path) -> Iterator[None]:
    """Files below ``directory`` by nghttpd, and by nghttpx in front of it; what is sent comes back."""
    (directory / "jobs").mkdir()
    for name, size in (("1", 100), ("2", 1 << 20)):
        (directory / "jobs" / name).write_bytes(b"x" * size)
    configured = directory / "nghttpx.conf"
    configured.touch()
    front = (
        "nghttpx", f"--conf={configured}", "--workers=1", "--no-ocsp", f"--frontend=*,{ANY_HTTP_PORT};no-tls",
        f"--backend=127.0.0.1,{HTTP2_PORT};;proto=h2", f"--pid-file={directory}/pid",
    )  # fmt: skip
    with (
        running(place, HTTP2_PORT, "nghttpd", "--no-tls", "--echo-upload", f"--htdocs={directory}", str(HTTP2_PORT)),
        running(place, ANY_HTTP_PORT, *front),
    ):
        yield


@contextmanager
def grpc(place: Place) -> Iterator[None]:
    """The service of ``support.grpc_jobs``."""
    with running(place, GRPC_PORT, sys.executable, "-m", "support.grpc_jobs", "serve", str(GRPC_PORT)):
        yield


@contextmanager
def echo(place: Place) -> Iterator[None]:
    """What comes by WebSocket goes back."""
    listener = place.open_socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.settimeout(None)
    listener.bind(("::", WEBSOCKET_PORT))
    listener.listen()
    server: Server = websocket_server(_echo, sock=listener, max_size=MESSAGE_BYTES_MAX)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)
