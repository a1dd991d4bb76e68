"""The BGP plugin keeps the contract of a router: the kit, with a real gobgpd, and FRR outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from netloom.lab.patience import patient
from netloom.model.address import Network
from netloom.plugins import Context
from netloom.plugins.testing import RouterConformance, RouterWorld, check_plugin, read_section
from netloom_bgp.plugin import Bgp
from netloom_bgp.settings import BgpSettings
from netloom_bgp.work import end_leftovers
from support.bgp_pair import FRR, PEERS, cable
from support.frr import Frr
from support.netns import Namespace, NamespaceFactory

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SPREADS_NOTHING = "\n".join(line for line in FRR.splitlines() if "network " not in line or "import-check" in line)


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(Bgp)


class FrrWorld(RouterWorld):
    """A node with FRR at the other end of a cable."""

    patience_s = patient(60.0)
    outlives = True

    def __init__(self, netns: Namespace, frr: Frr, run_dir: Path) -> None:
        self._netns = netns
        self._frr = frr
        self._run_dir = run_dir
        self._spread: set[Network] = set()

    def make_plugin(self) -> object:
        return Bgp()

    def context(self) -> Context:
        return Context(node_name="n1", config=read_section(BgpSettings, PEERS), run_dir=self._run_dir)

    def heard(self) -> Collection[Network]:
        return {ip_network(text) for text in (*self._frr.routes(4), *self._frr.routes(6))}

    def spread(self, prefixes: Collection[Network]) -> None:
        fresh = set(prefixes)
        for family in (4, 6):
            changes = [f"no network {each}" for each in self._spread - fresh if each.version == family]
            changes += [f"network {each}" for each in fresh - self._spread if each.version == family]
            if changes:
                self._frr.ask("configure", "router bgp 65002", f"address-family ipv{family} unicast", *changes)
        self._spread = fresh

    def cut(self) -> None:
        self._frr.netns.run("ip", "link", "set", "eth0", "down")

    def mend(self) -> None:
        self._frr.netns.run("ip", "link", "set", "eth0", "up")

    def run(self, life: Callable[[], None]) -> None:
        self._netns.call(life)


class TestBgp(RouterConformance):
    """Agents come and go; the speaker stays."""

    @pytest.fixture(autouse=True)
    def _place(self, make_netns: NamespaceFactory, tmp_path: Path) -> None:
        self.make_netns, self.directory = make_netns, tmp_path / "run"

    @contextmanager
    def make_world(self) -> Iterator[RouterWorld]:
        near, far = self.make_netns("bgpa"), self.make_netns("bgpb")
        for netns in (near, far):
            netns.run("sysctl", "-qw", "net.ipv6.conf.all.keep_addr_on_down=1")
        cable(near, far)
        frr = Frr(far, SPREADS_NOTHING)
        try:
            yield FrrWorld(near, frr, self.directory)
        finally:
            asyncio.run(end_leftovers(self.directory / "bgp"))
            frr.close()
