"""Notices of the kernel about one network namespace: what changed, whoever changed it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from netloom.model.errors import KernelError

_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_SO_RCVBUFFORCE = 33
_NETLINK_ROUTE = 0
_NETLINK_NETFILTER = 12
_BUFFER_BYTES = 4 << 20
"""Room for what comes while nobody reads: thousands of notices."""
_READ_BYTES = 1 << 16
_ROUTE_GROUPS = (1, 4, 5, 7, 9, 11, 24, 25)
"""RTNLGRP_LINK, TC, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, IPV4_NETCONF, IPV6_NETCONF (rtnetlink.h)."""
_FIREWALL_GROUPS = (7,)
"""NFNLGRP_NFTABLES (nfnetlink.h)."""


class NoticeSocket:
    """Hears from now on what changes in the namespace of the thread that makes it. Raises KernelError."""

    def __init__(self, protocol: int, groups: tuple[int, ...], what: str) -> None:
        self._what = what
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.bind((0, 0))
            for group in groups:
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError as error:
            self._socket.close()
            raise KernelError("listen to", what, error.errno or 0) from error
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Readable when there are notices."""
        return self._socket.fileno()

    def read(self) -> Iterator[bytes | None]:
        """Datagrams that are there, each with whole messages; None where the kernel had no room and some were lost."""
        while True:
            try:
                yield self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise KernelError("read", self._what, error.errno or 0) from error
                yield None

    def close(self) -> None:
        """No more notices."""
        self._socket.close()


def route_notices() -> NoticeSocket:
    """Links, addresses, routes, filters and settings."""
    return NoticeSocket(_NETLINK_ROUTE, _ROUTE_GROUPS, "notices of the network")


def firewall_notices() -> NoticeSocket:
    """Tables of nftables."""
    return NoticeSocket(_NETLINK_NETFILTER, _FIREWALL_GROUPS, "notices of the firewall")
