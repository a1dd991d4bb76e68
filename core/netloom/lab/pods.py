"""The runtime's part: pods are attached and detached through the CNI program, as Kubernetes would."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from netloom.lab.inside import netns_path, program, run_in
from netloom.lab.topology import LabFiles, LabPod, Topology
from netloom.model.errors import NetloomError

IFNAME = "eth0"
CNI_VERSION = "1.1.0"


class CniCallError(NetloomError):
    """The CNI program answered with an error."""

    def __init__(self, command: str, pod: str, answer: Mapping[str, Any]) -> None:
        details = f" ({answer['details']})" if answer.get("details") else ""
        super().__init__(f"CNI {command} of {pod}: {answer.get('msg', 'no message')}{details}")
        self.code = int(answer.get("code", 0))


def attach(topology: Topology, pod: LabPod, runtime_config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """CNI ADD, with ``runtimeConfig`` or without; returns its result."""
    return _cni("ADD", topology, pod, {"runtimeConfig": runtime_config} if runtime_config else {})


def detach(topology: Topology, pod: LabPod) -> None:
    """CNI DEL."""
    _cni("DEL", topology, pod, {})


def network_config(files: LabFiles, pod: LabPod) -> dict[str, Any]:
    """What a runtime gives the CNI program on standard input."""
    return {
        "cniVersion": CNI_VERSION,
        "name": "netloom",
        "type": "netloom-cni",
        "socket": str(files.socket(pod.node)),
        "args": {"cni": _described(pod)},
    }


def _described(pod: LabPod) -> dict[str, Any]:
    """What is known of a pod besides its name."""
    labels = pod.labels or (("app", pod.name),)
    described: dict[str, Any] = {"labels": [{"key": key, "value": value} for key, value in labels]}
    if pod.ports:
        described["ports"] = [
            {"name": port.name, "protocol": str(port.protocol), "containerPort": port.port} for port in pod.ports
        ]
    return described


def environment(command: str, pod: LabPod) -> dict[str, str]:
    """What a runtime says in environment variables."""
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": pod.container_id,
        "CNI_NETNS": str(netns_path(pod.netns)),
        "CNI_IFNAME": IFNAME,
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name}",
        "CNI_PATH": str(program("netloom-cni").parent),
    }


def _cni(command: str, topology: Topology, pod: LabPod, more: Mapping[str, Any]) -> dict[str, Any]:
    done = run_in(
        topology.node(pod.node).netns,
        [str(program("netloom-cni"))],
        stdin=json.dumps({**network_config(topology.files, pod), **more}),
        environment={**os.environ, **environment(command, pod)},
    )
    answer = _decoded(done.stdout)
    if done.returncode != 0:
        raise CniCallError(command, pod.name, answer or {"msg": done.stderr.strip() or "it wrote nothing"})
    return answer


def _decoded(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text) if text.strip() else {}
    except ValueError:
        answer = {"msg": text.strip()}
    return answer if isinstance(answer, dict) else {"msg": text.strip()}
