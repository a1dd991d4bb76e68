"""A lab where requests are judged: who asks whom, by what policies, and the proxies that judge."""

from __future__ import annotations

import json
import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from netloom.lab.inside import program
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from support.cluster import WITHIN_S, Cluster
from support.given import Given
from support.requests import Talk

BOTH = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
SERVER, NEAR, FAR, NOBODY = "busybox1", "busybox2", "busybox3", "busybox4"
"""The service; a client on its node, one on the other node, and one there that may not come at all."""
RECEIVER = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: receiver}
spec:
  endpointSelector: {matchLabels: {app: busybox1}}
  ingress:
  - fromEndpoints: [{matchExpressions: [{key: app, operator: In, values: [busybox2, busybox3]}]}]
    toPorts: &reading
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET, path: "/jobs(/[0-9]+)?"}]}
  - fromEntities: [world]
    toPorts: *reading
"""
SENDER = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: sender}
spec:
  endpointSelector: {matchExpressions: [{key: app, operator: In, values: [busybox2, busybox3]}]}
  egress:
  - toEndpoints: [{matchLabels: {app: busybox1}}]
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET, path: "/(jobs/.*|healthz)"}, {method: POST, path: /jobs}]}
"""
WIDER = RECEIVER.replace("method: GET, path", "method: GET|POST, path")
NATIVE_RECEIVER, NATIVE_SENDER = (text.replace("[busybox2, busybox3]", "[busybox2]") for text in (RECEIVER, SENDER))
UNASKED = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: unasked}
spec:
  endpointSelector: {matchLabels: {app: busybox1}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: busybox2}}]
  ingressDeny:
  - toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: DELETE}]}
"""
AWAY = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: away}
spec:
  endpointSelector: {matchExpressions: [{key: app, operator: In, values: [busybox2, busybox3]}]}
  egress:
  - toEntities: [world, host, remote-node]
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET}]}
"""
NODES = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: nodes}
spec:
  endpointSelector: {matchLabels: {app: busybox1}}
  ingress:
  - fromEntities: [remote-node]
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET}]}
"""
VISIBLE = {"io.kubernetes.cri.pod-annotations": {"policy.cilium.io/proxy-visibility": "<Egress/80/TCP/HTTP>"}}


class Standing(Given):
    """Policies of the module's lab: a test that asks for those of the last one finds them there."""

    _text: str | None = None
    """Which stand; None: nobody knows."""

    def only(self, text: str) -> None:
        """These and no others."""
        if text == self._text:
            return
        if self._text != "":
            self.delete("--all")
        if text:
            self.put(text)
        self._text = text

    def put(self, text: str, node: str = "node1") -> None:
        """Each in the place of the one of its name."""
        self._text = None
        super().put(text, node)


def netctl(lab: Cluster, node: str) -> tuple[str, ...]:
    return (str(program("netctl")), "--socket", str(lab.lab.files.socket(node)))


def status(lab: Cluster, node: str = "node1") -> dict[str, Any]:
    """What ``netctl status`` tells of a node's proxy."""
    found: dict[str, Any] = json.loads(lab.netctl(node, "status", "-o", "json"))["proxy"]
    return found


def kill(pid: int) -> None:
    """End a proxy, and wait until all that it had is closed."""
    fd = os.pidfd_open(pid)
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    assert select.select([fd], [], [], WITHIN_S)[0]
    os.close(fd)


def proxies(lab: Cluster) -> list[int]:
    """All that run by configs of the lab."""
    wanted = f"netloom.proxy.main\0--config\0{lab.lab.files.directory}/".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if wanted in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def talk(lab: Cluster, client: str, version: int) -> Talk:
    """A connection to the service."""
    server = lab.pod(SERVER).address(version)
    if client == "world":
        return Talk(lab.outside, server, OUTSIDE_V4 if version == 4 else OUTSIDE_V6)
    return Talk(lab.pod(client), server)


def tell_ways_to_pods(cluster: Cluster) -> None:
    """To the world."""
    for node in cluster.lab.topology.nodes:
        cluster.outside.run("ip", "route", "add", str(node.pod_cidr_v4), "via", str(node.ipv4.ip))
        cluster.outside.run("ip", "route", "add", str(node.pod_cidr_v6), "via", str(node.ipv6.ip))
