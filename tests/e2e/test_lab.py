"""The lab itself: it comes up whole, is looked at, and goes away without a trace, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from netloom.lab import lab as labs
from netloom.lab import processes
from netloom.lab.agents import AgentError
from netloom.lab.inside import argv_in, program
from netloom.lab.topology import LABS_DIR, LabSpec, files_of, lay_out
from netloom.model.errors import Conflict, NotFound
from support.cluster import Cluster, Place
from support.leaks import MARK, look

pytestmark = pytest.mark.e2e

_numbers = count(1)
NOBODY = 65534
STEPS = ("begin", "namespace", "namespace", "namespace", "process", "complete")
"""What a lab of one node and one pod writes to its journal."""


@pytest.fixture
def name() -> Iterator[str]:
    """Of a lab that is gone after the test, and whose every trace is."""
    before = look()
    chosen = f"{MARK}l{next(_numbers)}"
    yield chosen
    if files_of(chosen).directory.exists():
        labs.down(chosen)
    assert look().since(before) == {}
    assert not files_of(chosen).directory.exists()
    assert not files_of(chosen).bpf_dir.exists()


def small(name: str) -> LabSpec:
    """As small as a lab can be that carries a packet."""
    return LabSpec(name=name, nodes=1, pods_per_node=1)


def netctl(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run it to the end."""
    return subprocess.run([str(program("netctl")), *argv], capture_output=True, text=True, check=False, timeout=60)


def test_a_lab_comes_up_is_used_and_goes(name: str) -> None:
    """From the command line: up, status, exec, down."""
    done = netctl("lab", "up", "--name", name, "--nodes", "1", "--pods", "2")
    assert done.returncode == 0, done.stderr
    status = json.loads(netctl("lab", "status", "--name", name, "-o", "json").stdout)
    assert [node["agent"] for node in status["nodes"]] == ["ok"]
    target = next(pod["ipv4"] for pod in status["pods"] if pod["name"] == "busybox2")
    assert netctl("lab", "exec", "--name", name, "busybox1", "--", "ping", "-c", "1", target).returncode == 0
    assert "Endpoints:      2" in netctl("lab", "exec", "--name", name, "node1", "--", "netctl", "status").stdout
    assert "Endpoints:      2" in netctl("--node", f"{name}/node1", "status").stdout
    assert netctl("lab", "down", "--name", name).returncode == 0


@pytest.mark.parametrize("status", [0, 3])
def test_exec_ends_as_the_command_does(cluster: Cluster, status: int) -> None:
    """So that scripts can use it."""
    done = netctl("lab", "exec", "--name", cluster.lab.files.name, "busybox1", "--", "sh", "-c", f"exit {status}")
    assert done.returncode == status


def test_exec_in_an_unknown_place_names_those_there_are(cluster: Cluster) -> None:
    """A typing mistake is answered with what could have been meant."""
    done = netctl("lab", "exec", "--name", cluster.lab.files.name, "busybox9", "--", "true")
    assert done.returncode == 1
    assert "busybox1, busybox2, busybox3, busybox4" in done.stderr


def test_a_name_that_is_taken_is_refused(cluster: Cluster) -> None:
    """With what to do; the standing lab is not touched."""
    with pytest.raises(Conflict, match="netctl lab down"):
        labs.up(LabSpec(name=cluster.lab.files.name))
    assert cluster.lab.api("node1", "/v1/status")["state"] == "ok"


def test_a_lab_that_is_not_there_cannot_be_taken_away(cluster: Cluster) -> None:
    """The answer names those that are."""
    with pytest.raises(NotFound, match=cluster.lab.files.name):
        labs.down(f"{MARK}-nothing")


