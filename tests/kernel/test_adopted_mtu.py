"""The MTU of pods that were there before the agent was, when a switch of network modes changes it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netloom.edge.netlink import Netlink
from netloom.edge.workload import WorkloadSpec, adopt_workload, create_workload, raise_mtu
from support.bpf import load_verdict
from support.netns import Namespace, NamespaceFactory

pytestmark = pytest.mark.kernel


class Pod:
    """A pod, and the node it is on."""

    def __init__(self, node: Namespace, netlink: Netlink, inside: Namespace, program_fd: int) -> None:
        self.inside = inside
        self._node = node
        self._netlink = netlink
        self._spec = WorkloadSpec(
            host_ifname="lxc0123456789ab",
            ifname="eth0",
            netns=str(inside.path),
            addresses=(ip_address("10.244.1.7"),),
            gateways=(ip_address("10.244.1.1"),),
            mtu_bytes=1450,
            program_fd=program_fd,
            program_name="from_container",
        )

    def create(self, mtu_bytes: int) -> None:
        self._node.call(create_workload, self._netlink, replace(self._spec, mtu_bytes=mtu_bytes))

    def adopt(self, mtu_bytes: int) -> int:
        """The MTU it has then."""
        self._node.call(adopt_workload, self._netlink, replace(self._spec, mtu_bytes=mtu_bytes))
        return self.mtu_bytes

    def raise_mtu(self, mtu_bytes: int, earlier_bytes: int) -> None:
        self._node.call(raise_mtu, replace(self._spec, mtu_bytes=mtu_bytes), earlier_bytes)

    @property
    def mtu_bytes(self) -> int:
        found: int = json.loads(self.inside.run("ip", "-j", "link", "show", "eth0"))[0]["mtu"]
        return found


@pytest.fixture
def pod(netns: Namespace, netlink: Netlink, make_netns: NamespaceFactory) -> Iterator[Pod]:
    fd = load_verdict(0)
    yield Pod(netns, netlink, make_netns("pod"), fd)
    os.close(fd)


def test_an_adopted_pod_sends_nothing_too_large(pod: Pod) -> None:
    pod.create(1500)
    assert pod.adopt(1450) == 1450


@pytest.mark.parametrize(("mtu_bytes", "afterwards"), [(1450, 1500), (1400, 1400)], ids=["ours", "a choice"])
def test_a_larger_mtu_is_given_where_nobody_chose_another(pod: Pod, mtu_bytes: int, afterwards: int) -> None:
    """And not before it is asked for: programs of an earlier run may refuse such packets."""
    pod.create(mtu_bytes)
    assert pod.adopt(1500) == mtu_bytes
    pod.raise_mtu(1500, 1450)
    assert pod.mtu_bytes == afterwards


def test_a_container_that_has_gone_needs_no_mtu(pod: Pod) -> None:
    pod.create(1450)
    pod.inside.close()
    pod.raise_mtu(1500, 1450)
