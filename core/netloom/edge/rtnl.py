"""Routing netlink: requests sent in one piece, answers matched to them.

Messages come and go as bytes; what is in them is made in :mod:`netloom.edge.requests` and read in
:mod:`netloom.edge.answers`. Requests that belong together go to the kernel in one datagram, which it works through in
order before the call returns: fewer system calls, and a process that is killed cannot leave half of them. Only the
last of them asks to be acknowledged: a refusal is answered in any case, so the acknowledgement of the last says that
all others went well. What the kernel says of a refusal (its extended acknowledgement) ends up in the error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

from pyroute2.netlink import (
    NETLINK_EXT_ACK,
    NETLINK_GET_STRICT_CHK,
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
)

from netloom.model.errors import KernelError

_SOL_NETLINK = 270
_CAP_ACK = 10
"""NETLINK_CAP_ACK: an acknowledgement does not repeat the request."""
_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""
_ERROR_AT = _HEADER.size
_ACK_TLVS_AT = _ERROR_AT + 4 + _HEADER.size
_ENDS = frozenset({NLMSG_ERROR, NLMSG_DONE})
_NLM_F_DUMP_INTR = 0x10
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_RECEIVE_BYTES = 1 << 16
"""Room for what one receive gives: the kernel fills at most 32 KiB of a dump at once, and one other message is less."""
_MAX_BATCH = 32
"""Requests in one datagram: the answers to all of them wait in the socket's buffer (208 KiB by default) at once."""
_TIMEOUT = struct.pack("@ll", 30, 0)
"""struct timeval. The kernel always answers; others may hold its lock for seconds."""
_DUMP_ATTEMPTS = 5
_SAME_SEQUENCE = 1 << 31
"""The number of all requests for a digest: it stands in every answer. No other request has it, see ``_encode``."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message for the kernel; ``op`` and ``obj`` name it in errors."""

    op: str
    obj: str
    kind: int
    """RTM_* number."""
    body: bytes
    """The family's header and the attributes."""
    flags: int = 0
    """NLM_F_* beyond REQUEST and ACK."""
    accept: frozenset[int] = frozenset()
    """Error numbers that mean the wanted state is there already."""


@dataclass(slots=True)
class _Pending:
    request: Request
    messages: list[bytes]
    keep: Callable[[bytes], bool] = lambda _: True
    done: bool = False
    error: KernelError | None = None


