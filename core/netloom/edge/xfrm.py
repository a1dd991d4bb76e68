"""The node's IPsec policies, which the host's stack applies and programs that pass by it do not."""

from __future__ import annotations

import errno
import socket
import struct

from netloom.model.errors import KernelError

_NETLINK_XFRM = 6
_GET_SPD_INFO, _NEW_SPD_INFO = 0x25, 0x24
"""XFRM_MSG_GETSPDINFO and what answers it (linux/xfrm.h)."""
_SPD_INFO_ATTRIBUTE = 1
"""XFRMA_SPD_INFO: struct xfrmu_spdinfo."""
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""
_FLAGS = struct.Struct("=I")
_ATTRIBUTE = struct.Struct("=HH")
_COUNTS = struct.Struct("=III")
"""Start of struct xfrmu_spdinfo: policies for what comes in, goes out, is forwarded."""
_RECEIVE_BYTES = 4096


def policy_count() -> int:
    """IPsec policies of the calling thread's namespace, in all directions; 0 when the kernel has no IPsec.

    Raises KernelError.
    """
    request = _HEADER.pack(_HEADER.size + _FLAGS.size, _GET_SPD_INFO, _NLM_F_REQUEST, 1, 0) + _FLAGS.pack(0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_XFRM) as kernel:
            kernel.send(request)
            return count_in(kernel.recv(_RECEIVE_BYTES))
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ECONNREFUSED):
            return 0
        raise KernelError("read", "the number of IPsec policies", error.errno or 0) from error


def count_in(answer: bytes) -> int:
    """What the kernel's answer says; raises OSError with the kernel's number for a refusal, EBADMSG for junk."""
    if len(answer) < _HEADER.size + _FLAGS.size:
        raise OSError(errno.EBADMSG, "an answer without a header")
    length, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        raise OSError(-struct.unpack_from("=i", answer, _HEADER.size)[0], "refused")
    at, end = _HEADER.size + _FLAGS.size, min(length, len(answer))
    while kind == _NEW_SPD_INFO and at + _ATTRIBUTE.size <= end:
        size, attribute = _ATTRIBUTE.unpack_from(answer, at)
        if attribute == _SPD_INFO_ATTRIBUTE and min(size, end - at) >= _ATTRIBUTE.size + _COUNTS.size:
            return sum(_COUNTS.unpack_from(answer, at + _ATTRIBUTE.size))
        at += max(size + 3 & ~3, _ATTRIBUTE.size)
    raise OSError(errno.EBADMSG, "an answer without counts")
