"""What stands, taken at one moment, from which repositories are built that are somebody's question alone.

A question such as "what if" needs policies, or identities, that do not stand. It gets a repository of its own: the one
that answers for the kernel is never changed for a question.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from netloom.model.address import Network
from netloom.model.identity import IdentityId
from netloom.model.labels import Labels
from netloom.model.policy import Policy, PolicyName
from netloom.model.visibility import Visibility
from netloom.policy.ports import NamedPorts
from netloom.policy.repository import Repository
from netloom.policy.selection import is_reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that tables are a function of. Values that nobody changes: safe to hand to another thread."""

    policies: tuple[Policy, ...]
    identities: Mapping[IdentityId, Labels]
    """Without reserved ones."""
    names: Mapping[IdentityId, NamedPorts]
    visible: Mapping[IdentityId, frozenset[Visibility]]
    allow_host: bool
    isolate_all: bool
    prefixes: Mapping[Network, int]

    def build(
        self,
        *,
        more: Sequence[Policy] = (),
        without: Collection[PolicyName] = (),
        identities: Mapping[IdentityId, Labels] | None = None,
    ) -> Repository:
        """A repository of what stands, without some policies, and with more, in place of those of their names."""
        made = Repository(allow_host=self.allow_host, isolate_all=self.isolate_all, prefixes=self.prefixes)
        made.add_identities({**self.identities, **(identities or {})})
        for identity, names in self.names.items():
            made.set_named_ports(identity, names)
        for identity, visible in self.visible.items():
            made.set_visible(identity, visible)
        made.upsert(*(one for one in self.policies if one.name not in without), *more)
        return made


def snapshot(repository: Repository) -> Snapshot:
    """Take one. Cost: some steps for each identity."""
    labels = {number: repository.labels_of(number) or frozenset() for number in repository.identities()}
    names = {number: found for number in labels if (found := repository.names_of(number))}
    return Snapshot(
        policies=repository.policies,
        identities={number: found for number, found in labels.items() if not is_reserved(found)},
        names=names,
        visible=repository.visible,
        allow_host=repository.allows_host,
        isolate_all=repository.isolates_all,
        prefixes={network: number for network, number in repository.prefixes().items() if number},
    )
