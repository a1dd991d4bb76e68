"""Header blocks of HTTP/2: read by libnghttp2, written without a state of their own.

What is written refers to nothing that was said before, and leaves nothing behind to be referred to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from netloom.plugins.l7.turns import Unspoken

LIBRARY: Final = "libnghttp2.so.14"
FIELDS_BYTES_MAX: Final = 1 << 16
"""Of one block, read: few bytes can refer to many."""
FINAL, EMIT = 0x01, 0x02
INDEXED, INDEXING, TABLE_SIZE, NEVER_INDEXED = 0x80, 0x40, 0x20, 0x10
DEFAULT_TABLE_BYTES: Final = 4096
KNOWN_BYTES_MAX: Final = 1024
KNOWN_MAX: Final = 16
"""Blocks of one direction, of so many bytes when they are read."""

Field = tuple[bytes, bytes]
_BYTES: Final = tuple(bytes([number]) for number in range(256))


class Said:
    """The fields of a block, which may be said again."""

    __slots__ = ("fields", "made")

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields
        self.made: dict[bool, Any] = {}
        """What a reader has made of them, by whether the block is the last of its stream."""


class _Pair(ctypes.Structure):
    """``nghttp2_nv``."""

    _fields_ = (
        ("name", ctypes.POINTER(ctypes.c_uint8)),
        ("value", ctypes.POINTER(ctypes.c_uint8)),
        ("name_bytes", ctypes.c_size_t),
        ("value_bytes", ctypes.c_size_t),
        ("flags", ctypes.c_uint8),
    )


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(LIBRARY)
    library.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
    library.nghttp2_hd_inflate_hd2.argtypes = (
        ctypes.c_void_p,
        ctypes.POINTER(_Pair),
        ctypes.POINTER(ctypes.c_int),
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int,
    )
    library.nghttp2_hd_inflate_new.argtypes = (ctypes.POINTER(ctypes.c_void_p),)
    library.nghttp2_hd_inflate_del.argtypes = library.nghttp2_hd_inflate_end_headers.argtypes = (ctypes.c_void_p,)
    library.nghttp2_hd_inflate_change_table_size.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return library


class Inflater:
    """Reads the header blocks of one direction, each in its turn."""

    def __init__(self) -> None:
        self._library = _library()
        self._handle = ctypes.c_void_p()
        self._known: dict[bytes, Said] = {}
        """By blocks, of which each says the same again as long as the table stays."""
        if self._library.nghttp2_hd_inflate_new(ctypes.byref(self._handle)):
            raise MemoryError(LIBRARY)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.nghttp2_hd_inflate_del(self._handle)

    def resize(self, table_bytes: int) -> None:
        """Whoever writes has been told of another size of the table."""
        self._known.clear()
        self._library.nghttp2_hd_inflate_change_table_size(self._handle, table_bytes)

    def read(self, block: bytes) -> Said:
        """A whole block. Raises Unspoken."""
        known = self._known.get(block)
        if known is not None:
            return known
        fields, size = self._inflated(block)
        said = Said(fields)
        if not keeps_table(block) or len(self._known) >= KNOWN_MAX:
            self._known.clear()
        elif size <= KNOWN_BYTES_MAX:
            self._known[block] = said
        return said

    def _inflated(self, block: bytes) -> tuple[list[Field], int]:
        """The fields, and their size as tables count it."""
        pair, flags = _Pair(), ctypes.c_int()
        fields: list[Field] = []
        at = size = 0
        while True:
            rest = block[at:]
            count = self._library.nghttp2_hd_inflate_hd2(
                self._handle, ctypes.byref(pair), ctypes.byref(flags), rest, len(rest), 1
            )
            if count < 0:
                raise Unspoken("a header block that cannot be read")
            at += count
            if flags.value & EMIT:
                name, value = (
                    ctypes.string_at(pair.name, pair.name_bytes),
                    ctypes.string_at(pair.value, pair.value_bytes),
                )
                fields.append((name, value))
                size += len(name) + len(value) + 32
            if size > FIELDS_BYTES_MAX:
                raise Unspoken(f"more than {FIELDS_BYTES_MAX} bytes of headers")
            if flags.value & FINAL:
                self._library.nghttp2_hd_inflate_end_headers(self._handle)
                return fields, size


def keeps_table(block: bytes) -> bool:
    """Whether a block that could be read has left the table as it was: RFC 7541, section 6."""
    at = 0
    while at < len(block):
        first = block[at]
        if first < INDEXED and first & (INDEXING | TABLE_SIZE):
            return False
        index, at = _read_number(block, at, 0x7F if first >= INDEXED else 0x0F)
        if first < INDEXED:
            for _ in range(1 if index else 2):  # a value, behind a name that is not in the table
                length, at = _read_number(block, at, 0x7F)
                at += length
    return True


def _read_number(block: bytes, at: int, most: int) -> tuple[int, int]:
    """A number in the bits of ``most`` and the bytes behind them, and where it ends."""
    number, at, shift = block[at] & most, at + 1, 0
    if number == most:
        while True:
            number += (block[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if block[at - 1] < 0x80:
                break
    return number, at


def write(fields: Iterable[Field], *, table_bytes: int | None = None) -> bytes:
    """A block that says these fields word for word, and before them how large the reader's table shall be."""
    begins = b"" if table_bytes is None else _number(table_bytes, 0x1F, TABLE_SIZE)
    return begins + b"".join([_BYTES[NEVER_INDEXED] + _text(name) + _text(value) for name, value in fields])


def _text(text: bytes) -> bytes:
    return _number(len(text), 0x7F, 0) + text


def _number(number: int, most: int, mark: int) -> bytes:
    """In the bits of ``most``, and as many bytes behind them as it takes."""
    if number < most:
        return _BYTES[mark | number]
    number -= most
    coded = bytearray([mark | most])
    while number >= 128:
        coded.append(number % 128 + 128)
        number //= 128
    return bytes([*coded, number])
