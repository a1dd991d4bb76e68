"""Whatever becomes of the agents, their pods' packets go on: not one is lost, doubled or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netloom.lab.node_config import Tree
from netloom.lab.processes import is_running
from support.cluster import Cluster
from support.load import Account, Route, under_load
from support.page import page_module
from support.plugins import install

pytestmark = pytest.mark.e2e

NODES = ("node1", "node2")
FEWEST_PINGS = 2000
"""Else the load was none."""


class Operator:
    """Does to the agents of both nodes what happens to agents."""

    def __init__(self, cluster: Cluster) -> None:
        self._lab = cluster.lab

    def restart(self, settings: Tree | None = None, *, kill: bool = True) -> None:
        """One node after the other; with ``settings``, of a new config."""
        for node in NODES:
            (self._lab.kill_agent if kill else self._lab.stop_agent)(node)
            if settings is not None:
                self._lab.configure(node, settings)
            self._lab.start_agent(node)

    def programs(self) -> set[int]:
        """Numbers of all programs at work."""
        return {program["id"] for node in NODES for program in self._lab.api(node, "/v1/status")["programs"]}

    def generations(self) -> list[int]:
        """How many each node has pinned."""
        return [len(list((self._lab.files.bpf_dir / node / "generations").iterdir())) for node in NODES]

    def maps(self) -> set[str]:
        """Pinned by node1."""
        return {path.name for path in (self._lab.files.bpf_dir / "node1/maps").iterdir()}

    def put_back(self) -> None:
        """As the other tests expect it."""
        self.restart({}, kill=False)
        self._lab.wait_converged()


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Operator]:
    made = Operator(cluster)
    yield made
    made.put_back()
    assert all(is_running(record) for node in NODES if (record := cluster.lab.agent(node)))


@pytest.fixture
def routes(cluster: Cluster) -> tuple[Route, ...]:
    """On one node, and between two."""
    return tuple(Route(client=cluster.pod("busybox1"), server=cluster.pod(name)) for name in ("busybox2", "busybox3"))


def unharmed(account: Account) -> bool:
    """Enough was sent, and nothing became of it but what should."""
    return account.trouble == [] and account.pings > FEWEST_PINGS and account.streamed_bytes > 0


def test_agents_killed_again_and_again_lose_nothing(operator: Operator, routes: tuple[Route, ...]) -> None:
    """Three times on each node, with new programs each time."""
    before = operator.programs()
    with under_load(routes) as account:
        for _ in range(3):
            operator.restart()
    assert unharmed(account), account
    assert not operator.programs() & before
    assert operator.generations() == [1, 1]


def test_agents_stopped_and_started_lose_nothing(operator: Operator, routes: tuple[Route, ...]) -> None:
    """As a package manager does it."""
    with under_load(routes) as account:
        operator.restart(kill=False)
    assert unharmed(account), account


def no_cache(directory: Path) -> Tree:
    """Everything is compiled anew, as after an upgrade."""
    return {"paths": {"cache_dir": str(directory / "cache")}}


def with_a_plugin(directory: Path) -> Tree:
    """Its stage goes between two of ours, which are compiled for that."""
    directory.joinpath("netloom_nomail.py").write_text(page_module())
    install(directory, "netloom-nomail", "1.0", {"nomail": "netloom_nomail:NoMail"})
    return {}


CHANGES: dict[str, Callable[[Path], Tree]] = {
    "compiled anew": no_cache,
    "a plugin's stage": with_a_plugin,
    "another MTU": lambda _: {"mtu_bytes": 1400},
    "other sizes of maps": lambda _: {"maps": {"endpoints": 100, "devices": 100, "ipcache": 1000, "peers": 16}},
    "tcx instead of filters": lambda _: {"datapath": {"attach": "tcx"}},
    "filters instead of tcx": lambda _: {"datapath": {"attach": "clsact"}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_new_config_takes_over_without_a_loss(
    operator: Operator, routes: tuple[Route, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """New programs are at work afterwards, and the old ones are gone."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if change == "tcx instead of filters":
        # Not under load: when a device gets its first place for filters, the kernel stops its queues for a moment.
        operator.restart({"datapath": {"attach": "clsact"}})
    settings, before = CHANGES[change](tmp_path), operator.programs()
    with under_load(routes) as account:
        operator.restart(settings)
    assert unharmed(account), account
    assert not operator.programs() & before
    assert operator.generations() == [1, 1]


def test_tables_of_another_version_are_filled_anew_without_a_loss(
    cluster: Cluster, operator: Operator, routes: tuple[Route, ...]
) -> None:
    """What the old version left is removed once nothing uses it; pins that are nobody's business stay."""
    directory = cluster.lab.files.bpf_dir / "node1/maps"
    names = operator.maps()
    foreign = directory / "somebodys_v1"
    with under_load(routes) as account:
        for node in NODES:
            cluster.lab.kill_agent(node)
            for pin in (cluster.lab.files.bpf_dir / node / "maps").iterdir():
                pin.rename(pin.with_name(pin.name[: pin.name.rindex("_v")] + "_v999"))
        cluster.node("node1").run("bpftool", "map", "create", str(foreign), *FOREIGN)
        for node in NODES:
            cluster.lab.start_agent(node)
    assert unharmed(account), account
    assert operator.maps() == names | {foreign.name}
    foreign.unlink()


FOREIGN = ("type", "hash", "key", "4", "value", "4", "entries", "8", "name", "somebodys")
