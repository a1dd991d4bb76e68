"""What pods leave on a node, as kernel and disk have it; to compare before with after."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netloom.lab.agents import wait_until
from support.leaks import MARK
from support.machine import WITHIN_S, Machine, cgroups
from support.node import NodeUnderTest

_KEYED = ("hash", "lpm_trie", "hash_of_maps")
"""Types of maps whose entries come and go with pods. The others count packets, hold programs and events, or forget by
themselves, as those of connections do."""
_STORAGE = "/var/lib/containers/storage/overlay"
"""podman mounts it when it first needs it, and keeps it."""
_RUNTIME_STATE = ("/var/lib/cni/results", "/run/netns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Names of everything of a kind that there is, at one moment."""

    links: frozenset[str]
    routes: frozenset[str]
    pins: frozenset[str]
    entries: frozenset[str]
    records: frozenset[str]
    addresses: str
    mounts: frozenset[str]
    control_groups: frozenset[str]
    processes: frozenset[str]
    runtime_state: frozenset[str]

    def difference(self, other: Traces) -> dict[str, Any]:
        """By kind, what only one of both has."""
        mine, others = asdict(self), asdict(other)
        pairs = {kind: (mine[kind], others[kind]) for kind in mine if mine[kind] != others[kind]}
        return {k: sorted(a ^ b) if isinstance(a, frozenset) else [a, b] for k, (a, b) in pairs.items()}


def traces(node: NodeUnderTest, machine: Machine) -> Traces:
    """Of the pods of ``machine``, on which the agent of ``node`` runs."""
    run = node.netns.run
    pins = [path for path in node.pins.rglob("*") if path.is_file()]
    return Traces(
        links=frozenset(link["ifname"] for link in json.loads(run("ip", "-j", "link"))),
        routes=frozenset((run("ip", "-4", "route") + run("ip", "-6", "route")).splitlines()),
        pins=frozenset(_without_generations(path) for path in pins),
        entries=frozenset(entry for path in pins if path.parent.name == "maps" for entry in _entries(path)),
        records=frozenset(str(path) for path in (node.directory / "state").rglob("*")),
        addresses=json.dumps(node.get("/v1/status")["ipam"]),
        mounts=frozenset(machine.mounts()) - {_STORAGE},
        control_groups=frozenset(str(path) for path in cgroups() if _is_containers(path)),
        # By number, not by process id: a daemon that was killed and started again is none left behind.
        processes=frozenset(f"{count} x {command}" for command, count in Counter(machine.processes().values()).items()),
        runtime_state=frozenset(str(path) for where in _RUNTIME_STATE for path in machine.file(where).glob("*")),
    )


def settled(node: NodeUnderTest, machine: Machine, before: Traces) -> dict[str, Any]:
    """How the node differs from before, once it does no longer, or will not stop to: a shim takes a moment to end."""
    found: list[dict[str, Any]] = []

    def is_as_before() -> bool:
        found.append(traces(node, machine).difference(before))
        return not found[-1]

    wait_until(is_as_before, WITHIN_S / 3)
    return found[-1]


def _is_containers(group: Path) -> bool:
    """Of this run alone: what podman plays goes below a group that all runs share. Those that containers share stay."""
    return MARK in group.parts and (
        group.name.startswith("libpod-") or (group.parent.name == MARK and group.name != "conmon")
    )


def _without_generations(pin: Path) -> str:
    """Each agent loads a generation of its own."""
    return "/".join(part for part in pin.parts if not part.isdigit())


def _entries(pin: Path) -> list[str]:
    if _bpftool("map", "show", pin)["type"] not in _KEYED:
        return []
    return [f"{pin.name} {' '.join(entry['key'])}" for entry in _bpftool("map", "dump", pin)]


def _bpftool(noun: str, verb: str, pin: Path) -> Any:
    done = subprocess.run(["bpftool", "-j", noun, verb, "pinned", pin], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
