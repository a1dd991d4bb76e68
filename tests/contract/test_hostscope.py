"""hostscope keeps the contract, and what it promises beyond it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.address import Address
from netloom.model.errors import ConfigError, Conflict, Exhausted, Invalid
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


def want(ipam: HostScopeIpam, owner: str, *addresses: str) -> tuple[str, ...]:
    async def allocate() -> Allocation:
        wanted = tuple(ip_address(address) for address in addresses)
        return await ipam.allocate(AddressRequest(owner=owner, wanted=wanted))

    return tuple(str(address) for address in asyncio.run(allocate()).addresses)


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


def test_a_wanted_address_is_given_out_of_turn() -> None:
    """Of the other IP version the next one; and whose turn was next, is next."""
    ipam = pool("10.0.0.0/24", "fd00::/64")
    assert want(ipam, "a", "10.0.0.200") == ("10.0.0.200", "fd00::2")
    assert want(ipam, "b", "fd00::3", "10.0.0.3") == ("10.0.0.3", "fd00::3")
    assert give(ipam, "c", "d") == [("10.0.0.2", "fd00::4"), ("10.0.0.4", "fd00::5")]


def test_an_address_of_a_later_prefix_may_be_wanted() -> None:
    assert want(pool("10.0.0.0/29", "10.9.0.0/29"), "a", "10.9.0.4") == ("10.9.0.4",)


def test_a_wanted_address_that_is_taken_is_refused_with_its_owner() -> None:
    ipam = pool("10.0.0.0/24")
    give(ipam, "a")
    with pytest.raises(Conflict, match=r'10\.0\.0\.2 cannot be given to "b": "a" has it'):
        want(ipam, "b", "10.0.0.2")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.0", "10.0.0.2 to 10.0.0.14, 10.9.0.2 to 10.9.0.6"),
        ("10.0.0.1", "10.0.0.2 to 10.0.0.14, 10.9.0.2 to 10.9.0.6"),
        ("10.0.0.15", "10.0.0.2 to 10.0.0.14, 10.9.0.2 to 10.9.0.6"),
        ("10.9.0.1", "10.0.0.2 to 10.0.0.14, 10.9.0.2 to 10.9.0.6"),
        ("192.0.2.1", "10.0.0.2 to 10.0.0.14, 10.9.0.2 to 10.9.0.6"),
        ("::ffff:10.0.0.5", "no IPv6 address"),
    ],
)
def test_a_wanted_address_that_no_pod_may_have_is_refused_with_those_that_may_be(address: str, expected: str) -> None:
    """Network, gateway, broadcast, a stranger's, another IP version's."""
    with pytest.raises(Invalid) as caught:
        want(pool("10.0.0.0/28", "10.9.0.0/29"), "a", address)
    assert str(caught.value) == (
        f'{ip_address(address)} cannot be given to "a": pods of this node get {expected}; ask for another'
    )


def test_a_wanted_address_is_given_back_when_the_other_ip_version_is_full() -> None:
    ipam = pool("10.0.0.0/24", "fd00::/126")
    give(ipam, "a", "b")
    with pytest.raises(Exhausted, match="every IPv6 address"):
        want(ipam, "c", "10.0.0.9")
    asyncio.run(ipam.release("a"))
    assert want(ipam, "d", "10.0.0.9") == ("10.0.0.9", "fd00::2")


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


STEPS = st.lists(st.tuples(st.sampled_from(["release", "allocate", "want"]), st.integers(0, 11), st.integers(0, 8)))


@given(STEPS)
def test_it_agrees_with_a_set_of_owners(steps: list[tuple[str, int, int]]) -> None:
    """Random allocations, with and without a wanted address, and releases against the obvious model."""

    async def play() -> None:
        ipam, model = pool("10.0.0.0/29", "fd00::/125"), dict[str, tuple[Address, ...]]()
        for step, number, offset in steps:
            owner, wanted = f"o{number}", (ip_address("10.0.0.0") + offset,) if step == "want" else ()
            held = {address for addresses in model.values() for address in addresses}
            if step == "release":
                await ipam.release(owner)
                model.pop(owner, None)
            elif owner in model or held & set(wanted):
                with pytest.raises(Conflict):
                    await ipam.allocate(AddressRequest(owner=owner, wanted=wanted))
            elif wanted and not 2 <= offset <= 6:
                with pytest.raises(Invalid):
                    await ipam.allocate(AddressRequest(owner=owner, wanted=wanted))
            elif len(model) == 5:
                with pytest.raises(Exhausted):
                    await ipam.allocate(AddressRequest(owner=owner))
            else:
                model[owner] = (await ipam.allocate(AddressRequest(owner=owner, wanted=wanted))).addresses
                assert set(wanted) <= set(model[owner])
            given_now = [address for addresses in model.values() for address in addresses]
            assert len(given_now) == len(set(given_now))
            assert sum(pool.used for pool in await ipam.status()) == len(given_now)

    asyncio.run(play())
