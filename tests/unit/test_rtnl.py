"""Netlink answers: read without trust, whatever bytes come."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from netloom.edge.rtnl import _kernel_text, messages

ERROR, DONE = 2, 3
ACK_TLVS = 0x200


def header(length: int, kind: int = ERROR, flags: int = 0, sequence: int = 1) -> bytes:
    return struct.pack("=IHHII", length, kind, flags, sequence, 0)


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_that_lie_within_them(data: bytes) -> None:
    for offset, length, *_ in messages(data):
        assert 0 <= offset <= len(data) - 16
        assert length >= 16


@given(st.binary(max_size=100), st.sampled_from([ERROR, DONE]))
def test_any_bytes_give_a_text(data: bytes, kind: int) -> None:
    assert isinstance(_kernel_text(data, kind), str)


def test_messages_are_found_one_after_another_with_their_padding() -> None:
    data = header(17) + b"x" + b"\0" * 3 + header(16, sequence=2)
    assert [(offset, length, sequence) for offset, length, _, _, sequence in messages(data)] == [
        (0, 17, 1),
        (20, 16, 2),
    ]


def test_a_length_that_leads_nowhere_ends_the_reading() -> None:
    assert list(messages(header(0) + header(16))) == []


def test_the_kernels_sentence_is_found_behind_other_attributes() -> None:
    """Attribute 2 is the offset of what was wrong, attribute 1 the sentence."""
    attributes = struct.pack("=HHI", 8, 2, 36) + struct.pack("=HH", 9, 1) + b"word\0" + b"\0" * 3
    acknowledged = header(0) + struct.pack("=i", -22) + header(0)
    assert _kernel_text(acknowledged + attributes, ERROR) == "word"
    assert _kernel_text(header(0, DONE) + struct.pack("=i", -22) + attributes, DONE) == "word"
