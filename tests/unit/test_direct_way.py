"""When tunnel packets may pass by the tunnel device, and where the program that takes them belongs."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.direct import Circumstances, obstacle
from netloom.agent.generation import Compiled
from netloom.bpf.objects import ProgramObject
from netloom.datapath.registry import CallSlot
from netloom.edge.xfrm import count_in
from netloom.plugins.contract import UNDERLAY, AttachPoint

OPEN = Circumstances(wanted=True, ipv4=True, ethernet=True, ipsec_policies=0)


def test_the_way_is_open_when_nothing_stands_against_it() -> None:
    assert obstacle(OPEN) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(OPEN, wanted=False), "it is switched off"),
        (replace(OPEN, ipv4=False), "the underlay has no IPv4 address"),
        (replace(OPEN, ethernet=False), "the underlay device is not Ethernet"),
        (replace(OPEN, ipsec_policies=2), "this node has IPsec policies (2), which only the host's stack applies"),
    ],
)
def test_an_obstacle_is_told_in_words(found: Circumstances, words: str) -> None:
    assert obstacle(found) == words


# --- programs of the underlay -------------------------------------------------------------------

ENCAP, RECEIVE = (ProgramObject(name, bytes(8), ()) for name in ("encap", "from_underlay"))
BOTH = Compiled(
    objects=(ENCAP, RECEIVE),
    targets={CallSlot.ENCAP: "encap", AttachPoint(UNDERLAY, "ingress"): "from_underlay"},
)


def test_a_program_for_the_underlay_goes_on_its_device() -> None:
    placed = BOTH.at_underlay("bond0")
    assert placed.objects == BOTH.objects
    assert placed.targets == {CallSlot.ENCAP: "encap", AttachPoint("bond0", "ingress"): "from_underlay"}


def test_a_program_for_the_underlay_is_not_even_loaded_where_it_may_not_be() -> None:
    placed = BOTH.at_underlay(None)
    assert (placed.objects, placed.targets) == ((ENCAP,), {CallSlot.ENCAP: "encap"})


# --- the kernel's answer about IPsec ------------------------------------------------------------


def answer(*attributes: tuple[int, bytes], kind: int = 0x24) -> bytes:
    """A message with attributes, as the kernel builds it."""
    packed = (
        struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4) for number, value in attributes
    )
    body = struct.pack("=I", 0) + b"".join(packed)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


COUNTS = struct.pack("=6I", 1, 2, 3, 70, 80, 90)
"""Policies for in, out and forward; then those of single sockets, such as a key daemon's."""


def test_policies_of_all_directions_are_counted() -> None:
    assert count_in(answer((2, bytes(8)), (1, COUNTS))) == 6


def test_a_refusal_is_the_kernels_own() -> None:
    refused = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -errno.EPERM) + bytes(16)
    with pytest.raises(OSError, match="refused") as caught:
        count_in(refused)
    assert caught.value.errno == errno.EPERM


@given(raw=st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda tail: answer((1, COUNTS))[:20] + tail)))
def test_any_answer_is_a_number_or_an_error(raw: bytes) -> None:
    try:
        assert count_in(raw) >= 0
    except OSError:
        return
