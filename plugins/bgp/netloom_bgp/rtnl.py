"""Talks routing netlink with the kernel, in the network namespace of the thread that makes the sockets."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from netloom.model.address import Address
from netloom.model.errors import KernelError
from netloom_bgp.rtnl_wire import (
    NLMSG_ERROR,
    Device,
    Way,
    error_number,
    link_request,
    messages,
    read_link,
    read_way,
    way_request,
)

_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_LINK_GROUP, _IPV4_ADDRESS_GROUP, _IPV6_ADDRESS_GROUP = 1, 5, 9
"""RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR. Routes are left out on purpose: a hundred thousand learnt
ones would be told of one by one, and the routes to neighbours come and go with addresses."""
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_ANSWER_WITHIN_S = 1.0
"""The kernel answers before the request returns, unless somebody holds its lock for long."""
_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.ENETDOWN})
_NO_DEVICE = frozenset({errno.ENODEV})


class Notices:
    """Hears of devices and addresses from the moment it is made. Raises KernelError."""

    def __init__(self, buffer_bytes: int = _BUFFER_BYTES) -> None:
        self._socket = _netlink_socket("notices of devices")
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        for group in (_LINK_GROUP, _IPV4_ADDRESS_GROUP, _IPV6_ADDRESS_GROUP):
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        """Readable when there are notices."""
        return self._socket.fileno()

    def read(self) -> Iterator[bytes | None]:
        """Datagrams that are there; None where the kernel had no room and some were lost. Raises KernelError."""
        while True:
            try:
                yield self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise KernelError("read", "notices of devices", error.errno or errno.EIO) from error
                yield None

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


class Questions:
    """Asks for ways and devices; nothing is changed by asking. Every method raises KernelError."""

    def __init__(self) -> None:
        self._socket = _netlink_socket("routes and devices")
        self._socket.settimeout(_ANSWER_WITHIN_S)
        self._sequence = 0

    def way(self, address: Address) -> Way | None:
        """How the kernel sends to ``address``; None when it does not."""
        self._sequence += 1
        body = self._ask(way_request(address, self._sequence), f"route to {address}", _NO_WAY)
        return None if body is None else read_way(body[1])

    def device(self, ifindex: int, name: str = "") -> Device:
        """The device as it is now; ``name`` is what it was called, for the case that it is gone."""
        self._sequence += 1
        answer = self._ask(link_request(ifindex, self._sequence), f"device {ifindex}", _NO_DEVICE)
        found = None if answer is None else read_link(*answer)
        return found or Device(ifindex=ifindex, name=name, trouble="is gone")

    def close(self) -> None:
        """Ask no more."""
        self._socket.close()

    def _ask(self, request: bytes, what: str, accept: frozenset[int]) -> tuple[int, bytes] | None:
        try:
            self._socket.send(request)
            kind, body = self._answer()
        except OSError as error:
            raise KernelError("ask for", what, error.errno or errno.ETIMEDOUT) from error
        if kind != NLMSG_ERROR:
            return kind, body
        if (number := error_number(body)) not in accept:
            raise KernelError("ask for", what, number or errno.EPROTO)
        return None

    def _answer(self) -> tuple[int, bytes]:
        """That to the last request; those to requests that were given up are passed over."""
        while True:
            for kind, sequence, body in messages(self._socket.recv(_READ_BYTES)):
                if sequence == self._sequence:
                    return kind, body


def _netlink_socket(what: str) -> socket.socket:
    with contextlib.ExitStack() as stack:
        try:
            made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            stack.callback(made.close)
            made.bind((0, 0))
        except OSError as error:
            raise KernelError("listen to", what, error.errno or errno.EIO) from error
        stack.pop_all()
        return made
