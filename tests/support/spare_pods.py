"""Pods that live for one test, beside those a lab came up with."""

from __future__ import annotations

from itertools import count
from typing import Any

from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab.inside import ip_batch
from netloom.lab.topology import LabPod
from support.cluster import Cluster, PodView, pod_view
from support.leaks import MARK

_numbers = count(1)


class SparePods:
    """Pods made for one test, beside those the lab has."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._made: list[LabPod] = []

    def make(self, node: str = "node1") -> LabPod:
        """An empty namespace, not attached yet."""
        name = f"{MARK}-spare{next(_numbers)}"
        create_named_netns(name)
        ip_batch(name, ["link set lo up"])
        self._made.append(LabPod(name=name, netns=name, node=node, container_id=name))
        return self._made[-1]

    def attached(self, node: str = "node1", **runtime_config: Any) -> PodView:
        """A pod that all nodes know; ``runtime_config``: what its runtime asks for besides."""
        pod = self.make(node)
        self._cluster.lab.attach(pod, runtime_config)
        self._cluster.lab.wait_converged()
        return pod_view(self._cluster.lab.endpoints()[pod.name], pod.netns, node)

    def close(self) -> None:
        """Detach and remove all."""
        for pod in self._made:
            self._cluster.lab.detach(pod)
            delete_named_netns(pod.netns)
