"""The lab of two racks as tests use it: what its nodes say of BGP, and what stands in their kernels."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from netloom.lab import lab as labs
from netloom.lab import routers, settings
from netloom.lab.agents import wait_until
from netloom.lab.lab import Lab
from netloom.lab.patience import patient
from netloom.lab.racks import LabTor
from support.cluster import Cluster
from support.objects import with_given_objects

EXAMPLE = Path(__file__).parents[2] / "examples" / "bgp-two-racks.yaml"
SESSIONS = 24
"""Of all routers: two racks of two nodes with two cables each, in both families, and the reflector's four twice."""
WITHIN_S = patient(40.0)
"""GoBGP waits some seconds before it dials, and FRR's hold time is nine."""
LEARNED = "77"
"""Protocol of learnt routes, as ``ip route`` prints it."""


class Racks(Cluster):
    """Two racks, made from the example."""

    def __init__(self, lab: Lab, config: Mapping[str, Any]) -> None:
        super().__init__(lab)
        self.config = config

    def tor(self, name: str) -> LabTor:
        """A rack's router."""
        return self.lab.topology.tor(name)

    def ask(self, node: str, *argv: str) -> Any:
        """What ``netctl bgp`` of a node prints for programs."""
        return json.loads(self.netctl(node, "bgp", *argv, "-o", "json"))

    def peers(self, node: str) -> dict[str, dict[str, Any]]:
        """By address."""
        return {peer["address"]: peer for peer in self.ask(node, "peers")["peers"]}

    def speaker(self, node: str) -> int:
        """Process of its gobgpd."""
        found: int = self.ask(node, "peers")["speaker"]["pid"]
        return found

    def kill_speaker(self, node: str) -> None:
        """As a crash would."""
        os.kill(self.speaker(node), signal.SIGKILL)

    def hops(self, node: str, prefix: object) -> list[str]:
        """Next hops of a learnt route in the node's kernel, sorted; those of dead devices left out."""
        family = "-6" if ":" in str(prefix) else "-4"
        (route,) = json.loads(
            self.node(node).run("ip", family, "-j", "route", "show", str(prefix), "proto", LEARNED)
        ) or [{}]
        hops = route.get("nexthops", [route] if "gateway" in route else [])
        return sorted(hop["gateway"] for hop in hops if not {"dead", "linkdown"} & set(hop.get("flags", ())))

    def learned(self, node: str, family: int = 4) -> int:
        """How many learnt routes stand in the node's kernel."""
        return len(json.loads(self.node(node).run("ip", f"-{family}", "-j", "route", "show", "proto", LEARNED) or "[]"))

    def established(self, node: str) -> int:
        """How many of its sessions stand."""
        return sum(peer["state"] == "established" for peer in self.peers(node).values())

    def wait_whole(self) -> None:
        """Until every session stands and every node knows every other's pods by both of its cables."""
        routers.wait_established(self.lab.topology, with_nodes=True, within_s=WITHIN_S)
        assert wait_until(self.is_whole, WITHIN_S), self.shown()

    def is_whole(self) -> bool:
        """Whether that is so now."""
        nodes = self.lab.topology.nodes
        return all(
            len(self.hops(one.name, prefix)) == len(one.cables)
            for one in nodes
            for other in nodes
            for prefix in (other.pod_cidr_v4, other.pod_cidr_v6)
            if one is not other
        )

    def shown(self) -> str:
        """What people would look at, for a test that fails."""
        return "\n".join(self.netctl(node.name, "bgp", "peers") for node in self.lab.topology.nodes)

    def restart(self, node: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """Start a node's agent again, with its config changed."""
        config: dict[str, Any] = json.loads(json.dumps(self.config))
        change(config)
        self.lab.stop_agent(node)
        self.lab.configure(node, config)
        self.lab.start_agent(node)


def up(name: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Racks:
    """The lab of the example, with its config changed."""
    section, tree = settings.read(EXAMPLE.read_text(), str(EXAMPLE))
    config: dict[str, Any] = with_given_objects(yaml.safe_load(yaml.safe_dump(dict(tree))))
    change(config)
    spec = settings.spec_of(settings.Asked(name=name), section, str(EXAMPLE))
    return Racks(labs.up(spec, config), config)


def peers_of(config: dict[str, Any], node: str) -> list[dict[str, Any]]:
    """The part of a config that names a node's peers."""
    overrides = config["plugins"]["bgp"]["overrides"]
    found: list[dict[str, Any]] = next(one["peers"] for one in overrides if one["match_labels"].get("name") == node)
    return found
