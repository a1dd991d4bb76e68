"""Questions about everybody: who reaches whom, and what would be by other policies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from netloom.agent import policy_views as views
from netloom.agent.comparison_views import flow_view, replay_view
from netloom.agent.policies import Policies
from netloom.agent.policy_changes import File, read_aside
from netloom.agent.policy_questions import Sources, caveats, standing_view
from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId, Reserved
from netloom.model.labels import Label
from netloom.policy.census import Population, census, namespace_of
from netloom.policy.matrix import matrix
from netloom.policy.names import find_policies
from netloom.policy.replay import Replay, replay
from netloom.policy.selection import is_reserved
from netloom.policy.snapshot import snapshot
from netloom.policy.whatif import CellChange, Comparison, what_if

MAX_ENDS: Final = 250
"""Of a matrix: more are neither read nor drawn, and would take the agent's time."""
MAX_SHOWN: Final = 1000
"""Changes of each sort that an answer lists; all are counted."""
_INIT: Final = IdentityId(Reserved.INIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whom a question about everybody is about: all, unless it is narrowed."""

    namespaces: frozenset[str] = frozenset()
    labels: frozenset[Label] = frozenset()
    """Which all must be there."""
    unused: bool = False
    """Whether identities count that no endpoint is known of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """What became of a question about other policies."""

    found: Comparison
    requests: Replay
    too_many: int
    """Ends, where these are too many to compare who reaches whom; else 0."""
    counts: dict[str, int]
    """Flows of each source."""


class Everybody:
    """Answers for one node, of the whole cluster as it knows it."""

    def __init__(self, policies: Policies, sources: Sources) -> None:
        self._policies = policies
        self._sources = sources

    async def what_if(self, files: Sequence[File], delete: Sequence[str]) -> views.Json:
        """Other policies in the place of those that stand. Raises ConfigError, NotFound or Invalid; changes nothing."""
        found = await read_aside(files, self._policies.protocols)
        standing = snapshot(self._policies.repository)
        without = find_policies(delete, (policy.name for policy in standing.policies))
        if not found.policies and not without:
            raise Invalid("nothing would be another: the files hold no policy, and none is to be deleted")
        population = self._population(Whom())
        more = tuple(map(self._policies.as_enforced, found.policies))

        def compare() -> _Compared:
            flows = {source.name: dict.fromkeys(source.read()) for source in self._sources.seen}
            before, after = standing.build(), standing.build(more=more, without=without)
            everybody = census(population, (before, after))
            too_many = len(everybody) > MAX_ENDS
            seen = dict.fromkeys(flow for found in flows.values() for flow in found)
            return _Compared(
                found=what_if(before, after, seen, () if too_many else everybody),
                requests=replay(before, after, self._sources.requests(), self._policies.parsers),
                too_many=len(everybody) if too_many else 0,
                counts={name: len(found) for name, found in flows.items()},
            )

        return self._comparison_view(await asyncio.to_thread(compare))

    def _comparison_view(self, compared: _Compared) -> views.Json:
        found, many = compared.found, compared.too_many
        notes = [f"{many} ends are too many to compare who reaches whom, at most {MAX_ENDS} are"] if many else []
        return {
            **standing_view(self._policies),
            "notes": [*notes, *caveats(self._policies)],
            "replayed": {
                "flows": found.replayed,
                "sources": compared.counts,
                "requests": compared.requests.replayed,
                "untold": dict(compared.requests.untold),
            },
            "flows": [flow_view(change) for change in found.flows[:MAX_SHOWN]],
            "flow_changes": len(found.flows),
            "replays": [replay_view(change) for change in compared.requests.changes[:MAX_SHOWN]],
            "replay_changes": len(compared.requests.changes),
            "cells": [self._cell_view(one) for one in found.cells[:MAX_SHOWN]],
            "cell_changes": len(found.cells),
            "requests": [
                {"identity": int(one.identity), "gone": list(one.gone), "new": list(one.new)}
                for one in found.requests[:MAX_SHOWN]
            ],
            "request_changes": len(found.requests),
            "changes": bool(found or compared.requests.changes),
        }

    def _cell_view(self, changed: CellChange) -> views.Json:
        return {
            "source": views.inhabitant_view(changed.source, self._pods(changed.source.end.identity)),
            "destination": views.inhabitant_view(changed.destination, self._pods(changed.destination.end.identity)),
            "opened": views.reaches_view(changed.change.opened),
            "closed": views.reaches_view(changed.change.closed),
            "audited": views.reaches_view(changed.change.audited),
            "redirected": views.reaches_view(changed.change.redirected),
        }

    async def matrix(self, whom: Whom) -> views.Json:
        """Who reaches whom. Raises Invalid when these are too many."""
        standing, population = snapshot(self._policies.repository), self._population(whom)
        if len(population.identities) > MAX_ENDS:
            raise Invalid(
                f"{len(population.identities)} identities are too many for a matrix, at most {MAX_ENDS} are: narrow it "
                "by namespace or label"
            )

        def work_out() -> views.Json:
            repository = standing.build()
            everybody = census(population, (repository,))
            if len(everybody) > MAX_ENDS:
                raise Invalid(f"{len(everybody)} ends are too many for a matrix, at most {MAX_ENDS} are: narrow it")
            place = {one.end: number for number, one in enumerate(everybody)}
            cells = [
                {"source": source, "destination": destination, "reach": views.reaches_view(cell.reach)}
                for cell in matrix(repository, [one.end for one in everybody])
                for source, destination in ((place[cell.source], place[cell.destination]),)
                if everybody[source].judged or everybody[destination].judged
            ]
            return {"ends": [(one, one.end.identity) for one in everybody], "cells": cells}

        found = await asyncio.to_thread(work_out)
        ends = [views.inhabitant_view(one, self._pods(identity)) for one, identity in found["ends"]]
        return {
            **standing_view(self._policies),
            "notes": caveats(self._policies),
            "ends": ends,
            "cells": found["cells"],
        }

    def _population(self, whom: Whom) -> Population:
        repository, addresses = self._policies.repository, self._sources.addresses()
        found = []
        for number in repository.identities():
            labels = repository.labels_of(number) or frozenset()
            if (is_reserved(labels) or not (whom.unused or number in addresses)) and not (
                number == _INIT and number in addresses
            ):
                continue
            if whom.labels <= labels and (not whom.namespaces or namespace_of(labels) in whom.namespaces):
                found.append(number)
        return Population(identities=tuple(found), addresses=addresses)

    def _pods(self, identity: IdentityId) -> list[str]:
        return [
            f"{one.pod_namespace}/{one.pod_name}"
            for one in self._sources.endpoints()
            if one.identity == identity and one.pod_name
        ]
