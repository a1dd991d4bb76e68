"""Tests every address manager passes."""

# ruff: noqa: S101 - these are tests, wherever they are kept

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address

from netloom.model.address import Address
from netloom.model.errors import Conflict, Exhausted, Invalid
from netloom.plugins import accept
from netloom.plugins.contract import AddressRequest, Allocation, Ipam
from netloom.plugins.testing.expect import raises


class IpamConformance:
    """What every Ipam does. Say how to make one; a second one made in a test is the same one after a restart."""

    def make_ipam(self) -> Ipam:
        """An address manager with at most 1,000 addresses to give in one of its IP versions."""
        raise NotImplementedError

    def test_gateways_are_inside_its_prefixes_one_for_each_ip_version(self) -> None:
        """Prefixes do not overlap either."""
        accept.ipam(self.make_ipam())

    def test_an_owner_gets_one_address_of_each_ip_version_and_no_gateway(self) -> None:
        """The addresses are in the prefixes it announces."""
        ipam = self.make_ipam()
        given = asyncio.run(_allocate(ipam, "a"))
        assert accept.allocation(accept.ipam(ipam), AddressRequest(owner="a"), given) == given

    def test_no_two_owners_share_an_address_even_when_they_ask_at_once(self) -> None:
        """Twenty requests side by side."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            given = await asyncio.gather(*(_allocate(ipam, f"owner-{number}") for number in range(20)))
            addresses = [address for allocation in given for address in allocation.addresses]
            assert len(addresses) == len(set(addresses))

        asyncio.run(scenario())

    def test_an_owner_that_has_addresses_is_refused_and_keeps_them(self) -> None:
        """Conflict, and nothing changes."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            await _allocate(ipam, "a")
            before = await ipam.status()
            with raises(Conflict, "the owner has addresses"):
                await _allocate(ipam, "a")
            assert before == await ipam.status()

        asyncio.run(scenario())

    def test_release_is_for_everybody_and_any_number_of_times(self) -> None:
        """Releasing what nobody has is no error."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            await ipam.release("nobody")
            await _allocate(ipam, "a")
            await ipam.release("a")
            await ipam.release("a")
            await _allocate(ipam, "a")

        asyncio.run(scenario())

    def test_an_exhausted_pool_says_so_keeps_nothing_and_recovers(self) -> None:
        """Exhausted; the failed owner holds nothing; one release makes room for one."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            count = await _fill(ipam)
            before = await ipam.status()
            with raises(Exhausted, "no address is left"):
                await _allocate(ipam, "late")
            assert before == await ipam.status(), "a failed allocation holds addresses"
            await ipam.release(f"owner-{count - 1}")
            await _allocate(ipam, "late")

        asyncio.run(scenario())

    def test_an_owner_gets_the_addresses_it_wants(self) -> None:
        """All of them, in any order, or one; of the other IP versions any. Here: those that another one gave back."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            addresses = (await _allocate(ipam, "a")).addresses
            for number, wanted in enumerate([addresses, addresses[::-1], *((address,) for address in addresses)]):
                await ipam.release("a" if number == 0 else f"again-{number - 1}")
                request = AddressRequest(owner=f"again-{number}", wanted=wanted)
                assert accept.allocation(accept.ipam(ipam), request, await ipam.allocate(request))

        asyncio.run(scenario())

    def test_a_wanted_address_that_somebody_has_is_refused_and_nothing_kept(self) -> None:
        """Conflict; whoever has it keeps it. Asking without it succeeds."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            given = await _allocate(ipam, "a")
            before = await ipam.status()
            for address in given.addresses:
                with raises(Conflict, f"{address} belongs to another owner"):
                    await ipam.allocate(AddressRequest(owner="b", wanted=(address,)))
            assert before == await ipam.status(), "a failed allocation holds addresses"
            assert not set(given.addresses) & set((await _allocate(ipam, "b")).addresses)

        asyncio.run(scenario())

    def test_a_wanted_address_beside_one_that_cannot_be_had_is_not_kept_either(self) -> None:
        """Where it serves both IP versions: one wanted address is free, the other somebody's."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            free, held = await _allocate(ipam, "a"), await _allocate(ipam, "b")
            await ipam.release("a")
            before = await ipam.status()
            for one in free.addresses:
                for other in held.addresses:
                    if one.version != other.version:
                        with raises(Conflict, f"{other} belongs to another owner"):
                            await ipam.allocate(AddressRequest(owner="c", wanted=(one, other)))
            assert before == await ipam.status(), "a failed allocation holds addresses"

        asyncio.run(scenario())

    def test_a_wanted_address_that_is_for_nobody_is_refused_and_nothing_kept(self) -> None:
        """Outside the prefixes, or a gateway: Invalid, whether or not anybody asks for it again."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            before = await ipam.status()
            for address in _never_given(ipam):
                with raises(Invalid, f"{address} is not for owners"):
                    await ipam.allocate(AddressRequest(owner="a", wanted=(address,)))
            assert before == await ipam.status(), "a failed allocation holds addresses"
            await _allocate(ipam, "a")

        asyncio.run(scenario())

    def test_after_a_restart_restored_addresses_stay_with_their_owner(self) -> None:
        """Nobody else is given them until they are released."""

        async def scenario() -> None:
            given = await _allocate(self.make_ipam(), "a")
            ipam = self.make_ipam()
            await ipam.restore(given)
            with raises(Conflict, "the addresses belong to another owner"):
                await ipam.restore(Allocation(owner="b", addresses=given.addresses))
            others = [await _allocate(ipam, f"other-{number}") for number in range(3)]
            assert not {a for other in others for a in other.addresses} & set(given.addresses)
            await ipam.release("a")

        asyncio.run(scenario())

    def test_addresses_that_are_no_longer_its_own_cannot_be_restored(self) -> None:
        """Outside the prefixes, or a gateway: Conflict, and nothing is taken."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            before = await ipam.status()
            for address in _never_given(ipam):
                with raises(Conflict, f"{address} is not for owners"):
                    await ipam.restore(Allocation(owner="a", addresses=(address,)))
            assert before == await ipam.status()

        asyncio.run(scenario())

    def test_status_counts_every_address_given(self) -> None:
        """One more for each IP version with each owner, one less with each release."""

        async def scenario() -> None:
            ipam = self.make_ipam()
            before = await _used(ipam)
            given = await _allocate(ipam, "a")
            assert await _used(ipam) == before + len(given.addresses)
            await ipam.release("a")
            assert await _used(ipam) <= before + len(given.addresses)
            assert accept.pools(await ipam.status())

        asyncio.run(scenario())


def _never_given(ipam: Ipam) -> tuple[Address, ...]:
    """The gateways, and an address of each IP version that is reserved for documentation (RFC 5737, RFC 3849)."""
    return (IPv4Address("203.0.113.77"), IPv6Address("2001:db8:ffff::77"), *ipam.gateways)


async def _allocate(ipam: Ipam, owner: str) -> Allocation:
    """As for a pod that nobody asks for again."""
    request = AddressRequest(owner=owner, pod_name=f"pod-{owner}", pod_namespace="default")
    return await ipam.allocate(request)


async def _fill(ipam: Ipam) -> int:
    """Allocate until it is exhausted; how many owners there are then."""
    for number in range(1001):
        try:
            await _allocate(ipam, f"owner-{number}")
        except Exhausted:
            return number
    raise AssertionError(
        "make_ipam gave a manager with more than 1,000 addresses, too many to be tested when exhausted"
    )


async def _used(ipam: Ipam) -> int:
    return sum(pool.used for pool in await ipam.status())
