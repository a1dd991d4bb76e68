"""Policies given to a lab's cluster as people do, through ``netctl``, and obeyed by all its nodes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from netloom.lab.agents import wait_until
from support.cluster import WITHIN_S, Cluster

NODES = ("node1", "node2")


class Given:
    """Policies of the cluster, changed through ``netctl``; both nodes obey when a change returns."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._file = directory / "policies.yaml"

    def put(self, text: str, node: str = "node1") -> None:
        self._file.write_text(text)
        self._cluster.netctl(node, "policy", "import", "--wait", str(self._file))
        self.settle(node)

    def delete(self, *words: str, node: str = "node1") -> None:
        self._cluster.netctl(node, "policy", "delete", *words)
        self.settle(node)

    def settle(self, node: str) -> None:
        """Wait until the other node has heard of what one has, and enforces it."""
        wanted = self._objects(node)
        for other in NODES:
            assert wait_until(partial(self._has, other, wanted), WITHIN_S)
            self._cluster.netctl(other, "policy", "wait")

    def _has(self, node: str, wanted: list[Any]) -> bool:
        return self._objects(node) == wanted

    def _objects(self, node: str) -> list[Any]:
        view = self._cluster.lab.api(node, "/v1/policies?objects=true")
        return [row["object"] for row in view["policies"]]
