"""Many attachments: each costs what the first one cost, and those that go together leave nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netloom.edge import rtnl
from netloom.edge.netlink import Netlink
from netloom.edge.workload import WorkloadSpec, create_workload
from support.bpf import load_verdict
from support.netns import Namespace, NamespaceFactory
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel

MANY = 50
TOGETHER = 100


def trace(node: NodeUnderTest) -> tuple[object, ...]:
    """All that an endpoint leaves on its node while it is there."""
    maps = [node.get(f"/v1/maps/{name}")["entries"] for name in ("endpoints", "devices", "ipcache")]
    files = sorted(path.name for path in (node.directory / "state/n1/endpoints").iterdir())
    links = sorted(line.split()[0] for line in node.netns.run("ip", "-br", "link").splitlines())
    return node.get("/v1/endpoints"), node.get("/v1/status")["ipam"], maps, files, links


def test_the_fiftieth_workload_asks_of_the_kernel_what_the_first_one_asked(
    netns: Namespace, netlink: Netlink, make_netns: NamespaceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many messages, and as long: nothing is listed, whatever is there already."""
    sent: list[int] = []
    send = rtnl.RtnlSocket._send

    def counting(self: rtnl.RtnlSocket, request: rtnl.Request, data: bytes) -> None:
        sent.append(len(data))
        send(self, request, data)

    monkeypatch.setattr(rtnl.RtnlSocket, "_send", counting)
    fd = load_verdict(0)
    spec = WorkloadSpec(
        host_ifname="lxc00",
        ifname="eth0",
        netns="",
        addresses=(ip_address("10.244.1.7"), ip_address("fd00:10:244:1::7")),
        gateways=(ip_address("10.244.1.1"), ip_address("fd00:10:244:1::1")),
        mtu_bytes=1450,
        program_fd=fd,
        program_name="from_container",
    )
    asked = []
    for number in range(MANY):
        sent.clear()
        pod = str(make_netns("pod").path)
        netns.call(create_workload, netlink, replace(spec, host_ifname=f"lxc{number:02}", netns=pod))
        asked.append(tuple(sent))
    assert set(asked) == {asked[0]}
    assert len(asked[0]) <= 4, "two datagrams on the node's side, two inside the container"


def test_a_container_that_was_detached_is_attached_again_at_once(
    running: NodeUnderTest, make_netns: NamespaceFactory
) -> None:
    """The kernel may still be busy with the interface before."""
    pod, seen = make_netns("pod"), set()
    for _ in range(20):
        endpoint = running.attach(pod)
        seen.add(endpoint["ifindex"])
        assert "eth0" in pod.run("ip", "-br", "link")
        running.detach()
        assert "eth0" not in pod.run("ip", "-br", "link")
    assert len(seen) == 20


def test_a_hundred_detachments_together_leave_nothing(running: NodeUnderTest, make_netns: NamespaceFactory) -> None:
    pods = {f"c{number}": make_netns("pod") for number in range(TOGETHER)}
    before = trace(running)
    for container, pod in pods.items():
        assert running.cni("ADD", container, CNI_NETNS=pod.path).status == 0
    assert len(running.get("/v1/endpoints")) == TOGETHER
    with ThreadPoolExecutor(TOGETHER) as together:
        ended = list(together.map(lambda container: running.cni("DEL", container), pods))
    assert {answer.status for answer in ended} == {0}
    assert trace(running) == before
