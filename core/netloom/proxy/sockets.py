"""Sockets of the proxy: they bear others' addresses (IP_TRANSPARENT), and the mark by which eBPF knows its packets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from pathlib import Path
from typing import Any, Final, Protocol

from netloom.bpf.maps import open_pinned
from netloom.datapath.maps import Index
from netloom.datapath.proxy import MARK_FROM_PROXY, PROXY_IPV4, PROXY_IPV6, PROXY_LISTENERS, Socket
from netloom.model.errors import KernelError

_IPV6_TRANSPARENT: Final = 75
"""linux/in6.h; the module socket does not have it."""
_IP_TRANSPARENT: Final = 19
BACKLOG: Final = 4096
PROBES: Final = 3
"""Questions of the kernel without an answer, after which an end is gone."""
_LINGER_NONE: Final = struct.pack("ii", 1, 0)
_LINGER: Final = struct.pack("ii", 0, 0)

SocketAddress = tuple[Any, ...]
"""Host and port, of IPv6 flow and scope too."""


class Door(Protocol):
    """What leads new connections to listeners."""

    def open(self, ipv4: socket.socket, ipv6: socket.socket) -> None:
        """From now on new connections come to these. Raises KernelError."""


class SockmapDoor:
    """The node's pinned map, where ``to_proxy`` looks for listeners."""

    def __init__(self, pin_dir: Path) -> None:
        self._path = pin_dir / PROXY_LISTENERS.pin_name

    def open(self, ipv4: socket.socket, ipv6: socket.socket) -> None:
        """In place of an earlier proxy's, if there are."""
        with open_pinned(self._path, PROXY_LISTENERS) as listeners:
            listeners.put(Index(PROXY_IPV4), Socket(ipv4.fileno()))
            listeners.put(Index(PROXY_IPV6), Socket(ipv6.fileno()))


def listen(family: socket.AddressFamily, port: int, keepalive_s: int) -> socket.socket:
    """A transparent listener on loopback; who comes by it is asked for after ``keepalive_s``. Raises KernelError.

    Where another process has the port, as the proxy that is to be replaced does, any other will do: eBPF finds the
    socket, not the port.
    """
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    listener = _transparent(family, keepalive_s)
    try:
        try:
            listener.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            listener.bind((host, 0))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise KernelError("listen", f"at {host} port {port}", error.errno or 0) from error
    return listener


async def connect(
    source: SocketAddress | None, destination: SocketAddress, *, timeout_s: float, keepalive_s: int
) -> socket.socket:
    """A connection in the name of ``source``; until :func:`keep` is called its end is a reset. Raises OSError.

    None: in the name of this host.

    Where the source is this host, whoever asks has the port already: then from the same address and any port.
    """
    connecting = _transparent(socket.AF_INET6 if ":" in destination[0] else socket.AF_INET, keepalive_s)
    try:
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        if source is not None:
            _bind(connecting, source)
        await _established(connecting, destination, timeout_s)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _bind(connecting: socket.socket, source: SocketAddress) -> None:
    try:
        connecting.bind(source)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        connecting.bind((source[0], 0, *source[2:]))


async def _established(connecting: socket.socket, destination: SocketAddress, timeout_s: float) -> None:
    """The loop's own sock_connect() would have a thread resolve the address. A server of this node answers at once."""
    failed = connecting.connect_ex(destination)
    if failed == errno.EINPROGRESS and not _has_peer(connecting):
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(connecting, _set, writable)
        try:
            async with asyncio.timeout(timeout_s):
                await writable
        finally:
            loop.remove_writer(connecting)
        failed = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    elif failed == errno.EINPROGRESS:
        failed = 0
    if failed:
        raise OSError(failed, os.strerror(failed))


def _has_peer(connecting: socket.socket) -> bool:
    try:
        connecting.getpeername()
    except OSError:
        return False
    return True


def _set(writable: asyncio.Future[None]) -> None:
    if not writable.done():
        writable.set_result(None)


def keep(connected: socket.socket) -> None:
    """Have what is sent arrive before the end does."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)


def reset(transport: asyncio.Transport) -> None:
    """Close with RST, whatever is unsent."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()


def _transparent(family: socket.AddressFamily, keepalive_s: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, keepalive_s // PROBES))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK_FROM_PROXY)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    return made
