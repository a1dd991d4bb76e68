"""Others than agents that may sit at a socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def listening(path: Path, reply: bytes | None) -> Iterator[None]:
    """Somebody at a socket who sends ``reply`` and hangs up, or (None) never accepts."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=reply_once, args=(server, reply))
        thread.start()
        yield
        thread.join()


_AS_SOMEBODY = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
os.setuid(int(sys.argv[2]))
server.listen()
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def listening_as(path: Path, uid: int) -> Iterator[None]:
    """Somebody who got hold of a socket of root's, and listens there as ``uid``."""
    command = [sys.executable, "-c", _AS_SOMEBODY, str(path), str(uid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield
        process.stdin.close()


@contextmanager
def replying(path: Path, *parts: bytes) -> Iterator[None]:
    """Somebody at a socket who sends the parts to everybody, one after another, and hangs up."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=_reply_to_all, args=(server, parts))
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def silent(path: Path) -> Iterator[list[socket.socket]]:
    """Somebody at a socket who hears everybody out and never says a word; the list holds those who came."""
    came: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=_take_all, args=(server, came))
        thread.start()
        try:
            yield came
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in came:
                connection.close()


def _take_all(server: socket.socket, came: list[socket.socket]) -> None:
    while True:
        try:
            came.append(server.accept()[0])
        except OSError:
            return


def _reply_to_all(server: socket.socket, parts: tuple[bytes, ...]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, suppress(BrokenPipeError, ConnectionResetError):
            connection.recv(1 << 16)
            for part in parts:
                connection.sendall(part)


def reply_once(server: socket.socket, reply: bytes | None) -> None:
    if reply is None:
        return
    connection, _ = server.accept()
    with connection:
        connection.recv(1 << 16)
        connection.sendall(reply)


def leave_behind(path: Path) -> None:
    """A socket file as an agent leaves it that was killed."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
