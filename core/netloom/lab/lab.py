"""A lab as a whole: made, found again, changed, taken away."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netloom.edge.netns import delete_named_netns
from netloom.lab import agents, fabric, pods, processes, routers, underlay
from netloom.lab.inside import netns_path
from netloom.lab.journal import History, Journal
from netloom.lab.node_config import Tree, render
from netloom.lab.processes import ProcessRecord
from netloom.lab.topology import LABS_DIR, REFLECTOR, LabFiles, LabNode, LabPod, LabSpec, Topology, files_of, lay_out
from netloom.model.errors import Conflict, NotFound, Unsupported

Say = Callable[[str], None]
"""Called with a sentence for each thing done."""


def silent(_sentence: str) -> None:
    """For callers who do not want to be told."""


class Lab:
    """A standing lab. Made by :func:`up` or :func:`find`."""

    def __init__(self, topology: Topology, history: History) -> None:
        self.topology = topology
        self.files = topology.files
        self.complete = history.complete
        self._journal = Journal(self.files.journal)
        # Of one name the newest counts: an agent may have been started many times.
        self._processes = {record.name: record for record in history.processes}

    def api(self, node: str, path: str) -> Any:
        """``GET`` of a node's agent's API; raises AgentError."""
        return agents.request(self.files, node, path)

    def endpoints(self) -> dict[str, dict[str, Any]]:
        """By pod name, those of all nodes, as the API shows them."""
        found = [item for node in self.topology.nodes for item in self.api(node.name, "/v1/endpoints")]
        return {item["pod_name"]: item for item in found}

    def agent(self, node: str) -> ProcessRecord | None:
        """The agent last started on a node."""
        return self._processes.get(agents.record_name(node))

    def configure(self, node: str, settings: Tree) -> None:
        """Write a node's config; the agent reads it when it starts next."""
        self.files.config(node).write_text(render(self.topology, self.topology.node(node), settings))

    def start_agent(self, node: str) -> ProcessRecord:
        """Start a node's agent, unless it runs, and wait until it is ready; raises AgentError."""
        record = self.agent(node)
        if record is None or not processes.is_running(record):
            record = self._launch(self.topology.node(node))
        agents.wait_ready(self.topology, node, record)
        return record

    def stop_agent(self, node: str) -> None:
        """Ask a node's agent to end, and wait; the data path stays."""
        if record := self.agent(node):
            processes.end([record])

    def kill_agent(self, node: str) -> None:
        """End a node's agent as a crash would."""
        if record := self.agent(node):
            processes.kill(record)

    def kill_router(self, name: str, daemon: str = "") -> None:
        """End the reflector, or one daemon of a rack's router, as a crash would."""
        if record := self._processes.get(f"{name} {daemon}".strip()):
            processes.kill(record)

    def start_router(self, name: str, daemon: str = "") -> None:
        """Start again what :meth:`kill_router` has ended, as it was configured at first."""
        if name == REFLECTOR:
            record = routers.start_reflector(self.topology, self._journal)
        else:
            record = routers.start_daemon(self.topology, self.topology.tor(name), daemon, self._journal)
            routers.configure(self.topology.tor(name))
        self._processes[record.name] = record

    def attach(self, pod: LabPod, runtime_config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """CNI ADD, with what a runtime may ask for besides; returns its result, raises CniCallError."""
        return pods.attach(self.topology, pod, runtime_config)

    def detach(self, pod: LabPod) -> None:
        """CNI DEL; raises CniCallError."""
        pods.detach(self.topology, pod)

    def run_in_pod(self, pod: str, name: str, argv: Sequence[str]) -> None:
        """Start a program that runs in a pod until the lab is taken away; what it says is in the lab's log ``name``."""
        record = processes.start_recorded(
            name,
            argv,
            log=self.files.log(name),
            netns=netns_path(self.topology.pod(pod).netns),
            note=self._journal.process,
        )
        self._processes[record.name] = record

    def wait_converged(self) -> None:
        """Wait until all nodes know each other and all pods; raises AgentError."""
        agents.wait_converged(self.topology, [node.name for node in self.topology.nodes])

    def build(self, settings: Tree, say: Say) -> None:
        """Everything from bare namespaces to attached pods."""
        topology = self.topology
        for node in topology.nodes:
            self.configure(node.name, settings)
        self._build_underlay(say)
        self._start_agents()
        say(f"agents: {', '.join(node.name for node in topology.nodes)} are ready")
        with ThreadPoolExecutor(max_workers=len(topology.nodes)) as workers:
            list(workers.map(lambda node: [self.attach(pod) for pod in node.pods], topology.nodes))
        say(f"pods: {', '.join(pod.name for pod in topology.pods) or 'none'} are attached")
        self.wait_converged()
        if topology.tors:
            found = routers.wait_established(topology, with_nodes="bgp" in settings.get("plugins", {}))
            say(f"sessions: {sum(session.established for session in found)} of {len(found)} are established")
        self._journal.complete()
        self.complete = True

    def _build_underlay(self, say: Say) -> None:
        topology = self.topology
        if not topology.tors:
            underlay.build(topology, self._journal)
            say(f"underlay: {len(topology.nodes)} nodes on one bridge")
            return
        routers.check_installed()
        fabric.build(topology, self._journal)
        cables = topology.spec.uplinks
        say(f"underlay: {len(topology.tors)} racks, {len(topology.nodes)} nodes, {cables} cables each")
        for record in routers.start_all(topology, self._journal):
            self._processes[record.name] = record
        say(f"routers: {', '.join(tor.name for tor in topology.tors)} (FRR), reflector (BIRD) are configured")

    def _start_agents(self) -> None:
        """All at once; the first one that fails is reported."""
        started = {node.name: self._launch(node) for node in self.topology.nodes}
        for name, record in started.items():
            agents.wait_ready(self.topology, name, record)

    def _launch(self, node: LabNode) -> ProcessRecord:
        record = agents.start(self.topology, node, self._journal)
        self._processes[record.name] = record
        return record


def up(spec: LabSpec, settings: Tree | None = None, say: Say = silent) -> Lab:
    """Make a lab; whatever goes wrong, nothing of it stays. Raises Conflict when there is one of that name."""
    _require_root()
    topology = lay_out(spec)
    files = topology.files
    _claim(files)
    try:
        with _locked(files):
            journal = Journal(files.journal)
            journal.begin(spec)
            lab = Lab(topology, journal.read())
            lab.build(settings or {}, say)
            return lab
    except BaseException:
        # An interrupt from the keyboard too: half a lab is of no use to anybody.
        down(spec.name)
        raise


@contextmanager
def running(spec: LabSpec, settings: Tree | None = None) -> Iterator[Lab]:
    """A lab that is there while the block runs. Raises as :func:`up` does."""
    lab = up(spec, settings)
    try:
        yield lab
    finally:
        down(spec.name)


def find(name: str) -> Lab:
    """The lab of that name; raises NotFound, naming those there are."""
    _require_root()
    files = files_of(name)
    history = Journal(files.journal).read()
    if history.spec is None:
        others = ", ".join(names()) or "none"
        raise NotFound(f'no lab "{name}" is up; labs on this machine: {others}; make one with "netctl lab up"')
    return Lab(lay_out(history.spec), history)


def down(name: str, say: Say = silent) -> None:
    """Take a lab away, finished or not.

    Raises NotFound when nothing of it is there, Conflict while another netctl changes it.
    """
    _require_root()
    files = files_of(name)
    if not files.directory.is_dir():
        raise NotFound(f'no lab "{name}" is up; labs on this machine: {", ".join(names()) or "none"}')
    with _locked(files):
        history = Journal(files.journal).read()
        killed = processes.end(history.processes)
        for record in killed:
            say(f"{record.name} did not end by itself and was killed")
        _empty_namespaces(history, say)
        for namespace in history.namespaces:
            delete_named_netns(namespace)
        for directory in history.directories:
            _remove_tree(directory)
        _remove_tree(files.bpf_dir)
        _remove_tree(files.directory)
    _remove_if_empty(files.bpf_dir.parent)
    _remove_if_empty(LABS_DIR)


def names() -> tuple[str, ...]:
    """All labs of this machine."""
    return tuple(sorted(path.name for path in LABS_DIR.iterdir())) if LABS_DIR.is_dir() else ()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise Unsupported("a lab", needs="root (uid 0)", found=f"uid {os.geteuid()}")


def _claim(files: LabFiles) -> None:
    LABS_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        files.directory.mkdir(mode=0o700)
    except FileExistsError as error:
        raise Conflict(
            f'lab "{files.name}" is there already; take it away with "netctl lab down --name {files.name}", '
            "or give the new one another --name"
        ) from error


@contextmanager
def _locked(files: LabFiles) -> Iterator[None]:
    """Only one command changes a lab at a time."""
    fd = os.open(files.directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Conflict(f'lab "{files.name}" is being changed by another netctl; wait until it is done') from error
    finally:
        os.close(fd)


def _empty_namespaces(history: History, say: Say) -> None:
    """End what users left running inside, as a machine does when it is switched off."""
    left = [record for name in history.namespaces for record in processes.inside(netns_path(name))]
    if left:
        say(f"ending what still runs inside: {', '.join(sorted({record.name for record in left}))}")
        processes.end(left, within_s=2.0)


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        # Another lab lives there, or it is gone: either is well.
        return
