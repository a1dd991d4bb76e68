"""Structs shared with eBPF C, declared once as Python dataclasses.

A dataclass whose fields are annotated with the types below *is* the C struct: this module computes
its offsets (C's rules on x86-64 and arm64: natural alignment, with explicit padding), renders it as
C, and encodes and decodes its values. Numbers are in host byte order except :data:`Be16`; Python
never sees raw order.
"""

from __future__ import annotations

import functools
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar, get_type_hints

from netloom.model.address import Address, Network, pack, pack_prefix, unpack, unpack_prefix

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CType:
    """How one Python type stands in C."""

    c: str
    """C declaration with ``{}`` where the name goes."""
    size: int
    align: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _number(c: str, code: str) -> CType:
    packer = struct.Struct(code)
    return CType(c, packer.size, packer.size, packer.pack, lambda raw: packer.unpack(raw)[0])


def _bytes(c: str, size: int) -> CType:
    def encode(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"expected {size} bytes for {c}, found {len(value)}")
        return value

    return CType(c, size, 1, encode, bytes)


def _encode_prefix(network: Network) -> bytes:
    prefix_len, raw = pack_prefix(network)
    return struct.pack("=I", prefix_len) + raw


def _decode_prefix(raw: bytes) -> Network:
    return unpack_prefix(struct.unpack("=I", raw[:4])[0], raw[4:])


U8 = Annotated[int, _number("__u8 {}", "=B")]
U16 = Annotated[int, _number("__u16 {}", "=H")]
U32 = Annotated[int, _number("__u32 {}", "=I")]
U64 = Annotated[int, _number("__u64 {}", "=Q")]
Be16 = Annotated[int, _number("__be16 {}", ">H")]
Mac = Annotated[bytes, _bytes("__u8 {}[6]", 6)]
Addr = Annotated[Address, CType("struct addr {}", 16, 4, pack, unpack)]
"""An address of either family; IPv4 is v4-mapped."""
Prefix = Annotated[Network, CType("struct prefix {}", 20, 4, _encode_prefix, _decode_prefix)]
"""Key of a longest-prefix map: 32-bit length in bits over the 16-byte form, then the 16 bytes."""


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a struct, placed."""

    name: str
    ctype: CType
    offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A struct with every field placed; total size in bytes, padding included."""

    name: str
    doc: str
    members: tuple[Member, ...]
    size: int


def c_name(cls: type) -> str:
    """``EndpointInfo`` is ``endpoint_info`` in C."""
    return "".join(f"_{ch.lower()}" if ch.isupper() else ch for ch in cls.__name__).lstrip("_")


def _align(offset: int, align: int) -> int:
    return -(-offset // align) * align


@functools.cache
def layout_of(cls: type) -> Layout:
    """Place the fields of a dataclass; raises TypeError when one has no C type."""
    hints = get_type_hints(cls, include_extras=True, globalns=vars(sys.modules[cls.__module__]))
    members: list[Member] = []
    offset = widest = 0
    for field in fields(cls):
        ctype = next((meta for meta in getattr(hints[field.name], "__metadata__", ()) if isinstance(meta, CType)), None)
        if ctype is None:
            raise TypeError(f"{cls.__name__}.{field.name} has no C type")
        offset = _align(offset, ctype.align)
        members.append(Member(field.name, ctype, offset))
        offset += ctype.size
        widest = max(widest, ctype.align)
    doc = (cls.__doc__ or "").strip().splitlines()[0]
    return Layout(c_name(cls), doc, tuple(members), _align(offset, widest or 1))


def encode(value: Any) -> bytes:
    """The C bytes of a struct value, padding zeroed; raises ValueError or struct.error when a value does not fit."""
    layout = layout_of(type(value))
    raw = bytearray(layout.size)
    for member in layout.members:
        raw[member.offset : member.offset + member.ctype.size] = member.ctype.encode(getattr(value, member.name))
    return bytes(raw)


def decode(cls: type[T], raw: bytes) -> T:
    """Inverse of :func:`encode`; raises ValueError when the size is not the struct's."""
    layout = layout_of(cls)
    if len(raw) != layout.size:
        raise ValueError(f"struct {layout.name} has {layout.size} bytes, found {len(raw)}")
    values = {m.name: m.ctype.decode(raw[m.offset : m.offset + m.ctype.size]) for m in layout.members}
    return cls(**values)
