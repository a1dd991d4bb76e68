"""One machine with an agent and three runtimes, for all tests of this directory.

A test that disturbs it puts it in order again; what its pods leave behind is compared with what was there before.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from netloom.lab.inside import program
from support import image, libcni
from support.containerd import Containerd
from support.libcni import BIN_DIR, Libcni, Network
from support.machine import Machine
from support.node import NodeUnderTest
from support.podman import Podman
from support.runtimes import Pod, Runtime, running
from support.traces import settled, traces

NETWORK = "netloom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A machine and its agent."""

    machine: Machine
    node: NodeUnderTest

    def netctl(self, *argv: str) -> str:
        """What it prints of this agent, in the machine."""
        return self.machine.run(str(program("netctl")), *argv, "--socket", str(self.node.socket))

    def network(self, name: str, version: str = "1.0.0") -> Path:
        """Another network config list of this agent, and of no runtime's; written once."""
        directory = self.node.directory / version
        conflist = directory / f"10-{name}.conflist"
        if not conflist.exists():
            self.netctl("cni", "install", "--name", name, "--conf-dir", str(directory), "--cni-version", version)
        return conflist

    @contextmanager
    def agent_away(self) -> Iterator[None]:
        """The agent is killed; after the block a new one serves."""
        self.node.stop(signal.SIGKILL)
        try:
            yield
        finally:
            self.node.start()


@pytest.fixture(scope="session")
def site(_nothing_left_by_the_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Plugins and network are where runtimes look by default."""
    machine = Machine("runtimes")
    node = NodeUnderTest(tmp_path_factory.mktemp("runtimes"), lambda _: machine)
    try:
        node.start()
        made = Site(machine=machine, node=node)
        made.netctl("cni", "install")
        # containerd brings a pod's loopback up with it.
        machine.file(BIN_DIR, "loopback").symlink_to("/usr/lib/cni/loopback")
        yield made
    finally:
        node.close()
        machine.close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of all containers."""
    return image.build(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def containerd(site: Site, archive: Path) -> Iterator[Containerd]:
    """The daemon, with the image."""
    daemon = Containerd(site.machine)
    daemon.load(archive)
    yield daemon
    daemon.close()


@pytest.fixture(scope="session")
def podman(site: Site, archive: Path) -> Podman:
    """The program, with the image."""
    made = Podman(site.machine, NETWORK)
    made.load(archive)
    return made


@pytest.fixture(scope="session")
def libcni_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kept from run to run: building takes longer than all that it does."""
    return libcni.build(tmp_path_factory.getbasetemp().parent)


@pytest.fixture(scope="session")
def by_libcni(site: Site, libcni_driver: Path) -> Libcni:
    """A network of its own, so that its name differs from the others'."""
    network = Network(conflist=site.network("by-libcni"), cache=site.node.directory / "results")
    return Libcni(site.machine, libcni_driver, network)


@pytest.fixture(scope="session", params=["containerd", "podman", "by_libcni"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each in turn."""
    found: Runtime = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def pair(runtime: Runtime) -> Iterator[tuple[Pod, ...]]:
    """Two pods of one runtime."""
    with running(runtime, "one", "two") as pods:
        yield pods


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test(site: Site) -> Iterator[None]:
    """The node is as it was, link by link and entry by entry."""
    before = traces(site.node, site.machine)
    yield
    assert settled(site.node, site.machine, before) == {}
