"""Imports and deletions of several callers, with a store that takes its time over each policy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from netloom.agent.policies import Policies
from netloom.agent.policy_changes import Change, File, PolicyChanges
from netloom.model.errors import ConfigError, Invalid, NotFound
from netloom.model.policy import Policy, PolicyName
from netloom.policy.fields import Protocols
from netloom.policy.repository import Repository
from support.policies import written

SPECS = ("endpointSelector: {}\ningress: [{}]\n", "endpointSelector: {}\negress: [{}]\n")


class Slowly:
    """As ``Policies`` with a store that cannot write several at once."""

    def __init__(self) -> None:
        self.repository = Repository()
        self.protocols: Protocols = {}
        self.order: list[str] = []
        self.begun = asyncio.Event()

    @property
    def revision(self) -> int:
        return self.repository.revision

    async def put(self, policies: Sequence[Policy]) -> int:
        for policy in policies:
            await asyncio.sleep(0)
            self.begun.set()
            self.order.append(policy.document)
            self.repository.upsert(policy)
        return self.revision

    async def delete(self, names: Sequence[PolicyName]) -> int:
        for name in names:
            await asyncio.sleep(0)
            self.repository.remove(name)
        return self.revision

    def as_enforced(self, policy: Policy) -> Policy:
        return policy


def files(spec: str) -> list[File]:
    return [File(f"{name}.yaml", written(spec).replace("name: p", f"name: {name}")) for name in "abc"]


async def test_imports_at_once_come_one_after_another() -> None:
    policies = Slowly()
    changes = PolicyChanges(cast("Policies", policies))
    done = await asyncio.gather(*(changes.take(files(spec), dry_run=False) for spec in SPECS))
    assert ["ingress" in document for document in policies.order] in (
        [True] * 3 + [False] * 3,
        [False] * 3 + [True] * 3,
    )
    kinds = [{change for _, change in one.changes} for one in done]
    assert kinds in ([{Change.CREATED}, {Change.CHANGED}], [{Change.CHANGED}, {Change.CREATED}])


async def test_a_deletion_waits_for_an_import_and_finds_what_it_left() -> None:
    policies = Slowly()
    changes = PolicyChanges(cast("Policies", policies))
    importing = asyncio.create_task(changes.take(files(SPECS[0]), dry_run=False))
    await policies.begun.wait()
    gone, _ = await changes.drop(["c"], everything=False)
    await importing
    assert ([name.name for name in gone], [one.name.name for one in policies.repository.policies]) == (
        ["c"],
        ["a", "b"],
    )


async def test_names_are_checked_before_anything_is_deleted() -> None:
    policies = Slowly()
    changes = PolicyChanges(cast("Policies", policies))
    await changes.take(files(SPECS[0]), dry_run=False)
    with pytest.raises(NotFound, match='policy "z" does not exist'):
        await changes.drop(["a", "z"], everything=False)
    with pytest.raises(Invalid, match="name the policies to delete"):
        await changes.drop([], everything=False)
    assert len(policies.repository.policies) == 3


RULES = "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {l7proto: %s}}]}]\n"


async def test_two_protocols_at_one_port_are_refused_beside_what_stands() -> None:
    policies = Slowly()
    policies.protocols = {"http": lambda _: None, "memcached": lambda _: None}
    changes = PolicyChanges(cast("Policies", policies))
    await changes.take(files(RULES % "http")[:1], dry_run=False)
    with pytest.raises(ConfigError, match=r"b.yaml:7: .*found memcached, where CiliumNetworkPolicy/default/a has http"):
        await changes.take(files(RULES % "memcached")[1:], dry_run=False)
    await changes.take(files(RULES % "memcached")[:1], dry_run=False)
