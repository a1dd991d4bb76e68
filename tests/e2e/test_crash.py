"""Agents killed at every step of an ADD and of a DEL: the next start puts all in order, and nothing is left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netloom.cni import agent
from netloom.cni.frame import pack
from netloom.cni.request import VALID_ATTACHMENTS
from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab.agents import wait_until
from netloom.lab.inside import ip_batch
from netloom.lab.pods import IFNAME, CniCallError, environment, network_config
from netloom.lab.processes import is_running
from netloom.lab.topology import LabPod
from netloom_local.database import Database
from support.cluster import WITHIN_S, Cluster
from support.crash import Place, Step, killed_at, steps
from support.leaks import MARK

pytestmark = pytest.mark.e2e

Places = dict[str, dict[Step, Place]]
WHOLE = "NETLOOM_WHOLE_CRASH_SWEEP"
"""Set: every step with every way out. Unset: every other step, and the ways out in turn; a step is two seconds."""
NODE = "node1"
TABLES = ("endpoints", "devices", "ipcache", "tunnels", "peers")
KILLED_WITHIN_S = 2.0
SETTLED_WITHIN_S = 4 * WITHIN_S
CHILDLESS: dict[str, object] = {f"{node} children": [] for node in ("node1", "node2")}
"""What an agent runs for a moment, as a firewall's program, may be seen before a step, never in the end."""
LOOKS = 3
TRIES = 3
"""For one step: which of a database's writes belong to an operation is not the same each time."""
FEWEST_STEPS = 20
"""Else strace was not heard."""


class Victim:
    """A pod that is attached and detached again and again, on a node whose agent dies meanwhile."""

    def __init__(self, cluster: Cluster, scratch: Path) -> None:
        self.cluster = cluster
        self._scratch = scratch
        self._places: tuple[int, Places] = (0, {})
        name = f"{MARK}-victim"
        self.pod = LabPod(name=name, netns=name, node=NODE, container_id=name)
        self.open()

    @property
    def pid(self) -> int:
        record = self.cluster.lab.agent(NODE)
        assert record is not None
        return record.pid

    def alive(self) -> bool:
        record = self.cluster.lab.agent(NODE)
        return record is not None and is_running(record)

    def places(self) -> Places:
        """Where the agent that runs now does what: found by an ADD and a DEL, which also start all its threads."""
        if self._places[0] != self.pid:
            self.add()
            self.delete()
            self._places = self.pid, self._look()
        return self._places[1]

    def steps(self, operation: str) -> list[Step]:
        """What an operation does each time; what else the agent had to do during one look is not part of it."""
        found, *others = [self.places(), *(self._look() for _ in range(LOOKS - 1))]
        return [step for step in found[operation] if all(step in other[operation] for other in others)]

    def _look(self) -> Places:
        return steps(self.pid, self._scratch, {"ADD": self.add, "DEL": self.delete})

    def open(self) -> None:
        create_named_netns(self.pod.netns)
        ip_batch(self.pod.netns, ["link set lo up"])

    def vanish(self) -> None:
        delete_named_netns(self.pod.netns)

    def add(self) -> None:
        self.cluster.lab.attach(self.pod)

    def delete(self) -> None:
        self.cluster.lab.detach(self.pod)

    def attempt(self, operation: Callable[[], None]) -> None:
        """As a runtime does: a failure is not the end."""
        try:
            operation()
        except CniCallError:
            return

    def restart(self) -> None:
        self.cluster.lab.start_agent(NODE)

    def collect(self) -> None:
        """GC with every attachment but the victim's."""
        lab = self.cluster.lab
        others = [pod for pod in lab.topology.node(NODE).pods if pod != self.pod]
        valid = [{"containerID": pod.container_id, "ifname": IFNAME} for pod in others]
        config = network_config(lab.files, self.pod) | {VALID_ATTACHMENTS: valid}
        variables = {"CNI_COMMAND": "GC", "CNI_PATH": environment("GC", self.pod)["CNI_PATH"]}
        status, output = agent.call(str(lab.files.socket(NODE)), pack(variables, json.dumps(config).encode()))
        assert status == 0, output


