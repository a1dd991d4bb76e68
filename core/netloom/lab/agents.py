"""The agents of a lab: started in their node's namespace, waited for, asked, ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from netloom.cni.agent import AgentAway, get
from netloom.cni.errors import CniError
from netloom.lab import processes
from netloom.lab.inside import netns_path, program
from netloom.lab.journal import Journal
from netloom.lab.patience import patient
from netloom.lab.processes import ProcessRecord
from netloom.lab.topology import LabFiles, LabNode, Topology
from netloom.model.errors import NetloomError

READY_WITHIN_S = 60.0
"""The first start on a machine compiles everything; later ones take a fraction of a second."""
_POLL_S = 0.02
_LOG_TAIL_LINES = 12


class AgentError(NetloomError):
    """An agent ended, or did not become ready; carries the last lines of its log."""

    def __init__(self, files: LabFiles, node: str, what: str) -> None:
        log = files.log(node)
        lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if log.exists() else []
        self.log_tail = "\n".join(lines)
        super().__init__(f"the agent of {node} {what}; its log says:\n{self.log_tail or '(nothing)'}")


def record_name(node: str) -> str:
    """Under which name a node's agent is recorded."""
    return f"agent {node}"


def start(topology: Topology, node: LabNode, journal: Journal) -> ProcessRecord:
    """Start a node's agent; returns before it is ready."""
    files = topology.files
    return processes.start_recorded(
        record_name(node.name),
        [str(program("netloom-agent")), "--config", str(files.config(node.name))],
        log=files.log(node.name),
        netns=netns_path(node.netns),
        note=journal.process,
    )


def request(files: LabFiles, node: str, path: str) -> Any:
    """``GET`` of a node's API, decoded; raises AgentError."""
    try:
        return get(str(files.socket(node)), path)
    except (AgentAway, CniError) as error:
        raise AgentError(files, node, f"did not answer {path}: {error.message}") from error


def state_of(files: LabFiles, node: str) -> str:
    """``state`` of its status, or ``away`` when nobody answers."""
    try:
        return str(get(str(files.socket(node)), "/v1/status")["state"])
    except (AgentAway, CniError):
        return "away"


def wait_ready(topology: Topology, node: str, record: ProcessRecord) -> None:
    """Wait for a just started agent's API. Raises AgentError as soon as the agent has ended."""
    files = topology.files

    def answers() -> bool:
        if not processes.is_running(record):
            raise AgentError(files, node, "ended while it started")
        return state_of(files, node) in ("ok", "degraded")

    if not wait_until(answers):
        raise AgentError(files, node, f"is not ready after {patient(READY_WITHIN_S):g} s")


def wait_converged(topology: Topology, nodes: Iterable[str]) -> None:
    """Wait until every one of ``nodes`` knows every node and every address of the lab. Raises AgentError."""
    files = topology.files
    names = tuple(nodes)

    def missing() -> str:
        addresses = {address for name in names for address in _addresses(files, name)}
        for name in names:
            known = {entry["name"] for entry in request(files, name, "/v1/nodes")}
            cached = {entry["key"]["prefix"] for entry in request(files, name, "/v1/maps/ipcache")["entries"]}
            absent = (set(names) - known) | (addresses - cached)
            if absent:
                return name
        return ""

    if not wait_until(lambda: not missing()) and (late := missing()):
        raise AgentError(files, late, f"does not know the whole cluster after {patient(READY_WITHIN_S):g} s")


def wait_until(condition: Callable[[], bool], within_s: float | None = None) -> bool:
    """Ask again and again until it holds; says whether it came to hold in time, that of an agent's start if None."""
    deadline = time.monotonic() + (patient(READY_WITHIN_S) if within_s is None else within_s)
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _addresses(files: LabFiles, node: str) -> set[str]:
    """Host prefixes of a node's endpoints, as keys of the ipcache are written."""
    found = set()
    for endpoint in request(files, node, "/v1/endpoints"):
        found |= {f"{endpoint['ipv4']}/32"} if endpoint["ipv4"] else set()
        found |= {f"{endpoint['ipv6']}/128"} if endpoint["ipv6"] else set()
    return found
