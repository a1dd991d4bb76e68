"""A walk beside the real packet: asked for, sent, captured on every device, and compared."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netloom.cli.errors import EXIT_DROPPED
from netloom.datapath.headers import header_fields
from netloom.lab.inside import program
from netloom.model.address import Address
from support.cluster import WITHIN_S, Cluster, Place, PodView
from support.given import NODES
from support.sightings import Seen, Sighting, watching

VXLAN_PORT = 8472
PATTERN = bytes.fromhex("a11ce0ddba11f00d")
"""In the payload of the real packet, and in whatever quotes it."""
REPLIES = {0, 129}
"""ICMP types of what the receiver answers, which is another packet's way."""
FREE = {"outer.source_port", "protocol"}
"""The kernel chooses the one by the flow; the other says icmp of both."""
JUMBO_MTU = 9000


View = dict[str, Any]


def netctl_walk(cluster: Cluster, node: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """``netctl walk -o json``, however it ends."""
    command = [str(program("netctl")), "--socket", str(cluster.lab.files.socket(node)), "walk", *argv, "-o", "json"]
    return cluster.node(node).attempt(*command)


def walk(cluster: Cluster, node: str, *argv: str) -> View:
    """What it prints; its exit status says whether the packet was dropped, or the request denied."""
    done = netctl_walk(cluster, node, *argv)
    assert done.returncode in (0, EXIT_DROPPED), done.stderr
    found: View = json.loads(done.stdout)
    assert (done.returncode == EXIT_DROPPED) == (found["outcome"]["fate"] in ("dropped", "denied"))
    return found


def captured_hops(cluster: Cluster, walked: View, first: View | None = None) -> list[Sighting]:
    """Where the walk says that captures see the packet, and the frame they see; ``first`` is what comes to it."""
    found = []
    for before, hop in zip([first, *walked["hops"]], walked["hops"], strict=False):
        # A capture sees what comes to an ingress hook, and what leaves an egress hook.
        wraps = hop["place"] == "device" and hop["device"] == "loom_vxlan"
        shown = before if before and (hop["direction"] == "ingress" or wraps) else hop
        if hop["captured"]:
            found.append((Seen(place_of(cluster, hop), hop["device"], hop["direction"]), bytes.fromhex(shown["frame"])))
    return found


def place_of(cluster: Cluster, hop: View) -> str:
    """Name of the namespace a hop's device is in."""
    if hop["place"] != "pod":
        return str(hop["node"])
    return next(p.name for p in pods(cluster) if (p.node, p.endpoint_id) == (hop["node"], hop["endpoint_id"]))


def pods(cluster: Cluster) -> list[PodView]:
    return [cluster.pod(pod.name) for pod in cluster.lab.topology.pods]


def places(cluster: Cluster) -> list[Place]:
    """Both nodes and every pod."""
    return [*map(cluster.node, NODES), *pods(cluster)]


def is_sent(frame: bytes) -> bool:
    """Whether a frame is the packet that was sent, or quotes it: not the receiver's reply."""
    fields = header_fields(frame, VXLAN_PORT)
    return PATTERN in frame and int(fields.get("icmp", "0/0").partition("/")[0] or 0) not in REPLIES | {-1}


def comparable(frame: bytes) -> dict[str, str]:
    return {name: value for name, value in header_fields(frame, VXLAN_PORT).items() if name not in FREE}


def ping(sender: Place, target: Address, *options: str, patience_s: float = 0.3) -> str:
    """One echo request with the pattern, whatever becomes of it; what ping says."""
    done = sender.attempt("ping", "-n", "-c", "1", "-W", str(patience_s), "-p", PATTERN.hex(), *options, str(target))
    return done.stdout + done.stderr


def answered(cluster: Cluster, sender: Place, target: Address, *options: str) -> list[Sighting]:
    """Where one echo request was seen, which must be answered.

    One that is not is told with every frame that was seen, and with what programs and stacks counted.
    """
    before = _counted(cluster)
    with watching(places(cluster), lambda _: True) as seen:
        said = ping(sender, target, *options, patience_s=WITHIN_S)
    if "1 received" not in said:
        counted = {name: Counter(found) - Counter(before[name]) for name, found in _counted(cluster).items()}
        frames = [f"{where}: {len(frame)} bytes, {header_fields(frame, VXLAN_PORT)}" for where, frame in seen]
        raise AssertionError("\n".join([said, *frames, str(counted)]))
    return [(where, frame) for where, frame in seen if is_sent(frame)]


def _counted(cluster: Cluster) -> dict[str, dict[str, int]]:
    """Packets by reason at each node, and what the stacks of nodes and pods say of IPv6."""
    stacks = {place.name: place.run("cat", "/proc/net/snmp6").split() for place in places(cluster)}
    return {f"programs of {node}": cluster.drops(node) for node in NODES} | {
        f"stack of {name}": dict(zip(words[::2], map(int, words[1::2]), strict=True)) for name, words in stacks.items()
    }


def compare(cluster: Cluster, walked: View, seen: list[Sighting], arriving: bytes = b"") -> None:
    """The same devices, and at each the same headers; a walk that starts on the wire starts with ``arriving``."""
    expected = captured_hops(cluster, walked, {"frame": arriving.hex()} if arriving else None)
    assert sorted(where for where, _ in seen) == sorted(where for where, _ in expected)
    real = {where: comparable(frame) for where, frame in seen}
    assert real == {where: comparable(frame) for where, frame in expected}


@contextmanager
def jumbo(pod: PodView) -> Iterator[None]:
    """A workload that has raised its own MTU, and knows of no smaller one on the way."""
    # What was learnt on the way to somebody holds for ten minutes, whoever learnt it.
    forget_path_mtus(pod)
    mtu = json.loads(pod.run("ip", "-j", "link", "show", "eth0"))[0]["mtu"]
    pod.run("ip", "link", "set", "eth0", "mtu", str(JUMBO_MTU))
    try:
        yield
    finally:
        pod.run("ip", "link", "set", "eth0", "mtu", str(mtu))
        forget_path_mtus(pod)


def forget_path_mtus(pod: PodView) -> None:
    """Those that its stack was told by others."""
    for family in ("-4", "-6"):
        pod.run("ip", family, "route", "flush", "cache")
