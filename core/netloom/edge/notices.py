"""Notices of the kernel about one network namespace: what changed, whoever changed it."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator
from typing import Final

from netloom.edge.ownership import LEARNED_PROTOCOL
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
_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("=HBBI")
"""struct sock_filter (linux/filter.h): code, jump if true, jump if false, operand."""


def instruction(code: int, operand: int, yes: int = 0, no: int = 0) -> bytes:
    """One of classic BPF; ``yes`` and ``no``: how many to leave out when a comparison says so."""
    return _INSTRUCTION.pack(code, yes, no, operand)


_LOAD_HALF: Final = 0x28
_LOAD_BYTE: Final = 0x30
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_TYPE_AT: Final = 4
"""Of struct nlmsghdr."""
_PROTOCOL_AT: Final = 21
"""rtm_protocol, behind struct nlmsghdr."""
_NEW_ROUTE: Final = 24
_DELETED_ROUTE: Final = 25
_NO_LEARNED_ROUTES: Final = (
    # The type is in host byte order; what is loaded is taken for network byte order.
    instruction(_LOAD_HALF, _TYPE_AT),
    instruction(_JUMP_IF_EQUAL, socket.htons(_NEW_ROUTE), yes=1),
    instruction(_JUMP_IF_EQUAL, socket.htons(_DELETED_ROUTE), no=2),
    instruction(_LOAD_BYTE, _PROTOCOL_AT),
    instruction(_JUMP_IF_EQUAL, LEARNED_PROTOCOL, yes=1),
    instruction(_RETURN, 0xFFFFFFFF),
    instruction(_RETURN, 0),
)
"""A program of classic BPF: of a hundred thousand learnt routes nobody needs to hear, and their notices would leave no
room for others."""
_FIREWALL_GROUPS = (7,)
"""NFNLGRP_NFTABLES (nfnetlink.h)."""


class NoticeSocket:
    """Hears from now on what changes in the namespace of the thread that makes it. Raises KernelError."""

    def __init__(self, protocol: int, groups: tuple[int, ...], what: str, program: tuple[bytes, ...] = ()) -> None:
        """``program``: of classic BPF, which lets pass what is to be heard."""
        self._what = what
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            if program:
                _attach(self._socket, program)
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
    """Links, addresses, routes but those that routers have learnt, filters and settings."""
    return NoticeSocket(_NETLINK_ROUTE, _ROUTE_GROUPS, "notices of the network", _NO_LEARNED_ROUTES)


def firewall_notices() -> NoticeSocket:
    """Tables of nftables."""
    return NoticeSocket(_NETLINK_NETFILTER, _FIREWALL_GROUPS, "notices of the firewall")


def _attach(to: socket.socket, program: tuple[bytes, ...]) -> None:
    instructions = ctypes.create_string_buffer(b"".join(program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, whole)
