"""The plugin keeps Netloom's contract, and its own promises."""

# ruff: noqa: S101, D103

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from pathlib import Path

import pytest
from netloom_sticky.plugin import Sticky, StickyIpam, StickySettings

from netloom.model.errors import ConfigError
from netloom.plugins import AddressRequest, Allocation, Ipam
from netloom.plugins.testing import IpamConformance, check_plugin, read_section


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(Sticky)


class TestConformance(IpamConformance):
    """Every test Netloom asks of an address manager."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "sticky.json"

    def make_ipam(self) -> Ipam:
        """Both IP versions; made again in one test it finds the file of the first, as after a restart."""
        return sticky(self.path, "10.0.0.0/26", "fd00::/64")


def sticky(path: Path, *prefixes: str, reserved: tuple[str, ...] = ()) -> StickyIpam:
    return StickyIpam(
        StickySettings(
            pod_cidrs=tuple(ip_network(prefix) for prefix in prefixes),
            reserved=tuple(ip_network(prefix) for prefix in reserved),
            path=path,
        )
    )


def add(ipam: Ipam, owner: str, pod: str) -> str:
    request = AddressRequest(owner=owner, pod_name=pod, pod_namespace="default")
    found: Allocation = asyncio.run(_awaited(ipam, request))
    return str(found.addresses[0])


async def _awaited(ipam: Ipam, request: AddressRequest) -> Allocation:
    return await ipam.allocate(request)


def remove(ipam: Ipam, owner: str) -> None:
    async def released() -> None:
        await ipam.release(owner)

    asyncio.run(released())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sticky.json"


def test_a_pod_made_again_has_its_address_again(path: Path) -> None:
    ipam = sticky(path, "10.0.0.0/24")
    assert [add(ipam, "c1", "db-0"), add(ipam, "c2", "db-1")] == ["10.0.0.2", "10.0.0.3"]
    remove(ipam, "c1")
    assert add(ipam, "c3", "web") == "10.0.0.4"
    assert add(ipam, "c4", "db-0") == "10.0.0.2"


def test_it_remembers_over_a_restart(path: Path) -> None:
    before = sticky(path, "10.0.0.0/24")
    add(before, "c1", "db-0")
    remove(before, "c1")
    after = sticky(path, "10.0.0.0/24")
    assert add(after, "c2", "web") == "10.0.0.3"
    assert add(after, "c3", "db-0") == "10.0.0.2"


def test_a_full_prefix_takes_the_address_of_the_pod_that_has_been_gone_longest(path: Path) -> None:
    ipam = sticky(path, "10.0.0.0/29")
    for number in range(5):
        add(ipam, f"c{number}", f"pod-{number}")
    for number in (3, 1):
        remove(ipam, f"c{number}")
    assert add(ipam, "c5", "new") == "10.0.0.5"
    assert add(ipam, "c6", "pod-1") == "10.0.0.3"


def test_two_containers_of_one_pod_never_share_an_address(path: Path) -> None:
    """The older one keeps it, and the pod too."""
    ipam = sticky(path, "10.0.0.0/24")
    add(ipam, "old", "db-0")
    assert add(ipam, "new", "db-0") == "10.0.0.3"
    remove(ipam, "new")
    remove(ipam, "old")
    assert add(ipam, "next", "db-0") == "10.0.0.2"


def test_a_pod_without_a_name_is_forgotten(path: Path) -> None:
    ipam = sticky(path, "10.0.0.0/24")
    add(ipam, "c1", "")
    remove(ipam, "c1")
    assert add(ipam, "c2", "db-0") == "10.0.0.2"


def test_reserved_addresses_are_never_given(path: Path) -> None:
    ipam = sticky(path, "10.0.0.0/29", reserved=("10.0.0.2/31", "10.0.0.5/32"))
    assert [add(ipam, f"c{number}", f"pod-{number}") for number in range(2)] == ["10.0.0.4", "10.0.0.6"]


def test_a_huge_prefix_is_used_from_its_beginning(path: Path) -> None:
    """Though most of it is reserved."""
    ipam = sticky(path, "fd00::/64", reserved=("fd00::8000:0:0:0/65",))
    assert add(ipam, "c1", "db-0") == "fd00::2"
    assert asyncio.run(_capacity(ipam)) == 4095


async def _capacity(ipam: Ipam) -> int:
    return sum(pool.capacity for pool in await ipam.status())


def test_an_address_that_is_reserved_now_is_not_remembered(path: Path) -> None:
    before = sticky(path, "10.0.0.0/24")
    add(before, "c1", "db-0")
    remove(before, "c1")
    assert add(sticky(path, "10.0.0.0/24", reserved=("10.0.0.2/32",)), "c2", "db-0") == "10.0.0.3"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"default/db-0": 3}', '{"default/db-0": ["nowhere"]}'])
def test_a_damaged_file_is_put_aside_and_work_goes_on(path: Path, damage: str) -> None:
    path.parent.mkdir()
    path.write_text(damage)
    assert add(sticky(path, "10.0.0.0/24"), "c1", "db-0") == "10.0.0.2"
    (aside,) = path.parent.glob("sticky.json.damaged-*")
    assert aside.read_text() == damage


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    add(sticky(path, "10.0.0.0/24"), "c1", "db-0")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pod_cidrs: [10.0.0.0/24, 10.1.0.0/24]", "two prefixes of one IP version"),
        ("pod_cidrs: [10.0.0.0/24]\nreserved: [10.0.0.0/30]", "10.0.0.1 is the gateway of 10.0.0.0/24"),
        ("pod_cidrs: [10.0.0.0/30]\nreserved: [10.0.0.2/32]", "has no address left"),
        ("pod_cidrs: [10.0.0.0/31]", "has no address left"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_section(StickySettings, text)
