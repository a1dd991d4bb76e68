"""Fixtures for tests that use the kernel: private namespaces, and a check that nothing stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.bpf.features import mount_bpffs
from netloom.edge.netlink import Netlink
from support.emulated import EMULATED
from support.leaks import MARK, MARK_VARIABLE, look, remains
from support.netns import Namespace, NamespaceFactory, namespaces

_PRIVILEGED = ("bpf", "kernel", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need root say so when there is none, instead of failing in many ways."""
    if os.geteuid() == 0:
        return
    for item in items:
        if any(item.get_closest_marker(name) for name in _PRIVILEGED):
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A run that a shell started in the background ignores SIGINT, and would hand that on to every program it tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _bpf_file_system() -> None:
    """A fresh machine without systemd has none until the first agent starts, and tests pin before that."""
    if os.geteuid() == 0:
        mount_bpffs(Path("/sys/fs/bpf"))


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_by_the_run() -> Iterator[None]:
    """The whole run, with what its modules share, leaves nothing behind."""
    os.environ[MARK_VARIABLE] = MARK
    before = look()
    yield
    assert remains(before) == {}


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test with privileges leaves nothing that was not there before it; emulated, only the run is looked at."""
    if EMULATED or not any(request.node.get_closest_marker(name) for name in _PRIVILEGED):
        yield
        return
    before = look()
    yield
    assert remains(before) == {}


@pytest.fixture
def make_netns() -> Iterator[NamespaceFactory]:
    """Fresh namespaces, as many as a test asks for; all end with it."""
    with namespaces() as make:
        yield make


@pytest.fixture
def netns(make_netns: NamespaceFactory) -> Namespace:
    """One fresh namespace, its loopback down, nothing else in it."""
    return make_netns()


@pytest.fixture
def netlink(netns: Namespace) -> Iterator[Netlink]:
    """Netlink of ``netns``, for node ``n1``; usable from the test's own thread."""
    with netns.call(Netlink, "n1") as netlink:
        yield netlink
