"""Routing netlink: requests sent in one piece, answers matched to them.

pyroute2 describes the messages; this module carries them. Requests that belong together go to the kernel in one
datagram, which it works through in order before the call returns: fewer system calls, and a process that is killed
cannot leave half of them. What the kernel says of a refusal (its extended acknowledgement) ends up in the error.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

from pyroute2.netlink import (
    NETLINK_EXT_ACK,
    NETLINK_GET_STRICT_CHK,
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    nlmsg,
)

from netloom.model.errors import KernelError

_SOL_NETLINK = 270
_CAP_ACK = 10
"""NETLINK_CAP_ACK: an acknowledgement does not repeat the request."""
_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""
_ERROR_AT = _HEADER.size
_ACK_TLVS_AT = _ERROR_AT + 4 + _HEADER.size
_NLM_F_DUMP_INTR = 0x10
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_RECEIVE_BYTES = 1 << 18
"""Room for what one receive gives: the kernel fills at most 32 KiB of a dump at once, and queued acknowledgements."""
_MAX_BATCH = 32
"""Requests in one datagram: the answers to all of them wait in the socket's buffer (208 KiB by default) at once."""
_TIMEOUT_S = 30.0
"""The kernel always answers; others may hold its lock for seconds."""
_DUMP_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Request:
    """One message for the kernel; ``op`` and ``obj`` name it in errors."""

    op: str
    obj: str
    kind: int
    """RTM_* number."""
    body: Any
    """A pyroute2 message with its fields and attributes set."""
    flags: int = 0
    """NLM_F_* beyond REQUEST and ACK."""
    accept: frozenset[int] = frozenset()
    """Error numbers that mean the wanted state is there already."""


@dataclass(slots=True)
class _Pending:
    request: Request
    messages: list[Any]
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
        self._socket.settimeout(_TIMEOUT_S)
        self._sequence = int.from_bytes(os.urandom(3))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """No request may follow."""
        self._socket.close()

    def batch(self, requests: Iterable[Request]) -> list[list[Any]]:
        """Send all; what each was answered, in order.

        The kernel goes on after a refused request. Raises KernelError of the first refused one, after all.
        """
        answers: list[list[Any]] = []
        for group in self._groups(requests):
            pending = self._transact(group)
            for item in pending:
                if item.error is not None and item.error.errno not in item.request.accept:
                    raise item.error
            answers.extend(item.messages for item in pending)
        return answers

    def call(self, request: Request) -> list[Any]:
        """Send one; its answer. Raises KernelError."""
        return self.batch([request])[0]

    def dump(self, request: Request, keep: Callable[[bytes], bool] = lambda _: True) -> list[Any]:
        """All objects of a kind, seen at one moment: asked again when they changed meanwhile.

        ``keep`` is shown each answer undecoded, so that the few of very many are found in little time.
        """
        for _ in range(_DUMP_ATTEMPTS):
            sequence, data = self._encode(request, NLM_F_DUMP)
            pending = {sequence: _Pending(request, [], keep)}
            self._send(request, data)
            if not self._receive(pending):
                break
        item = pending[sequence]
        if item.error is not None and item.error.errno not in request.accept:
            raise item.error
        return item.messages

    def _groups(self, requests: Iterable[Request]) -> Iterable[list[tuple[int, bytes, Request]]]:
        rest = iter(requests)
        while group := [(*self._encode(request, NLM_F_ACK), request) for request in islice(rest, _MAX_BATCH)]:
            yield group

    def _transact(self, group: Sequence[tuple[int, bytes, Request]]) -> list[_Pending]:
        pending = {sequence: _Pending(request, []) for sequence, _, request in group}
        self._send(group[0][2], b"".join(data for _, data, _ in group))
        self._receive(pending)
        return list(pending.values())

    def _encode(self, request: Request, flags: int) -> tuple[int, bytes]:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        message = request.body
        message["header"] = {
            "type": request.kind,
            "flags": NLM_F_REQUEST | flags | request.flags,
            "sequence_number": self._sequence,
            "pid": 0,
        }
        message.reset()
        message.encode()
        return self._sequence, bytes(message.data)

    def _send(self, request: Request, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise KernelError(request.op, request.obj, error.errno or errno.EIO) from error

    def _receive(self, pending: dict[int, _Pending]) -> bool:
        """Take answers until every request is done; says whether a dump was interrupted by changes."""
        interrupted = False
        while any(not item.done for item in pending.values()):
            first = next(item.request for item in pending.values() if not item.done)
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError as error:
                raise KernelError(first.op, first.obj, errno.ETIMEDOUT, "the kernel did not answer") from error
            except OSError as error:
                raise KernelError(first.op, first.obj, error.errno or errno.EIO) from error
            for offset, length, kind, flags, sequence in _messages(data):
                # Anything else is left from a request given up earlier.
                if sequence in pending:
                    interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                    _take(pending[sequence], kind, flags, data[offset : offset + length])
        return interrupted


def _messages(data: bytes) -> Iterable[tuple[int, int, int, int, int]]:
    """Offset, length, type, flags and sequence number of each message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield offset, length, kind, flags, sequence
        offset += (length + 3) & ~3


def _take(item: _Pending, kind: int, flags: int, data: bytes) -> None:
    if kind in (NLMSG_ERROR, NLMSG_DONE):
        (negative,) = struct.unpack_from("=i", data, _ERROR_AT)
        item.done = True
        if negative < 0:
            request = item.request
            text = _kernel_text(data, kind) if flags & _NLM_F_ACK_TLVS else ""
            item.error = KernelError(request.op, request.obj, -negative, text and f"the kernel says: {text}")
        return
    if not item.keep(data):
        return
    message = type(item.request.body)(data)
    message.decode()
    item.messages.append(message)


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


def new_message(kind: type[nlmsg], fields: dict[str, int], attributes: Iterable[tuple[str, Any]] = ()) -> Any:
    """A pyroute2 message with fields and attributes set."""
    message = kind()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [list(pair) for pair in attributes]
    return message