def world(cluster: Cluster) -> dict[str, object]:
    """Everything an attachment could leave behind, on both nodes and in the store."""
    lab, found = cluster.lab, dict[str, object]()
    for node in ("node1", "node2"):
        for table in TABLES:
            entries = lab.api(node, f"/v1/maps/{table}")["entries"]
            found[f"{node} {table}"] = sorted(json.dumps(entry) for entry in entries)
        status = lab.api(node, "/v1/status")
        found[f"{node} addresses"] = [pool["used"] for pool in status["ipam"]]
        found[f"{node} endpoints"] = lab.api(node, "/v1/endpoints")
        found[f"{node} links"] = sorted(cluster.node(node).run("ip", "-br", "link").split()[::4])
        found[f"{node} pins"] = sorted(_pins(lab.files.bpf_dir / node))
        state = lab.files.state_dir / node
        found[f"{node} files"] = sorted(str(path.relative_to(state)) for path in state.rglob("*"))
        found[f"{node} children"] = _children(status["pid"])
    found["store"] = _store_keys(lab.files.store)
    return found


def _pins(directory: Path) -> Iterator[str]:
    """Generations are numbered on."""
    for path in directory.rglob("*"):
        yield "/".join("N" if part.isdigit() else part for part in path.relative_to(directory).parts)


def _children(pid: int) -> list[str]:
    return [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children") if path.read_text()]


def _store_keys(path: Path) -> list[str]:
    database = Database(path)
    database.open()
    try:
        return [entry.key for entry in database.items("")]
    finally:
        database.close()


@pytest.fixture(scope="module")
def victim(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    made = Victim(cluster, tmp_path_factory.mktemp("traces"))
    yield made
    if not made.alive():
        cluster.lab.start_agent(NODE)
    made.delete()
    made.vanish()
    cluster.lab.wait_converged()


def away_then_del(victim: Victim) -> None:
    """The runtime takes its container back at once; the agent learns of it when it starts."""
    victim.delete()
    victim.restart()


def start_then_del(victim: Victim) -> None:
    """The agent is back before the runtime takes its container back."""
    victim.restart()
    victim.delete()


def start_then_gc(victim: Victim) -> None:
    """The runtime forgot, and has its rubbish collected later."""
    victim.restart()
    victim.collect()


def vanish_then_start(victim: Victim) -> None:
    """The container ends with nobody to tell."""
    victim.vanish()
    victim.restart()
    victim.open()


WAYS_OUT = (away_then_del, start_then_del, start_then_gc, vanish_then_start)
"""What may follow an ADD or a DEL that was never answered."""


def check(victim: Victim, operation: str, step: Step, way_out: Callable[[Victim], None]) -> bool:
    """Kill the agent there and let things take their course; whether it came to that step at all."""
    place = victim.places()[operation].get(step)
    if place is None:
        return False
    before = world(victim.cluster) | CHILDLESS
    if operation == "DEL":
        victim.add()
    with killed_at(victim.pid, place):
        victim.attempt(victim.add if operation == "ADD" else victim.delete)
        killed = wait_until(lambda: not victim.alive(), KILLED_WITHIN_S)
    if killed:
        way_out(victim)
    else:
        victim.delete()
    victim.cluster.lab.wait_converged()
    wait_until(lambda: world(victim.cluster) == before, SETTLED_WITHIN_S)
    assert world(victim.cluster) == before, f"{operation}, {step}, {way_out.__name__}"
    return killed


@pytest.mark.parametrize("operation", ["ADD", "DEL"])
def test_an_agent_killed_at_any_step_leaves_nothing(victim: Victim, operation: str) -> None:
    """Addresses, links, pins, entries on both nodes, files and store: all as before."""
    every = victim.steps(operation)
    assert len(every) >= FEWEST_STEPS, every
    cases = [
        (step, way_out)
        for number, step in enumerate(every if os.environ.get(WHOLE) else every[::2])
        for way_out in (WAYS_OUT if os.environ.get(WHOLE) else [WAYS_OUT[number % len(WAYS_OUT)]])
    ]
    killed = {case for case in cases if any(check(victim, operation, *case) for _ in range(TRIES))}
    assert len(killed) >= len(cases) * 9 // 10, [str(step) for step, way_out in cases if (step, way_out) not in killed]
