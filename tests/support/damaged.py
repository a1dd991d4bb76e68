"""A node with one pod that strangers may damage: what its agent says of the repairs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.controllers import runs_of
from support.netns import Namespace
from support.node import NodeUnderTest, wait_until

GATEWAYS = ("10.244.1.1", "fd00:10:244:1::1")


class DamagedNode:
    """For all tests of a module. ``close`` ends it."""

    def __init__(self, directories: pytest.TempPathFactory, *, resync_s: int, attach: str) -> None:
        self._made: list[Namespace] = []
        self.node = NodeUnderTest(directories.mktemp("damaged"), self._make)
        self.pod = self._make("pod")
        try:
            self.node.write_config(resync_s=resync_s, more=f"datapath: {{attach: {attach}}}\n")
            self.node.start()
            self.lxc: str = self.node.attach(self.pod)["host_ifname"]
        except BaseException:
            self.close()
            raise

    def _make(self, label: str) -> Namespace:
        self._made.append(Namespace(label))
        return self._made[-1]

    def damage(self, command: str) -> None:
        """Run a command in the node; ``LXC`` stands for the pod's device."""
        self.node.netns.run(*command.replace("LXC", self.lxc).split())

    def damage_and_wait(self, damage: Callable[[], object], wanted: str) -> None:
        """Until a repair of that kind has been made after it; the test fails when none is."""
        before = self._total()
        damage()
        assert wait_until(lambda: any(wanted in repair for repair in self._since(before))), self._since(before)

    def _total(self) -> int:
        counts: dict[str, int] = self.node.get("/v1/status")["repairs"]["counts"]
        return sum(counts.values())

    def _since(self, before: int) -> list[str]:
        """Those the agent still tells of, after the first ``before``."""
        found = self.node.get("/v1/status")["repairs"]
        new = min(sum(found["counts"].values()) - before, len(found["last"]))
        last = found["last"][len(found["last"]) - new :]
        return [f"{item['name']}: {item['action']}".replace(self.lxc, "LXC") for item in last]

    def counted(self, kind: str) -> int:
        """Repairs of a kind so far."""
        count: int = self.node.get("/v1/status")["repairs"]["counts"].get(kind, 0)
        return count

    def runs_of(self, controller: str) -> int:
        """How often a controller has run."""
        return runs_of(controller, self.node.get("/v1/status"))

    def reaches_gateways(self) -> bool:
        """The pod, in both families."""
        pings = (self.pod.attempt("ping", "-n", "-c", "1", "-W", "1", gateway) for gateway in GATEWAYS)
        return all(ping.returncode == 0 for ping in pings)

    def close(self) -> None:
        """The agent, its pins and the namespaces."""
        self.node.close()
        for namespace in self._made:
            namespace.close()
