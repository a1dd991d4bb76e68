"""Queues that limit what leaves by a device: the kernel's token bucket filter as the root of its queueing disciplines.

Towards a workload it stands on the host side of its interface, from a workload on the interface inside the container.
Numbers and structures are those of linux/pkt_sched.h and net/sched/sch_tbf.c.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pyroute2.netlink import NLM_F_CREATE, NLM_F_REPLACE
from pyroute2.netlink import rtnl as numbers

from netloom.edge.messages import HEADER_BYTES, attribute, attributes, nest, number, text, traffic_header
from netloom.edge.ownership import QUEUE_HANDLE
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.plan.shaping import Queue

KIND = "tbf"
_ROOT = 0xFFFFFFFF
_TCA_KIND = 1
_TCA_OPTIONS = 2
_TCA_TBF_PARMS = 1
_TCA_TBF_RATE64 = 4
_TCA_TBF_BURST = 6
_ETHERNET = 1
"""TC_LINKLAYER_ETHERNET: the kernel computes times from the rate, and wants no table of them."""
_PARAMETERS = struct.Struct("=BBHhHI12xIII")
"""struct tc_tbf_qopt: rate (struct tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, bytes per second), no
peak rate, limit in bytes, then burst and peak burst as times, in place of which the burst is given in bytes."""
_TRAFFIC = struct.Struct("=BxxxiII")
"""struct tcmsg as far as the parent."""
_ATTRIBUTES_AT = HEADER_BYTES + 20
_MAX_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """The root queueing discipline of a device."""

    ifindex: int
    kind: str
    handle: int
    rate_bytes_ps: int
    """0 for other kinds than ours."""
    waiting_bytes: int

    def keeps(self, queue: Queue) -> bool:
        """Whether it is what :func:`put_queue` makes. The burst does not count: the kernel tells it only as a time."""
        made = (KIND, QUEUE_HANDLE, queue.rate_bytes_ps, queue.waiting_bytes)
        return (self.kind, self.handle, self.rate_bytes_ps, self.waiting_bytes) == made


def put_queue(device: str, ifindex: int, queue: Queue) -> Request:
    """Make the queue the root of a device, in the place of whatever is there."""
    parameters = _PARAMETERS.pack(0, _ETHERNET, 0, 0, 0, min(queue.rate_bytes_ps, _MAX_U32), queue.waiting_bytes, 0, 0)
    options = nest(
        _TCA_OPTIONS,
        attribute(_TCA_TBF_PARMS, parameters),
        attribute(_TCA_TBF_RATE64, queue.rate_bytes_ps.to_bytes(8, sys.byteorder)),
        number(_TCA_TBF_BURST, queue.burst_bytes),
    )
    body = traffic_header(index=ifindex, handle=QUEUE_HANDLE, parent=_ROOT) + text(_TCA_KIND, KIND) + options
    obj = f'queue (tc-tbf) of device "{device}"'
    return Request("create", obj, numbers.RTM_NEWQDISC, body, NLM_F_CREATE | NLM_F_REPLACE)


def list_queues() -> Request:
    """For a dump of the queueing disciplines of all devices."""
    return Request("list", "queues", numbers.RTM_GETQDISC, traffic_header(index=0, handle=0, parent=0))


def root_queues(socket: RtnlSocket) -> Mapping[int, QueueInfo]:
    """Root queueing disciplines of the socket's namespace, by index of the device."""
    found = map(queue_info, socket.dump(list_queues()))
    return {info.ifindex: info for info in found if info is not None}


def queue_info(raw: bytes) -> QueueInfo | None:
    """Read an answer to RTM_GETQDISC; None for one that is not the root of its device."""
    if len(raw) < _ATTRIBUTES_AT:
        return None
    _, ifindex, handle, parent = _TRAFFIC.unpack_from(raw, HEADER_BYTES)
    if parent != _ROOT:
        return None
    found = dict(attributes(raw, _ATTRIBUTES_AT))
    kind = found.get(_TCA_KIND, b"").rstrip(b"\0").decode(errors="replace")
    options = dict(attributes(found.get(_TCA_OPTIONS, b""), 0)) if kind == KIND else {}
    parameters = options.get(_TCA_TBF_PARMS, b"")
    rate = waiting = 0
    if len(parameters) >= _PARAMETERS.size:
        *_, rate, waiting, _, _ = _PARAMETERS.unpack_from(parameters)
    large = options.get(_TCA_TBF_RATE64)
    return QueueInfo(
        ifindex=ifindex,
        kind=kind,
        handle=handle,
        rate_bytes_ps=int.from_bytes(large, sys.byteorder) if large else rate,
        waiting_bytes=waiting,
    )
