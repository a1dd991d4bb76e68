"""Kernel settings: written only when they differ, those of the thread's namespace, with nothing lost on the way."""

from __future__ import annotations

import pytest

from netloom.edge.sysctl import enable_forwarding, loosen_reverse_path, read_sysctl, write_sysctl
from support.netns import Namespace

pytestmark = pytest.mark.kernel


def test_a_setting_is_written_when_it_differs(netns: Namespace) -> None:
    name = "ipv4/ip_forward"
    assert [netns.call(write_sysctl, name, 1) for _ in range(2)] == [True, False]
    assert netns.call(read_sysctl, name) == "1"


def test_a_setting_this_kernel_does_not_have_is_left_out(netns: Namespace) -> None:
    assert (netns.call(read_sysctl, "ipv9/x"), netns.call(write_sysctl, "ipv9/x", 1)) == (None, False)


@pytest.mark.parametrize(("of_all", "of_device", "wanted"), [(0, 0, "0"), (1, 0, "2"), (0, 1, "2"), (2, 0, "0")])
def test_only_a_strict_reverse_path_check_is_loosened(
    netns: Namespace, of_all: int, of_device: int, wanted: str
) -> None:
    netns.call(write_sysctl, "ipv4/conf/all/rp_filter", of_all)
    netns.call(write_sysctl, "ipv4/conf/lo/rp_filter", of_device)
    netns.call(loosen_reverse_path, "lo")
    assert netns.call(read_sysctl, "ipv4/conf/lo/rp_filter") == wanted
    assert netns.call(read_sysctl, "ipv4/conf/all/rp_filter") == str(of_all)


@pytest.mark.parametrize("families", [(True, False), (False, True), (True, True)])
def test_forwarding_is_switched_on_for_the_families_asked_for(netns: Namespace, families: tuple[bool, bool]) -> None:
    netns.call(write_sysctl, "ipv4/ip_forward", 0)
    netns.call(write_sysctl, "ipv6/conf/all/forwarding", 0)
    netns.call(enable_forwarding, ipv4=families[0], ipv6=families[1])
    found = [netns.call(read_sysctl, name) for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")]
    assert found == [str(int(wanted)) for wanted in families]


@pytest.mark.parametrize(("before", "after"), [("0", "0"), ("1", "2"), ("2", "2")])
def test_a_node_goes_on_learning_its_default_route_from_routers(netns: Namespace, before: str, after: str) -> None:
    name = "ipv6/conf/eth0/accept_ra"
    netns.run("ip", "link", "add", "eth0", "type", "bridge")
    netns.call(write_sysctl, "ipv6/conf/all/forwarding", 0)
    netns.call(write_sysctl, name, int(before))
    netns.call(enable_forwarding, ipv4=False, ipv6=True)
    assert netns.call(read_sysctl, name) == after
