"""Checks of requests: what Linux would refuse, or quietly change, is refused with a sentence."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netloom.edge.checks import check_ifname, check_mac, check_mtu, new_mac
from netloom.model.address import Address
from netloom.model.errors import Invalid

IPV4, IPV6 = ip_address("10.244.1.7"), ip_address("fd00::7")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "sixteen-letters-", "a/b", "a b", "a:b", "eth%d", "a\0b", "a\n", "é" * 8]
)
def test_names_linux_would_refuse_or_change_are_invalid(name: str) -> None:
    with pytest.raises(Invalid, match="interface name"):
        check_ifname(name)


@pytest.mark.parametrize("name", ["e", "fifteen-letters", "eth0.100", "é"])
def test_names_linux_takes_are_valid(name: str) -> None:
    check_ifname(name)


@pytest.mark.parametrize(
    ("mtu_bytes", "addresses"),
    [(576, ()), (576, (IPV4,)), (1280, (IPV4, IPV6)), (65535, (IPV6,))],
)
def test_an_mtu_that_carries_the_families_is_valid(mtu_bytes: int, addresses: tuple[Address, ...]) -> None:
    check_mtu(mtu_bytes, addresses)


@pytest.mark.parametrize(
    ("mtu_bytes", "addresses", "least"),
    [(575, (), 576), (575, (IPV4,), 576), (1279, (IPV4, IPV6), 1280), (65536, (IPV6,), 1280), (-1, (), 576)],
)
def test_an_mtu_too_small_or_too_large_is_invalid(mtu_bytes: int, addresses: tuple[Address, ...], least: int) -> None:
    with pytest.raises(Invalid, match=f"expected {least} to 65535"):
        check_mtu(mtu_bytes, addresses)


@pytest.mark.parametrize("mac", ["020000000001", "005056000001", "fe0000000000"])
def test_a_mac_of_one_station_is_valid(mac: str) -> None:
    check_mac(bytes.fromhex(mac))


@pytest.mark.parametrize("mac", ["", "0200000000", "02000000000001", "000000000000", "01005e000001", "ffffffffffff"])
def test_a_mac_of_none_or_many_is_invalid(mac: str) -> None:
    """Too short, too long, all zeros, a group's."""
    with pytest.raises(Invalid, match=r"is no interface's, expected one station's 6 bytes"):
        check_mac(bytes.fromhex(mac))


def test_a_mac_is_of_one_station_and_locally_administered() -> None:
    macs = {new_mac() for _ in range(100)}
    assert (len(macs), {mac[0] & 3 for mac in macs}, {len(mac) for mac in macs}) == (100, {2}, {6})
