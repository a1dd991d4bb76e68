"""Nodes with an agent, of a test's own or a module's; devices to attach programs to, and the ways to do it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from netloom.edge import filters, tcx
from netloom.edge.netlink import Netlink
from support.attached import Attaching
from support.bpf import load_verdict
from support.netns import Namespace, NamespaceFactory, namespaces
from support.node import NodeUnderTest

WAYS: tuple[filters.Way, ...] = ("tcx", "clsact") if tcx.supported() else ("clsact",)


@pytest.fixture
def node(tmp_path: Path, make_netns: NamespaceFactory) -> Iterator[NodeUnderTest]:
    """A node whose agent is not running yet."""
    with closing(NodeUnderTest(tmp_path, make_netns)) as made:
        yield made


@pytest.fixture
def running(node: NodeUnderTest) -> NodeUnderTest:
    """A node with its agent."""
    node.start()
    return node


@pytest.fixture(scope="module")
def module_netns(_nothing_left_by_the_run: None) -> Iterator[NamespaceFactory]:
    """As ``make_netns``, for what the tests of a module share."""
    with namespaces() as make:
        yield make


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory, module_netns: NamespaceFactory) -> Iterator[NodeUnderTest]:
    """A node with its agent, for all tests of a module."""
    with closing(NodeUnderTest(tmp_path_factory.mktemp("node"), module_netns)) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def shared_pod(module_netns: NamespaceFactory) -> Namespace:
    """That of the only endpoint of ``shop_node``."""
    return module_netns("pod")


@pytest.fixture(scope="module")
def shop_node(shared_node: NodeUnderTest, shared_pod: Namespace) -> NodeUnderTest:
    """A node with its agent and one endpoint, ``shop/web-1``, for all tests of a module."""
    shared_node.attach(shared_pod, CNI_ARGS="K8S_POD_NAME=web-1;K8S_POD_NAMESPACE=shop")
    return shared_node


@pytest.fixture(scope="module")
def programs() -> Iterator[tuple[int, int]]:
    """File descriptors of two different programs."""
    fds = load_verdict(0), load_verdict(2)
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture
def device(netns: Namespace) -> str:
    """A device that is not ours."""
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    return "eth0"


@pytest.fixture
def attaching(netns: Namespace) -> Iterator[Attaching]:
    """A node that attaches in a given way; it may be asked for both ways one after the other."""
    made: list[Netlink] = []

    def by(way: filters.Way) -> Netlink:
        made.append(netns.call(Netlink, "n1", way))
        return made[-1]

    yield by
    for each in made:
        each.close()


@pytest.fixture(params=WAYS)
def either(request: pytest.FixtureRequest, attaching: Attaching) -> Netlink:
    """Each way in turn."""
    return attaching(request.param)
