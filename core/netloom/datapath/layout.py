"""Structs shared with eBPF C, declared once as Python dataclasses.

A dataclass whose fields are annotated with the types below *is* the C struct: this module computes
its offsets (C's rules on x86-64 and arm64: natural alignment, with explicit padding), renders it as
C, and encodes and decodes its values. Numbers are in host byte order except :data:`Be16`; Python
never sees raw order.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, TypeVar, get_type_hints

from netloom.model.address import Address, Network, pack, pack_prefix, unpack, unpack_prefix

T = TypeVar("T")

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class CType:
    """How one Python type stands in C."""

    c: str
    """C declaration with ``{}`` where the name goes."""
    code: str
    """One item in the language of :mod:`struct`, without byte order."""
    align: int
    encode: Convert | None = None
    """From the Python value to the item; None when they are the same."""
    decode: Convert | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return struct.calcsize(f"={self.code}")


def _number(c: str, code: str) -> CType:
    return CType(c, code, struct.calcsize(f"={code}"))


def _mac(value: bytes) -> bytes:
    if len(value) != 6:  # struct would cut or fill it without a word
        raise ValueError(f"a MAC address has 6 bytes, found {len(value)}")
    return value


IFINDEXES = 8
"""Room in a list of devices."""
_IFINDEXES = struct.Struct(f"={IFINDEXES}I")


def _encode_ifindexes(value: tuple[int, ...]) -> bytes:
    if len(value) > IFINDEXES:
        raise ValueError(f"a list of devices has room for {IFINDEXES}, found {len(value)}")
    return _IFINDEXES.pack(*value, *(0,) * (IFINDEXES - len(value)))


def _decode_ifindexes(raw: bytes) -> tuple[int, ...]:
    return tuple(ifindex for ifindex in _IFINDEXES.unpack(raw) if ifindex)


_BE16 = struct.Struct(">H")
_PREFIX = struct.Struct("=I16s")


def _encode_prefix(network: Network) -> bytes:
    return _PREFIX.pack(*pack_prefix(network))


def _decode_prefix(raw: bytes) -> Network:
    return unpack_prefix(*_PREFIX.unpack(raw))


_PREFIX4 = struct.Struct("=I4s")


def _encode_prefix4(network: IPv4Network) -> bytes:
    return _PREFIX4.pack(network.prefixlen, network.network_address.packed)


def _decode_prefix4(raw: bytes) -> IPv4Network:
    prefix_len, address = _PREFIX4.unpack(raw)
    return IPv4Network((address, prefix_len), strict=False)


U8 = Annotated[int, _number("__u8 {}", "B")]
U16 = Annotated[int, _number("__u16 {}", "H")]
U32 = Annotated[int, _number("__u32 {}", "I")]
U64 = Annotated[int, _number("__u64 {}", "Q")]
Be16 = Annotated[int, CType("__be16 {}", "2s", 2, _BE16.pack, lambda raw: _BE16.unpack(raw)[0])]
Mac = Annotated[bytes, CType("__u8 {}[6]", "6s", 1, _mac)]
Ifindexes = Annotated[
    tuple[int, ...], CType(f"__u32 {{}}[{IFINDEXES}]", f"{_IFINDEXES.size}s", 4, _encode_ifindexes, _decode_ifindexes)
]
"""Up to :data:`IFINDEXES` devices; in C what is left over is 0."""
Addr = Annotated[Address, CType("struct addr {}", "16s", 4, pack, unpack)]
"""An address of either family; IPv4 is v4-mapped."""
Prefix = Annotated[Network, CType("struct prefix {}", "20s", 4, _encode_prefix, _decode_prefix)]
"""Key of a longest-prefix map: 32-bit length in bits over the 16-byte form, then the 16 bytes."""
Addr4 = Annotated[IPv4Address, CType("__be32 {}", "4s", 4, lambda address: address.packed, IPv4Address)]
"""An IPv4 address alone, where a quarter of the bytes to hash is worth a map of its own."""
Prefix4 = Annotated[IPv4Network, CType("struct prefix4 {}", "8s", 4, _encode_prefix4, _decode_prefix4)]
"""As Prefix, over four bytes."""


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
    packer: struct.Struct
    """The whole struct, padding included and zeroed."""

    @property
    def size(self) -> int:
        """In bytes, as C's ``sizeof``."""
        return self.packer.size


def c_name(cls: type) -> str:
    """``EndpointInfo`` is ``endpoint_info`` in C."""
    return "".join(f"_{ch.lower()}" if ch.isupper() else ch for ch in cls.__name__).lstrip("_")


def _align(offset: int, align: int) -> int:
    return -(-offset // align) * align


_LAYOUTS: dict[type, Layout] = {}
"""Every layout asked for so far: placing one takes fifty times as long as encoding a value."""


def layout_of(cls: type) -> Layout:
    """Place the fields of a dataclass; raises TypeError when one has no C type."""
    layout = _LAYOUTS.get(cls)
    if layout is None:
        layout = _LAYOUTS[cls] = _place(cls)
    return layout


def _place(cls: type) -> Layout:
    hints = get_type_hints(cls, include_extras=True, globalns=vars(sys.modules[cls.__module__]))
    members: list[Member] = []
    codes = ["="]
    offset = widest = 0
    for field in fields(cls):
        ctype = next((meta for meta in getattr(hints[field.name], "__metadata__", ()) if isinstance(meta, CType)), None)
        if ctype is None:
            raise TypeError(f"{cls.__name__}.{field.name} has no C type")
        start = _align(offset, ctype.align)
        members.append(Member(field.name, ctype, start))
        codes += [f"{start - offset}x", ctype.code]
        offset = start + ctype.size
        widest = max(widest, ctype.align)
    codes.append(f"{_align(offset, widest or 1) - offset}x")
    doc = (cls.__doc__ or "").strip().splitlines()[0]
    return Layout(c_name(cls), doc, tuple(members), struct.Struct("".join(codes)))


def encode(value: Any) -> bytes:
    """The C bytes of a struct value, padding zeroed; raises ValueError or struct.error when a value does not fit."""
    layout = layout_of(type(value))
    items: list[Any] = []
    for member in layout.members:
        item, convert = getattr(value, member.name), member.ctype.encode
        items.append(item if convert is None else convert(item))
    return layout.packer.pack(*items)


def decode(cls: type[T], raw: bytes) -> T:
    """Inverse of :func:`encode`; raises ValueError when the size is not the struct's, or a value is impossible."""
    layout = layout_of(cls)
    if len(raw) != layout.size:
        raise ValueError(f"struct {layout.name} has {layout.size} bytes, found {len(raw)}")
    values: dict[str, Any] = {}
    for member, item in zip(layout.members, layout.packer.unpack(raw), strict=True):
        convert = member.ctype.decode
        values[member.name] = item if convert is None else convert(item)
    return cls(**values)
