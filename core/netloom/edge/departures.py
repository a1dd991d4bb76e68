"""Links that leave a namespace, heard of at the moment from which nobody can meet them any more.

A deletion takes the device off every list, with its name, addresses and routes, and closes it; then the kernel says so
to whoever listens; then it waits for every CPU to have forgotten the device, tens of milliseconds, before the request
for the deletion is answered (unregister_netdevice_many and netdev_run_todo in net/core/dev.c). Who only needs the name
and the addresses to be free need not wait for the last part.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from pyroute2.netlink import NETLINK_ROUTE

from netloom.edge.messages import link_fields
from netloom.edge.rtnl import messages
from netloom.model.errors import KernelError

_RTMGRP_LINK = 1
_RTM_DELLINK = 17
_SO_ATTACH_FILTER = 26
_RECEIVE_BYTES = 1 << 16
_INSTRUCTION = struct.Struct("=HBBI")
"""struct sock_filter (linux/filter.h): operation, jumps if true and if false, operand."""
_LOAD_HALF, _LOAD_BYTE, _JUMP_IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_TYPE_AT, _FAMILY_AT = 4, 16
"""Of a link message: nlmsg_type, and ifi_family, which is not 0 in what bridges say of their ports."""
_SWAPPED = struct.unpack(">H", struct.pack("=H", _RTM_DELLINK))[0]
"""A filter reads numbers in network order, netlink writes them in the machine's."""
_ONLY_DEPARTURES = (
    (_LOAD_HALF, 0, 0, _TYPE_AT),
    (_JUMP_IF_EQUAL, 0, 3, _SWAPPED),
    (_LOAD_BYTE, 0, 0, _FAMILY_AT),
    (_JUMP_IF_EQUAL, 0, 1, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
    (_RETURN, 0, 0, 0),
)


class Departures:
    """Listens in the namespace of the thread that makes it. Raises KernelError when it cannot."""

    def __init__(self) -> None:
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, flags, NETLINK_ROUTE)
        program = b"".join(_INSTRUCTION.pack(*instruction) for instruction in _ONLY_DEPARTURES)
        kept = ctypes.create_string_buffer(program, len(program))
        try:
            filtered = struct.pack("@HP", len(_ONLY_DEPARTURES), ctypes.addressof(kept))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filtered)
            self._socket.bind((0, _RTMGRP_LINK))
        except OSError as error:
            self._socket.close()
            raise KernelError("listen to", "departures of links", error.errno or errno.EIO) from error

    @property
    def fd(self) -> int:
        """Readable when links have left."""
        return self._socket.fileno()

    def take(self) -> frozenset[int]:
        """Indexes of the links that have left since the last call; some are missing when too many left at once."""
        found: set[int] = set()
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return frozenset(found)
            except OSError as error:
                # Missed some (ENOBUFS): who waits for those hears of them by the end of the deletion itself.
                if error.errno != errno.ENOBUFS:
                    raise KernelError("hear of", "departures of links", error.errno or errno.EIO) from error
                continue
            for offset, length, *_ in messages(data):
                found.add(link_fields(data[offset : offset + length])[1])

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
