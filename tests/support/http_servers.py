"""Real servers of HTTP, asked which requests they read in a stream of bytes: Debian's nginx and HAProxy."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

PATIENCE_S: Final = 10.0
READ: Final = re.compile(rb"(?i:\r\nx-read): (\S+) <(.*?)> ([0-9]*) <(.*)>(?=\r\n)")
STATUS: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ")
END: Final = b"GET /end HTTP/1.1\r\nHost: a\r\n\r\n"
END_READ: Final = b": GET </end>"
ABSOLUTE: Final = re.compile(rb"(?i:http)://[^/?]*")

# Every request is handed on, since only a proxy of nginx's reads bodies to their end.
NGINX: Final = """
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off; proxy_ignore_client_abort on;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  server {
    listen unix:%(directory)s/nginx.sock;
    location / { proxy_pass http://unix:%(directory)s/behind.sock; proxy_set_header X-Path $uri; }
  }
  server {
    listen unix:%(directory)s/behind.sock;
    location / {
      add_header X-Read "$request_method <$request_uri> $content_length <$http_x_path>";
      return 200;
    }
  }
}
"""
HAPROXY: Final = """
global
  nbthread 1
defaults
  mode http
  timeout client 5s
frontend front
  bind unix@%(directory)s/haproxy.sock
  option http-buffer-request
  http-request return status 200 hdr X-Read "%%[method] <%%[url]> %%[req.body_len] <%%[path]>"
"""


class Read(NamedTuple):
    """A request, as somebody reads it."""

    method: bytes
    path: bytes
    """Decoded, without scheme and host; nothing of a tunnel."""
    query: bytes
    """Decoded, with its mark."""
    body_bytes: int


class Account(NamedTuple):
    """What a server made of a stream."""

    reads: list[Read]
    normal_paths: list[bytes]
    """Of each request, as the server itself finds it, decoded and without the query; empty where it finds none."""
    refuses: bool
    """Whether it answered the next one with an error, and read no more."""


class Server(Protocol):
    """Something that reads HTTP."""

    def __call__(self, stream: bytes, *, is_whole: bool) -> Account:
        """A connection on which this is said. ``is_whole``: a request may follow, and nothing else."""


def read_of(method: bytes, target: bytes, body_bytes: int) -> Read:
    """A request, by its target as it is spelt."""
    path, mark, query = ABSOLUTE.sub(b"", target, count=1).partition(b"?")
    path = b"" if method == b"CONNECT" else unquote_to_bytes(path) or b"/"
    return Read(method, path, mark + unquote_to_bytes(query), body_bytes)


def _answer(path: Path, stream: bytes, *, is_whole: bool) -> bytes:
    """Servers that see the end of a stream may leave what they have not answered by then, so a last request is sent."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PATIENCE_S)
        asking.connect(str(path))
        asking.sendall(stream + END * is_whole)
        if not is_whole:
            asking.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := asking.recv(1 << 16):
            answer += piece
            if is_whole and END_READ in answer:
                break
    return answer


def _account(answer: bytes) -> Account:
    found = READ.findall(answer.partition(END_READ)[0])
    statuses = STATUS.findall(answer)
    return Account(
        reads=[read_of(method, target, int(length or 0)) for method, target, length, _ in found],
        normal_paths=[unquote_to_bytes(path) for *_, path in found],
        refuses=bool(statuses) and statuses[-1] >= b"400",
    )


@contextmanager
def _serving(directory: Path, name: str, config: str, *argv: str) -> Iterator[Server]:
    (directory / name).write_text(config % {"directory": directory})
    path = directory / f"{name}.sock"
    process = subprocess.Popen([*argv, str(directory / name)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists():
            assert process.poll() is None, f"{name} has ended"
            assert time.monotonic() < deadline, f"{name} does not listen"
            time.sleep(0.01)
        yield lambda stream, *, is_whole: _account(_answer(path, stream, is_whole=is_whole))
    finally:
        process.kill()
        process.wait()


@contextmanager
def nginx(directory: Path) -> Iterator[Server]:
    """One that runs within the block."""
    with _serving(directory, "nginx", NGINX, "nginx", "-p", str(directory), "-c") as serving:
        yield serving


@contextmanager
def haproxy(directory: Path) -> Iterator[Server]:
    """One that runs within the block."""
    with _serving(directory, "haproxy", HAPROXY, "haproxy", "-db", "-f") as serving:
        yield serving
