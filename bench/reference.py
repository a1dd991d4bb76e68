"""The CNI project's own plugins, from Debian's ``containernetworking-plugins``, called as a runtime would."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloom.lab.inside import netns_path, run_in

PLUGINS = Path("/usr/lib/cni")
IFNAME = "eth0"


class PluginRefusal(RuntimeError):
    """A plugin is missing or refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One of the plugins with ``host-local``, in a node's namespace."""

    kind: str
    """``bridge`` or ``ptp``."""
    node: str
    subnet: str
    data_dir: Path
    """Where ``host-local`` keeps what it gave."""
    mtu_bytes: int

    def attach(self, pod: str) -> str:
        """CNI ADD: an interface in the namespace ``pod``; returns its IPv4 address."""
        done = run_in(
            self.node,
            [str(PLUGINS / self.kind)],
            stdin=json.dumps(self._config()),
            environment={**os.environ, **_environment(pod)},
        )
        if done.returncode != 0:
            raise PluginRefusal(f"CNI plugin {self.kind} refused {pod}: {done.stdout}{done.stderr}")
        result: Mapping[str, Any] = json.loads(done.stdout)
        address: str = result["ips"][0]["address"]
        return address.partition("/")[0]

    def _config(self) -> dict[str, Any]:
        own = {"bridge": "cni0", "isGateway": True} if self.kind == "bridge" else {}
        ipam = {
            "type": "host-local",
            "dataDir": str(self.data_dir),
            "ranges": [[{"subnet": self.subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        return {
            "cniVersion": "1.0.0",
            "name": f"bench-{self.kind}",
            "type": self.kind,
            "mtu": self.mtu_bytes,
            "ipMasq": False,
            "ipam": ipam,
            **own,
        }


def _environment(pod: str) -> dict[str, str]:
    return {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": pod,
        "CNI_NETNS": str(netns_path(pod)),
        "CNI_IFNAME": IFNAME,
        "CNI_PATH": str(PLUGINS),
    }
