"""Asking a lab's agents for flows, as people do."""

from __future__ import annotations

import json
from typing import Any

from netloom.lab.agents import wait_until
from support.cluster import WITHIN_S, Cluster, PodView


def observed(cluster: Cluster, node: str, *options: str) -> list[dict[str, Any]]:
    """What ``netctl observe`` prints of a node."""
    out = cluster.netctl(node, "observe", "--all", "-o", "json", *options)
    return [json.loads(line) for line in out.splitlines()]


def the_last(cluster: Cluster, node: str, *options: str) -> dict[str, Any]:
    """The newest flow that fits, as soon as there is one."""
    assert wait_until(lambda: bool(observed(cluster, node, *options)), WITHIN_S)
    return observed(cluster, node, *options)[-1]


def between(source: PodView, destination: PodView, *options: str) -> tuple[str, ...]:
    """Options that choose flows of two pods."""
    return ("--from-pod", f"default/{source.name}", "--to-pod", f"default/{destination.name}", *options)
