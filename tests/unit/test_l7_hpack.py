"""Header blocks are read as they would be by whoever forgets nothing, whatever is said again and in between."""

from __future__ import annotations

from collections.abc import Sequence

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from netloom_l7_http.hpack import KNOWN_BYTES_MAX, Field, Inflater, keeps_table, write

NAMES = (b":path", b":status", b"cookie", b"x-long-" + b"n" * 150)
VALUES = (b"", b"/", b"200", b"v" * 200, b"w" * 3000)
FIELD = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES), st.booleans())
BLOCKS = st.lists(st.tuples(st.lists(FIELD, max_size=4), st.booleans()), max_size=20)


def fields_of(block: Sequence[tuple[bytes, bytes, bool]]) -> list[Field]:
    return [(name, value) for name, value, _ in block]


@given(BLOCKS)
def test_blocks_that_are_known_say_what_they_would_say_anew(
    blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool]],
) -> None:
    """Fields are written with and without a place in the table, which is too small for all of them."""
    encoder, inflater = Encoder(), Inflater()
    for block, huffman in blocks:
        said = [NeverIndexedHeaderTuple(name, value) if never else (name, value) for name, value, never in block]
        assert inflater.read(encoder.encode(said, huffman=huffman)).fields == fields_of(block)


@given(BLOCKS)
def test_only_blocks_that_leave_the_table_alone_are_said_to(
    blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool]],
) -> None:
    encoder, decoder = Encoder(), Decoder()
    for block, huffman in blocks:
        said = [NeverIndexedHeaderTuple(name, value) if never else (name, value) for name, value, never in block]
        before = tuple(decoder.header_table.dynamic_entries)
        encoded = encoder.encode(said, huffman=huffman)
        decoder.decode(encoded, raw=True)
        if keeps_table(encoded):
            assert before == tuple(decoder.header_table.dynamic_entries)


def test_what_is_written_without_a_table_leaves_it_alone() -> None:
    assert keeps_table(write([(b":status", b"200"), (b"x" * 300, b"y" * 20_000)]))


def test_only_short_blocks_are_remembered() -> None:
    """Few bytes can refer to many."""
    inflater = Inflater()
    short, long = write([(b"a", b"b")]), write([(b"a", b"b" * KNOWN_BYTES_MAX)])
    assert inflater.read(short) is inflater.read(short)
    assert inflater.read(long) is not inflater.read(long)
