"""Structs shared with C: placed as C places them, and the same value after a round trip."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath.crender import structs_of
from netloom.datapath.layout import (
    IFINDEXES,
    U8,
    U16,
    U32,
    U64,
    Addr,
    Be16,
    Ifindexes,
    Layout,
    Mac,
    c_name,
    decode,
    encode,
    layout_of,
)
from netloom.datapath.registry import MAPS, EndpointInfo, EndpointKey, IpcacheKey

STRUCTS = structs_of(MAPS)

networks = st.one_of(
    st.ip_addresses(v=4).flatmap(lambda ip: st.integers(0, 32).map(lambda n: ip_network((ip, n), strict=False))),
    st.ip_addresses(v=6).flatmap(lambda ip: st.integers(0, 128).map(lambda n: ip_network((ip, n), strict=False))),
)
BY_DECLARATION: dict[str, st.SearchStrategy[Any]] = {
    "__u8 {}": st.integers(0, 2**8 - 1),
    "__u16 {}": st.integers(0, 2**16 - 1),
    "__be16 {}": st.integers(0, 2**16 - 1),
    "__u32 {}": st.integers(0, 2**32 - 1),
    f"__u32 {{}}[{IFINDEXES}]": st.lists(st.integers(1, 2**31 - 1), max_size=IFINDEXES).map(tuple),
    "__u64 {}": st.integers(0, 2**64 - 1),
    **{f"__u8 {{}}[{size}]": st.binary(min_size=size, max_size=size) for size in (6, 64, 192)},
    "struct addr {}": st.ip_addresses(),
    "struct prefix {}": networks,
    "__be32 {}": st.ip_addresses(v=4),
    "struct prefix4 {}": networks.filter(lambda network: network.version == 4),
}


def values_of(cls: type) -> st.SearchStrategy[Any]:
    return st.builds(cls, **{m.name: BY_DECLARATION[m.ctype.c] for m in layout_of(cls).members})


def is_v4_mapped(value: object) -> bool:
    """Such an IPv6 address or prefix is the IPv4 one, by design: it has no form of its own."""
    if isinstance(value, IPv6Address):
        return value.ipv4_mapped is not None
    return getattr(value, "version", 4) == 6 and is_v4_mapped(getattr(value, "network_address", None))


@dataclass(frozen=True, slots=True)
class Awkward:
    """Every alignment, with holes."""

    tiny: U8
    wide: U64
    short: U16
    mac: Mac
    word: U32
    port: Be16
    last: U8


def offsets(layout: Layout) -> dict[str, int]:
    return {member.name: member.offset for member in layout.members}


def test_fields_stand_where_c_puts_them() -> None:
    """Offsets by hand, from C's rule: each field at a multiple of its own alignment."""
    expected = {"tiny": 0, "wide": 8, "short": 16, "mac": 18, "word": 24, "port": 28, "last": 30}
    assert offsets(layout_of(Awkward)) == expected


def test_a_struct_is_as_long_as_its_widest_field_asks() -> None:
    """31 bytes of fields, rounded up to the alignment of the __u64."""
    assert layout_of(Awkward).size == 32


def test_holes_are_zero_on_the_way_out() -> None:
    """Keys are compared byte by byte in the kernel: what stands in a hole would be part of the key."""
    ones = Awkward(0xFF, 2**64 - 1, 0xFFFF, b"\xff" * 6, 2**32 - 1, 0xFFFF, 0xFF)
    assert encode(ones) == b"\xff" + b"\0" * 7 + b"\xff" * 23 + b"\0"


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same(cls: type, data: st.DataObject) -> None:
    """For every struct of the registry and any values; v4-mapped IPv6 addresses come back as IPv4."""
    value = data.draw(values_of(cls))
    back: object = decode(cls, encode(value))
    for field in fields(cls):
        before, after = getattr(value, field.name), getattr(back, field.name)
        assert before == after or is_v4_mapped(before)


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_any_bytes_a_map_may_hold_decode(cls: type, data: st.DataObject) -> None:
    """The kernel refuses prefix lengths over that of the address; else a stranger may write anything into a map."""
    raw = bytearray(data.draw(st.binary(min_size=layout_of(cls).size, max_size=layout_of(cls).size)))
    for member in layout_of(cls).members:
        if most := {"struct prefix {}": 128, "struct prefix4 {}": 32}.get(member.ctype.c):
            raw[member.offset : member.offset + 4] = struct.pack("=I", data.draw(st.integers(0, most)))
    assert isinstance(decode(cls, bytes(raw)), cls)


def test_an_ipv4_address_is_written_v4_mapped() -> None:
    """So that one map serves both families."""
    assert encode(EndpointKey(IPv4Address("10.1.2.3"))) == bytes(10) + b"\xff\xff\x0a\x01\x02\x03"


def test_an_ipv4_prefix_counts_from_the_mapped_form() -> None:
    """96 bits of ::ffff: come before the 24 of the prefix."""
    raw = encode(IpcacheKey(ip_network("10.1.2.0/24")))
    assert raw == struct.pack("=I", 120) + bytes(10) + b"\xff\xff\x0a\x01\x02\x00"


def test_be16_is_in_network_order() -> None:
    """Whatever the host's order is."""
    port_at = offsets(layout_of(Awkward))["port"]
    raw = encode(Awkward(0, 0, 0, bytes(6), 0, 0x1234, 0))
    assert raw[port_at : port_at + 2] == b"\x12\x34"


@pytest.mark.parametrize("mac", [b"", b"12345", b"1234567"])
def test_a_mac_address_has_six_bytes(mac: bytes) -> None:
    """Neither cut nor filled up."""
    with pytest.raises(ValueError, match="6 bytes"):
        encode(EndpointInfo(1, 2, 3, 0, mac, bytes(6)))


@pytest.mark.parametrize("identity", [-1, 2**32])
def test_a_number_that_does_not_fit_is_refused(identity: int) -> None:
    """It must never wrap round to somebody else's identity."""
    with pytest.raises(struct.error):
        encode(EndpointInfo(1, identity, 3, 0, bytes(6), bytes(6)))


def test_bytes_of_another_length_are_refused() -> None:
    """A struct of another version is not read as ours."""
    with pytest.raises(ValueError, match="endpoint_key has 16 bytes, found 15"):
        decode(EndpointKey, bytes(15))


def test_a_field_without_a_c_type_is_refused() -> None:
    """By name, so that a plugin's author finds it."""

    @dataclass(frozen=True)
    class Wrong:
        """Has a Python int, which has no size."""

        address: Addr
        size: int

    with pytest.raises(TypeError, match=r"Wrong\.size has no C type"):
        layout_of(Wrong)


def test_c_names_are_snake_case() -> None:
    """EndpointInfo is endpoint_info."""
    assert c_name(EndpointInfo) == "endpoint_info"


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of devices."""

    devices: Ifindexes


def test_a_list_of_devices_is_filled_up_with_zeros_and_has_an_end() -> None:
    assert encode(Listed((3, 5))) == struct.pack("=8I", 3, 5, *[0] * 6)
    with pytest.raises(ValueError, match="a list of devices has room for 8, found 9"):
        encode(Listed((1,) * 9))