@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_who_is_not_root_is_told_so(command: str) -> None:
    """In one sentence, before anything is tried."""
    script = f"import os; os.geteuid = lambda: {NOBODY}; from netloom.cli.main import main; raise SystemExit(main())"
    argv = [sys.executable, "-c", script, "lab", command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"netctl: a lab is not available: needs root (uid 0), found uid {NOBODY}\n"


def test_two_labs_stand_side_by_side(cluster: Cluster, name: str) -> None:
    """Both have a node1 and a busybox1 with the same addresses, and neither hears of the other."""
    other = Cluster(labs.up(small(name)))
    assert other.pod("busybox1").ipv4 == cluster.pod("busybox1").ipv4
    other.pod("busybox1").ping(other.gateway("node1", 4))
    assert other.pod("busybox1").answers_nothing(cluster.pod("busybox3").ipv4)
    cluster.pod("busybox1").ping(cluster.pod("busybox3").ipv4)


def test_a_lab_with_three_nodes_is_a_full_mesh(name: str) -> None:
    """Every pod reaches every other."""
    cluster = Cluster(labs.up(LabSpec(name=name, nodes=3, pods_per_node=1)))
    pods = [cluster.pod(pod.name) for pod in cluster.lab.topology.pods]
    for pod in pods:
        for other in pods:
            if other is not pod:
                pod.ping(other.ipv4)
                pod.ping(other.ipv6)


def test_settings_reach_every_agent(name: str, tmp_path: Path) -> None:
    """Given as a file for all nodes; where a value comes from is shown."""
    settings = tmp_path / "all.yaml"
    settings.write_text("mtu_bytes: 1400\n")
    assert netctl("lab", "up", "--name", name, "--nodes", "1", "--config", str(settings)).returncode == 0
    cluster = Cluster(labs.find(name))
    assert "mtu 1350" in cluster.pod("busybox1").run("ip", "link", "show", "eth0")


def test_an_agent_that_does_not_start_is_quoted_and_the_lab_is_gone(name: str) -> None:
    """Its log would be lost with the lab, so its last lines are in the error."""
    with pytest.raises(AgentError, match="mtu_bytes"):
        labs.up(small(name), {"mtu_bytes": 3})
    assert not files_of(name).directory.exists()


def test_down_ends_what_users_left_running(name: str) -> None:
    """As a machine that is switched off ends everything on it."""
    lab = labs.up(small(name))
    pod = lab.topology.pod("busybox1")
    with subprocess.Popen(argv_in(pod.netns, ["sleep", "600"])) as left:
        said: list[str] = []
        try:
            labs.down(name, said.append)
            left.wait(timeout=5)
        finally:
            left.kill()
    assert any("sleep" in sentence for sentence in said)


def test_down_leaves_neighbours_alone(cluster: Cluster, name: str) -> None:
    """Agents, namespaces and pins of another lab stay."""
    record = cluster.lab.agent("node1")
    labs.up(small(name))
    labs.down(name)
    assert record is not None
    assert processes.is_running(record)
    cluster.pod("busybox1").ping(cluster.pod("busybox3").ipv4)


INTERRUPTED = """
import os, signal, sys
from netloom.lab import lab
from netloom.lab.journal import Journal
from netloom.lab.topology import LabSpec

written, append = [], Journal._append

def interrupted(self, step):
    if len(written) == {steps} and not {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, step)
    written.append(step)
    if len(written) > {steps}:
        os.kill(os.getpid(), signal.SIGKILL)

Journal._append = interrupted
lab.up(LabSpec(name="{name}", nodes=1, pods_per_node=1))
"""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("steps", range(len(STEPS)), ids=[f"{index}-{step}" for index, step in enumerate(STEPS)])
def test_a_lab_interrupted_at_any_step_is_taken_away(name: str, steps: int, after: bool) -> None:
    """Killed before or after any line of the journal: down finds what was made, and the name is free again."""
    script = INTERRUPTED.format(steps=steps, after=after, name=name)
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    labs.down(name)
    assert not files_of(name).directory.exists()


def test_an_interrupted_lab_says_so(name: str) -> None:
    """And what to do about it."""
    script = INTERRUPTED.format(steps=len(STEPS) - 1, after=False, name=name)
    subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert "netctl lab down" in netctl("lab", "status", "--name", name).stdout


def test_the_keyboard_interrupts_making_a_lab(name: str) -> None:
    """Nothing stays, with no further command."""
    argv = [str(program("netctl")), "lab", "up", "--name", name, "--nodes", "1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as making:
        while not files_of(name).journal.exists() and making.poll() is None:
            os.sched_yield()
        making.send_signal(signal.SIGINT)
        making.communicate(timeout=60)
    assert not files_of(name).directory.exists()


def test_the_machines_own_network_is_as_it_was(cluster: Cluster) -> None:
    """With a lab standing: no link, route, rule or table of it outside its namespaces."""
    assert cluster.lab.complete
    assert not [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(("loom", "lxc"))]
    for argv in (["ip", "route"], ["ip", "-6", "route"], ["ip", "rule"], ["nft", "list", "tables"]):
        out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        assert "loom" not in out
        assert "10.244." not in out


def test_only_root_reads_what_a_lab_keeps(cluster: Cluster) -> None:
    """The API sockets give power over the data path."""
    assert cluster.lab.files.directory.stat().st_mode & 0o077 == 0
    assert cluster.lab.files.directory.parent == LABS_DIR


def test_the_underlay_is_no_shortcut(cluster: Cluster) -> None:
    """The router knows no way to pods: what reaches them came through the overlay."""
    outside: Place = cluster.outside
    assert "10.244." not in outside.run("ip", "route")
    assert lay_out(LabSpec(name=cluster.lab.files.name)).underlay_netns == outside.netns
