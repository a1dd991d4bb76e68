"""Policies given and taken by people: files in, names out. One change at a time, each whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from netloom.agent.policies import Policies
from netloom.model.errors import ConfigError, Invalid, Problem
from netloom.model.policy import Policy, PolicyName
from netloom.policy.clashes import clashes
from netloom.policy.explain import Advice, advice
from netloom.policy.fields import PolicyWarning, Protocols
from netloom.policy.names import find_policies
from netloom.policy.read import Import
from netloom.policy.snapshot import Snapshot, snapshot


class Change(StrEnum):
    """What an import does to a policy."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class File:
    """One file of an import."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What files hold."""

    policies: tuple[Policy, ...]
    warnings: tuple[PolicyWarning, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did, or would do."""

    changes: tuple[tuple[Policy, Change], ...]
    warnings: tuple[PolicyWarning, ...]
    advice: tuple[Advice, ...]
    revision: int


def read_files(files: Sequence[File], protocols: Protocols) -> Found:
    """Read all as one import. Raises ConfigError with every problem of every file."""
    together = Import(protocols)
    problems: list[Problem] = []
    policies: list[Policy] = []
    warnings: list[PolicyWarning] = []
    for file in files:
        try:
            found = together.read(file.text, file.name)
        except ConfigError as error:
            problems += error.problems
            continue
        policies += found.policies
        warnings += found.warnings
    if problems:
        raise ConfigError(tuple(dict.fromkeys(problems)))
    return Found(policies=tuple(policies), warnings=tuple(warnings))


async def read_aside(files: Sequence[File], protocols: Protocols) -> Found:
    """The same, while the agent goes on."""
    return await asyncio.to_thread(read_files, files, protocols)


class PolicyChanges:
    """Changes asked of this node. Those of two callers do not mix; other nodes' may come in between."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._lock = asyncio.Lock()

    async def take(self, files: Sequence[File], *, dry_run: bool) -> Imported:
        """Import files. Raises ConfigError before anything is done, Invalid when they hold nothing, or StoreError."""
        found = await read_aside(files, self._policies.protocols)
        if not found.policies:
            raise Invalid(f"nothing to import: {_listed(files)} no policy")
        async with self._lock:
            self._refuse_clashes(found.policies)
            changes = tuple((policy, self._change(policy)) for policy in found.policies)
            if dry_run:
                more = tuple(map(self._policies.as_enforced, found.policies))
                revision = self._policies.revision
            else:
                more, revision = (), await self._policies.put(found.policies)
            standing = snapshot(self._policies.repository)
        said = await asyncio.to_thread(_advice, standing, more, frozenset(policy.name for policy in found.policies))
        return Imported(changes=changes, warnings=found.warnings, advice=said, revision=revision)

    async def drop(self, names: Sequence[str], *, everything: bool) -> tuple[tuple[PolicyName, ...], int]:
        """Delete by name, or all; returns what was deleted and the revision.

        Raises NotFound or Invalid before anything is done, or StoreError.
        """
        if bool(names) == everything:
            raise Invalid("name the policies to delete, or ask for all of them")
        async with self._lock:
            known = [policy.name for policy in self._policies.repository.policies]
            meant = tuple(known) if everything else find_policies(names, known)
            revision = await self._policies.delete(meant) if meant else self._policies.revision
        return meant, revision

    def _refuse_clashes(self, new: Sequence[Policy]) -> None:
        """Raises ConfigError."""
        asking, names = [policy for policy in new if policy.asks], {policy.name for policy in new}
        if not asking:
            return
        repository = self._policies.repository
        standing = [policy for policy in repository.policies if policy.asks and policy.name not in names]
        labels = {repository.labels_of(number) or frozenset() for number in repository.identities()}
        if problems := tuple(clashes(asking, standing, labels)):
            raise ConfigError(problems)

    def _change(self, policy: Policy) -> Change:
        standing = self._policies.repository.policy(policy.name)
        if standing is None:
            return Change.CREATED
        return Change.UNCHANGED if standing.document == policy.document else Change.CHANGED


def _advice(standing: Snapshot, more: Sequence[Policy], names: frozenset[PolicyName]) -> tuple[Advice, ...]:
    return advice(standing.build(more=more), names)


def _listed(files: Sequence[File]) -> str:
    if not files:
        return "no file was given, so there is"
    return f"{', '.join(file.name for file in files[:10])} {'hold' if len(files) > 1 else 'holds'}"