class RtnlSocket:
    """A netlink socket of the namespace of the thread that makes it; it stays there whichever thread uses it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
        for option in (NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, _CAP_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        # The kernel's own timeout: Python's would cost a poll(2) for every call.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        self._sequence = int.from_bytes(os.urandom(3))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """No request may follow."""
        self._socket.close()

    def batch(self, requests: Iterable[Request]) -> list[list[bytes]]:
        """Send all; what each was answered, in order.

        The kernel goes on after a refused request. Raises KernelError of the first refused one, after all.
        """
        answers: list[list[bytes]] = []
        for group in self._groups(requests):
            pending = self._transact(group)
            for item in pending:
                if item.error is not None and item.error.errno not in item.request.accept:
                    raise item.error
            answers.extend(item.messages for item in pending)
        return answers

    def attempt(self, requests: Iterable[Request]) -> list[KernelError | None]:
        """Send all; of each, why it was refused, or None. Raises KernelError when the kernel does not answer."""
        pending = (item for group in self._groups(requests) for item in self._transact(group))
        return [
            None if item.error is None or item.error.errno in item.request.accept else item.error for item in pending
        ]

    def call(self, request: Request) -> list[bytes]:
        """Send one; its answer. Raises KernelError."""
        return self.batch([request])[0]

    def dump(self, request: Request, keep: Callable[[bytes], bool] = lambda _: True) -> list[bytes]:
        """All objects of a kind, seen at one moment: asked again when they changed meanwhile.

        Only answers that ``keep`` wants are kept.
        """
        for _ in range(_DUMP_ATTEMPTS):
            item = _Pending(request, [], keep)
            sequence, data = self._encode(request, NLM_F_DUMP)
            self._send(request, data)
            if not self._receive({sequence: item}):
                break
        if item.error is not None and item.error.errno not in request.accept:
            raise item.error
        return item.messages

    def digest(self, request: Request) -> bytes:
        """A hash of a dump, the same as long as nothing changes; costs an eighth of a dump that somebody reads.

        One of a dump that changed on its way equals no other. Raises KernelError.
        """
        found = hashlib.blake2b(digest_size=16)
        self._send(request, self._message(request, NLM_F_DUMP, _SAME_SEQUENCE))
        end = _Pending(request, [])
        while not end.done:
            data = self._take_datagram(request)
            found.update(data)
            for offset, length, kind, flags, sequence in messages(data):
                if flags & _NLM_F_DUMP_INTR:
                    found.update(os.urandom(16))
                if kind in _ENDS and sequence == _SAME_SEQUENCE:
                    _take(end, kind, flags, data[offset : offset + length])
        if end.error is not None and end.error.errno not in request.accept:
            raise end.error
        return found.digest()

    def _groups(self, requests: Iterable[Request]) -> Iterable[list[Request]]:
        rest = iter(requests)
        while group := list(islice(rest, _MAX_BATCH)):
            yield group

    def _transact(self, group: Sequence[Request]) -> list[_Pending]:
        pending: dict[int, _Pending] = {}
        parts = []
        for request in group:
            sequence, data = self._encode(request, NLM_F_ACK if request is group[-1] else 0)
            pending[sequence] = _Pending(request, [])
            parts.append(data)
        self._send(group[0], b"".join(parts))
        self._receive(pending)
        return list(pending.values())

    def _encode(self, request: Request, flags: int) -> tuple[int, bytes]:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        return self._sequence, self._message(request, flags, self._sequence)

    def _message(self, request: Request, flags: int, sequence: int) -> bytes:
        length = _HEADER.size + len(request.body)
        header = _HEADER.pack(length, request.kind, NLM_F_REQUEST | flags | request.flags, sequence, 0)
        return header + request.body + b"\0" * (-length & 3)

    def _send(self, request: Request, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise KernelError(request.op, request.obj, error.errno or errno.EIO) from error

    def _receive(self, pending: dict[int, _Pending]) -> bool:
        """Take answers until the last request is done; says whether a dump was interrupted by changes."""
        interrupted = False
        last = next(reversed(pending.values()))
        while not last.done:
            data = self._take_datagram(last.request)
            for offset, length, kind, flags, sequence in messages(data):
                # Anything else is left from a request given up earlier.
                if sequence in pending:
                    interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                    _take(pending[sequence], kind, flags, data[offset : offset + length])
        return interrupted

    def _take_datagram(self, request: Request) -> bytes:
        try:
            return self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError as error:
            raise KernelError(request.op, request.obj, errno.ETIMEDOUT, "the kernel did not answer") from error
        except OSError as error:
            raise KernelError(request.op, request.obj, error.errno or errno.EIO) from error


def messages(data: bytes) -> Iterable[tuple[int, int, int, int, int]]:
    """Offset, length, type, flags and sequence number of each message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield offset, length, kind, flags, sequence
        offset += (length + 3) & ~3


def _take(item: _Pending, kind: int, flags: int, data: bytes) -> None:
    if kind in _ENDS:
        (negative,) = struct.unpack_from("=i", data, _ERROR_AT)
        item.done = True
        if negative < 0:
            request = item.request
            text = _kernel_text(data, kind) if flags & _NLM_F_ACK_TLVS else ""
            item.error = KernelError(request.op, request.obj, -negative, text and f"the kernel says: {text}")
        return
    if item.keep(data):
        item.messages.append(data)


def _kernel_text(data: bytes, kind: int) -> str:
    """The sentence among the attributes of an acknowledgement, or ""."""
    offset = _ACK_TLVS_AT if kind == NLMSG_ERROR else _ERROR_AT + 4
    while offset + 4 <= len(data):
        length, attribute = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return ""
        if attribute & 0x3FFF == _NLMSGERR_ATTR_MSG:
            return data[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += (length + 3) & ~3
    return ""
