"""Messages about queues: what is asked of the kernel, and what is read of its answers."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from netloom.edge.messages import HEADER_BYTES, attribute, attributes, nest, number, text, traffic_header
from netloom.edge.queues import QueueInfo, put_queue, queue_info
from netloom.plan.shaping import Queue

ROOT = 0xFFFFFFFF
HANDLE = 0x4C0000
HEADER_OF_TRAFFIC_BYTES = 20
QUEUE = Queue(rate_bytes_ps=2_500_000, burst_bytes=131_072, waiting_bytes=125_000)
FAST = Queue(rate_bytes_ps=2**33, burst_bytes=2**28, waiting_bytes=2**26)


def header(body: bytes) -> bytes:
    return struct.pack("=IHHII", HEADER_BYTES + len(body), 36, 0, 0, 0) + body


def answer(*, kind: str = "tbf", parent: int = ROOT, handle: int = HANDLE, rate: int = 2_500_000) -> bytes:
    """As the kernel dumps a queue: rate, limit, and the burst as a time."""
    parameters = struct.pack("=BBHhHI12xIII", 0, 1, 0, -1, 0, rate, 125_000, 819_200, 0)
    options = nest(2, attribute(1, parameters))
    return header(traffic_header(index=7, handle=handle, parent=parent) + text(1, kind) + options)


@pytest.mark.parametrize("queue", [QUEUE, FAST])
def test_a_queue_is_asked_for_with_rate_burst_and_room(queue: Queue) -> None:
    """Read by pyroute2, but for what it does not know: the rate in 64 bits, and the burst in bytes."""
    body = put_queue("lxc1", 7, queue).body
    message: Any = tcmsg(header(body))  # type: ignore[no-untyped-call]
    message.decode()
    fields = (message["index"], message["parent"], message["handle"], message.get_attr("TCA_KIND"))
    assert fields == (7, ROOT, HANDLE, "tbf")
    parameters = message.get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")
    assert parameters["rate"] == min(queue.rate_bytes_ps, 2**32 - 1)
    assert parameters["limit"] == queue.waiting_bytes
    more = dict(attributes(dict(attributes(body, HEADER_OF_TRAFFIC_BYTES))[2], 0))
    assert struct.unpack("=QI", more[4] + more[6]) == (queue.rate_bytes_ps, queue.burst_bytes)


def test_what_was_asked_for_is_known_again() -> None:
    found = queue_info(answer())
    assert found is not None
    assert (found.ifindex, found.keeps(QUEUE)) == (7, True)


@pytest.mark.parametrize("change", [{"rate": 2_500_001}, {"handle": 0x80010000}, {"kind": "fq"}])
def test_another_queue_does_not_keep_the_limit(change: dict[str, Any]) -> None:
    found = queue_info(answer(**change))
    assert found is not None
    assert not found.keeps(QUEUE)


def test_a_queue_below_another_is_no_root() -> None:
    assert queue_info(answer(parent=HANDLE)) is None


def test_a_great_rate_is_read_from_its_own_field() -> None:
    parameters = struct.pack("=BBHhHI12xIII", 0, 1, 0, -1, 0, 2**32 - 1, FAST.waiting_bytes, 0, 0)
    options = nest(2, attribute(1, parameters), attribute(4, struct.pack("=Q", FAST.rate_bytes_ps)))
    found = queue_info(header(traffic_header(index=7, handle=HANDLE, parent=ROOT) + text(1, "tbf") + options))
    assert found is not None
    assert found.keeps(FAST)


def test_a_device_without_a_queue_has_none_of_ours() -> None:
    body = traffic_header(index=7, handle=0, parent=ROOT) + text(1, "noqueue") + number(3, 0)
    found = QueueInfo(ifindex=7, kind="noqueue", handle=0, rate_bytes_ps=0, waiting_bytes=0)
    assert queue_info(header(body)) == found


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_an_answer_or_none(junk: bytes, cut: int) -> None:
    for raw in (junk, answer()[:cut] + junk):
        assert queue_info(raw) is None or isinstance(queue_info(raw), QueueInfo)
