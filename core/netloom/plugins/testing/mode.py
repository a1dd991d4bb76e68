"""Tests every network mode passes."""

# ruff: noqa: S101 - these are tests, wherever they are kept

from __future__ import annotations

from dataclasses import replace

from netloom.model.errors import Invalid
from netloom.model.node import Node
from netloom.plugins import accept
from netloom.plugins.contract import NetworkMode
from netloom.plugins.testing.expect import raises
from netloom.plugins.testing.samples import node


class NetworkModeConformance:
    """What every NetworkMode does. Say how to make one, and the name of its plugin."""

    mode_name: str

    def make_mode(self) -> NetworkMode:
        """A network mode with usual settings."""
        raise NotImplementedError

    def test_its_tunnel_is_one_of_its_devices(self) -> None:
        """And device names fit Linux."""
        accept.mode(self.make_mode())

    def test_pods_never_get_a_larger_mtu_than_the_underlay_has(self) -> None:
        """Of either IP version, and a larger underlay never gives less."""
        mode = self.make_mode()
        for family in (4, 6):
            found = [mode.mtu_bytes(mtu, family) for mtu in (1500, 1501, 9000)]
            assert found == sorted(found)
            assert all(mtu <= underlay for mtu, underlay in zip(found, (1500, 1501, 9000), strict=True))

    def test_every_pod_prefix_of_the_other_node_is_reached(self) -> None:
        """By a tunnel or a route, and by nothing that is not the other node's."""
        local, remote = node("a", 1, self.mode_name), node("b", 2, self.mode_name)
        reach = accept.reach(remote.pod_cidrs, self.make_mode().reach(local, remote, 1400))
        assert set(remote.pod_cidrs) <= {*reach.tunnels, *(route.prefix for route in reach.routes)}

    def test_reach_depends_on_nothing_but_its_arguments(self) -> None:
        """Asked twice, and by another instance, it says the same."""
        local, remote = node("a", 1, self.mode_name), node("b", 2, self.mode_name)
        mode = self.make_mode()
        first = mode.reach(local, remote, 1400)
        assert first == mode.reach(local, remote, 1400) == self.make_mode().reach(local, remote, 1400)

    def test_a_node_of_another_mode_is_refused(self) -> None:
        """Invalid: the two would not understand each other."""
        with raises(Invalid, "the other node runs another network mode"):
            self.make_mode().reach(node("a", 1, self.mode_name), node("b", 2, f"not-{self.mode_name}"), 1400)

    def test_two_nodes_agree_whether_they_reach_each_other(self) -> None:
        """With both IP versions on the underlay, one, or none in common."""
        mode = self.make_mode()
        left, right = (
            [whole, *_halves(whole)] for whole in (node("a", 1, self.mode_name), node("b", 2, self.mode_name))
        )
        for one in left:
            for other in right:
                assert _reaches(mode, one, other) == _reaches(mode, other, one)


def _halves(whole: Node) -> tuple[Node, Node]:
    """The node with one IP version on the underlay, and with the other."""
    return replace(whole, underlay_ipv6=None), replace(whole, underlay_ipv4=None)


def _reaches(mode: NetworkMode, local: Node, remote: Node) -> bool:
    try:
        mode.reach(local, remote, 1400)
    except Invalid:
        return False
    return True
