"""Policies given to a lab's cluster through its store, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from netloom.agent.policies import key_of
from netloom.datapath.enforcement import SubjectFlag
from netloom.lab.agents import wait_until
from netloom.model.identity import IdentityId
from netloom.model.labels import label_set
from netloom.model.policy import Policy
from netloom.policy.read import read_policies
from netloom.policy.repository import Repository
from netloom.policy.table import Direction
from support.cluster import WITHIN_S, Cluster
from support.stores import opened


@contextmanager
def enforced(cluster: Cluster, text: str) -> Iterator[None]:
    """While the block runs, all nodes enforce the policies of a file, and no others."""
    policies = read_policies(text, "policies.yaml").policies
    asyncio.run(_store(cluster, policies, remove=False))
    try:
        assert wait_until(lambda: is_enforced(cluster, policies), WITHIN_S)
        yield
    finally:
        asyncio.run(_store(cluster, policies, remove=True))
        assert wait_until(lambda: is_enforced(cluster, ()), WITHIN_S)


async def _store(cluster: Cluster, policies: Iterable[Policy], *, remove: bool) -> None:
    async with opened(cluster.lab.files.store) as store:
        for policy in policies:
            if remove:
                await store.delete(key_of(policy.name))
            else:
                await store.put(key_of(policy.name), policy.document.encode())


def is_enforced(cluster: Cluster, policies: Iterable[Policy]) -> bool:
    """Whether the kernel isolates each pod as these policies say: a table is written before its subject's entry."""
    repository = Repository()
    for node in cluster.lab.topology.nodes:
        known = cluster.lab.api(node.name, "/v1/identities")
        repository.add_identities(
            {IdentityId(one["id"]): label_set(one["labels"]) for one in known if one["id"] >= 256}
        )
    repository.upsert(*policies)
    return all(_is_written(cluster, node.name, repository) for node in cluster.lab.topology.nodes)


def _is_written(cluster: Cluster, node: str, repository: Repository) -> bool:
    entries = cluster.lab.api(node, "/v1/maps/subjects")["entries"]
    found: dict[int, dict[str, Any]] = {entry["key"]["identity"]: entry["value"] for entry in entries}
    for endpoint in cluster.lab.api(node, "/v1/endpoints"):
        table = repository.table(IdentityId(endpoint["identity"]))
        subject = found.get(endpoint["identity"])
        wanted = (bool(table.ingress.isolating), bool(table.egress.isolating), any(True for _ in table.entries()))
        if subject is None or wanted != (
            bool(subject[Direction.INGRESS.name.lower()]),
            bool(subject[Direction.EGRESS.name.lower()]),
            bool(subject["flags"] & SubjectFlag.HAS_TABLE),
        ):
            return False
    return True
