"""hostscope keeps the contract, and what it promises beyond it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.address import Address
from netloom.model.errors import ConfigError, Conflict, Exhausted
from netloom.plugins import AddressRequest, Allocation, Ipam
from netloom.plugins.testing import IpamConformance, check_plugin, read_section
from netloom_hostscope.ipam import HostScopeIpam
from netloom_hostscope.plugin import HostScope, HostScopeSettings


def pool(*prefixes: str) -> HostScopeIpam:
    return HostScopeIpam([ip_network(prefix) for prefix in prefixes])


def give(ipam: HostScopeIpam, *owners: str) -> list[tuple[str, ...]]:
    async def allocate() -> list[Allocation]:
        return [await ipam.allocate(AddressRequest(owner=owner)) for owner in owners]

    return [tuple(str(address) for address in found.addresses) for found in asyncio.run(allocate())]


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_section(HostScopeSettings, text)
    return str(caught.value)


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(HostScope)


class TestBothIpVersions(IpamConformance):
    """The usual config."""

    def make_ipam(self) -> Ipam:
        return pool("10.0.0.0/26", "fd00::/64")


class TestManyPrefixes(IpamConformance):
    """Full prefixes followed by others."""

    def make_ipam(self) -> Ipam:
        return pool("10.0.0.0/28", "10.9.0.0/28", "fd00::/112", "10.3.0.0/29")


class TestSmallerIpv6(IpamConformance):
    """IPv6 runs out first, when an IPv4 address was taken already."""

    def make_ipam(self) -> Ipam:
        return pool("10.0.0.0/24", "fd00::/122")


class TestOneIpVersion(IpamConformance):
    """IPv6 alone."""

    def make_ipam(self) -> Ipam:
        return pool("fd00::/120")


def test_addresses_are_given_in_order_after_the_gateway() -> None:
    """Network address and gateway are nobody's."""
    assert give(pool("10.0.0.0/24", "fd00::/64"), "a", "b") == [("10.0.0.2", "fd00::2"), ("10.0.0.3", "fd00::3")]


def test_the_smallest_prefixes_have_room_for_one_pod() -> None:
    """A /30: network, gateway, pod, broadcast; a /126 has one more, since IPv6 knows no broadcast."""
    assert give(pool("10.0.0.0/30", "fd00::/126"), "a") == [("10.0.0.2", "fd00::2")]


def test_a_released_address_rests_until_the_others_were_given() -> None:
    ipam = pool("10.0.0.0/29")
    give(ipam, "a", "b")
    asyncio.run(ipam.release("a"))
    assert give(ipam, "c", "d", "e", "f") == [("10.0.0.4",), ("10.0.0.5",), ("10.0.0.6",), ("10.0.0.2",)]


def test_an_ipv6_prefix_of_any_size_is_counted_to_65536() -> None:
    """Neither the count nor the time depends on the prefix's length."""
    (status,) = asyncio.run(pool("fd00::/8").status())
    assert status.capacity == 65_534


def test_exhaustion_names_the_ip_version_and_the_prefixes() -> None:
    ipam = pool("10.0.0.0/30", "fd00::/64")
    give(ipam, "a")
    with pytest.raises(Exhausted, match=r"every IPv4 address of 10\.0\.0\.0/30 is in use"):
        give(ipam, "b")


def test_an_address_past_the_counted_range_cannot_be_restored() -> None:
    """It would be given back into a pool that never gives it."""
    far = Allocation(owner="a", addresses=(ip_network("fd00::/64")[70_000],))
    with pytest.raises(Conflict, match="no address of"):
        asyncio.run(pool("fd00::/64").restore(far))


def test_overlapping_prefixes_are_refused_with_both_names() -> None:
    assert "10.0.1.0/24 overlaps 10.0.0.0/16" in problems("pod_cidrs: [10.0.0.0/16, 10.0.1.0/24]")


def test_a_prefix_without_room_is_refused() -> None:
    assert "10.0.0.0/31 has no room for a gateway and a pod" in problems("pod_cidrs: [10.0.0.0/31]")
    assert "fd00::/127 has no room for a gateway and a pod" in problems("pod_cidrs: ['fd00::/127']")


def test_a_node_without_prefixes_is_refused() -> None:
    assert "pod_cidrs: found nothing" in problems("")
    assert "expected 1 to 64 items" in problems("pod_cidrs: []")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 11))))
def test_it_agrees_with_a_set_of_owners(steps: list[tuple[bool, int]]) -> None:
    """Random allocations and releases against the obvious model: a free address exists, or Exhausted."""

    async def play() -> None:
        ipam, model = pool("10.0.0.0/29", "fd00::/125"), dict[str, tuple[Address, ...]]()
        for allocate, number in steps:
            owner = f"o{number}"
            if not allocate:
                await ipam.release(owner)
                model.pop(owner, None)
            elif owner in model or len(model) == 5:
                with pytest.raises(Conflict if owner in model else Exhausted):
                    await ipam.allocate(AddressRequest(owner=owner))
            else:
                model[owner] = (await ipam.allocate(AddressRequest(owner=owner))).addresses
            given_now = [address for addresses in model.values() for address in addresses]
            assert len(given_now) == len(set(given_now))
            assert sum(pool.used for pool in await ipam.status()) == len(given_now)

    asyncio.run(play())
