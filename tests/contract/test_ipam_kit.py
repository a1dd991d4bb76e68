"""The conformance kit for address managers finds the ones that do not keep the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest

from netloom.model.errors import Conflict, Invalid, NetloomError
from netloom.plugins import AddressRequest, Allocation, Ipam
from netloom.plugins.guard import Junk
from netloom.plugins.testing import IpamConformance
from netloom_hostscope.ipam import HostScopeIpam


class Deaf(HostScopeIpam):
    """Gives what it likes, as one of the first contract does."""

    async def allocate(self, request: AddressRequest) -> Allocation:
        return await super().allocate(replace(request, wanted=()))


class Yielding(HostScopeIpam):
    """Gives another address where the wanted one is taken, or nobody's."""

    async def allocate(self, request: AddressRequest) -> Allocation:
        try:
            return await super().allocate(request)
        except (Conflict, Invalid):
            return await super().allocate(replace(request, wanted=()))


class Greedy(HostScopeIpam):
    """Keeps something of what it refuses."""

    async def allocate(self, request: AddressRequest) -> Allocation:
        try:
            return await super().allocate(request)
        except (Conflict, Invalid):
            if request.wanted:
                await super().allocate(replace(request, owner=f"{request.owner}-kept", wanted=()))
            raise


class Vague(HostScopeIpam):
    """Says of every address it does not give that it is somebody's."""

    async def allocate(self, request: AddressRequest) -> Allocation:
        try:
            return await super().allocate(request)
        except Invalid as error:
            raise Conflict(str(error)) from error


def findings(make: type[HostScopeIpam]) -> set[str]:
    """Names of the tests that such a manager fails, of those about wanted addresses."""

    class Kit(IpamConformance):
        def make_ipam(self) -> Ipam:
            return make([ip_network("10.0.0.0/26"), ip_network("fd00::/120")])

    kit = Kit()
    tests: dict[str, Callable[[], None]] = {name: getattr(kit, name) for name in dir(kit) if "want" in name}
    return {name for name, test in tests.items() if _fails(test)}


def _fails(test: Callable[[], None]) -> bool:
    try:
        test()
    except (AssertionError, Junk, NetloomError):
        return True
    return False


GIVEN = "test_an_owner_gets_the_addresses_it_wants"
TAKEN = "test_a_wanted_address_that_somebody_has_is_refused_and_nothing_kept"
BESIDE = "test_a_wanted_address_beside_one_that_cannot_be_had_is_not_kept_either"
NOBODYS = "test_a_wanted_address_that_is_for_nobody_is_refused_and_nothing_kept"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (HostScopeIpam, set()),
        (Deaf, {GIVEN, TAKEN, BESIDE, NOBODYS}),
        (Yielding, {TAKEN, BESIDE, NOBODYS}),
        (Greedy, {TAKEN, BESIDE, NOBODYS}),
        (Vague, {NOBODYS}),
    ],
)
def test_what_is_wrong_with_an_address_manager_is_found(make: type[HostScopeIpam], expected: set[str]) -> None:
    """Nothing is, with ours."""
    assert findings(make) == expected
