"""A node with a real agent, and its prefilter seen from both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netloom.edge.netlink import Netlink
from netloom.edge.xdp import XdpProgram
from support.node import NodeUnderTest

OURS = "loom_prefilter"
SET = ["192.0.2.7/32", "198.51.0.0/16", "2001:db8::/32", "2001:db8:1::7/128"]
"""A prefix of each kind."""


class PrefilteredNode(NodeUnderTest):
    """One node."""

    def ask(self, method: str, cidrs: list[str], **more: Any) -> tuple[int, Any]:
        """Status and answer of a change."""
        return self.request(method, "/v1/prefilter", {"cidrs": cidrs, **more})

    def refuse(self, *cidrs: str) -> dict[str, Any]:
        """Answer to an update that must succeed."""
        status, answer = self.ask("PATCH", list(cidrs))
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    @property
    def modes(self) -> dict[str, str]:
        """How the agent says that its program is attached, by device; those that have none are left out."""
        devices = self.get("/v1/prefilter")["devices"]
        return {each["name"]: each["mode"] for each in devices if each["mode"] != "off"}

    @property
    def cidrs(self) -> list[str]:
        """As the agent lists them."""
        found: list[str] = self.get("/v1/prefilter")["cidrs"]
        return found

    def in_kernel(self) -> dict[str, set[str]]:
        """What the maps hold, by name; those that are empty are left out."""
        found = {}
        for name in ("ip4", "ip6", "net4", "net6"):
            entries = self.get(f"/v1/maps/prefilter_{name}")["entries"]
            if entries:
                found[name] = {next(iter(entry["key"].values())) for entry in entries}
        return found

    def programs(self, device: str = "eth0") -> list[XdpProgram]:
        """On a device."""
        with self.netns.call(Netlink, "stranger") as netlink:
            return list(netlink.xdp.look(device)[1])

    def names(self, device: str = "eth0") -> list[tuple[str, str]]:
        """Of those programs, with their mode."""
        return [(each.program.name, each.mode) for each in self.programs(device)]

    def attach_foreign(self, fd: int, device: str = "eth0") -> None:
        """As a stranger would who asks nobody."""
        with self.netns.call(Netlink, "stranger") as netlink:
            netlink.xdp.detach(device)
            netlink.xdp.attach(device, fd, "stranger")

    @property
    def file(self) -> Path:
        """Where the set is kept."""
        return self.directory / "state/n1/prefilter.json"
