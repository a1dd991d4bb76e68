"""One packet at both its ends: ``/v1/policies/trace``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from netloom.agent import policy_views as views
from netloom.agent.judging import judged, said_in
from netloom.agent.policies import Policies
from netloom.agent.policy_questions import Sources, caveats, enforces, standing_view
from netloom.model.address import Family
from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId, Reserved
from netloom.model.labels import Label
from netloom.policy.explain import trace
from netloom.policy.l7_trace import RequestTrace, Said, is_about_requests, sides_of
from netloom.policy.questions import (
    Known,
    Party,
    Pod,
    Service,
    at_addresses,
    family_for,
    find_party,
    free_numbers,
    parsed_address,
    read_service,
)
from netloom.policy.repository import Repository
from netloom.policy.selection import is_reserved
from netloom.policy.snapshot import snapshot

MAX_TRACES: Final = 256
"""Packets of one question."""
_HOST: Final = IdentityId(Reserved.HOST)


@dataclass(frozen=True, slots=True)
class Named:
    """An end that was found elsewhere already: a pod of another node."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuestion:
    """Packets from one end to the other."""

    source: str | Named
    destination: str | Named
    services: tuple[str, ...]
    family: Family | None = None
    protocol: str = ""
    """Application protocol of ``data``; "" where nothing is said."""
    data: bytes = b""
    """What a client would say."""


class Traces:
    """Answers for one node."""

    def __init__(self, policies: Policies, sources: Sources) -> None:
        self._policies = policies
        self._sources = sources

    async def trace(self, asked: TraceQuestion) -> views.Json:
        """Packets at both their ends. Raises Invalid, or NotFound for an end or a name of ports that is not there."""
        known = self._known()
        sources, destinations = (self._parties(one, known) for one in (asked.source, asked.destination))
        new = free_numbers((*sources, *destinations), known.repository.identities())
        repository = known.repository
        if new:
            standing = snapshot(repository)
            repository = await asyncio.to_thread(
                standing.build, identities={number: one for one, number in new.items()}
            )
        said = said_in(self._policies.parsers, asked.protocol, asked.data) if asked.protocol else None
        pairs = [(_numbered(one, new), _numbered(other, new)) for one in sources for other in destinations]
        traces = [
            await self._traced(repository, _as_seen(one, other, known), service, asked.family, said)
            for one, other in pairs
            for text in asked.services
            for service in read_service(text, repository.names_of(other.identity))
        ]
        if not traces or len(traces) > MAX_TRACES:
            raise Invalid(
                f"{len(traces)} packets to ask about, expected 1 to {MAX_TRACES}: name ports, and smaller prefixes"
            )
        notes = dict.fromkeys(note for pair in pairs for party in pair for note in party.notes)
        return {**standing_view(self._policies), "notes": [*notes, *caveats(self._policies)], "traces": traces}

    def _known(self) -> Known:
        return Known(
            pods=tuple(
                Pod(
                    name=f"{one.pod_namespace}/{one.pod_name}".strip("/"),
                    number=one.id,
                    identity=one.identity,
                    addresses=tuple(one.addresses),
                )
                for one in self._sources.endpoints()
            ),
            gateways=self._sources.gateways(),
            identity_at=self._sources.identity_at,
            repository=self._policies.repository,
        )

    @staticmethod
    def _parties(asked: str | Named, known: Known) -> tuple[Party, ...]:
        if isinstance(asked, str):
            return find_party(asked, known)
        found = tuple(parsed_address(text) for text in asked.addresses)
        addresses = tuple(one for one in found if one is not None)
        if not addresses or len(addresses) != len(found):
            raise Invalid(
                f'"{asked.name[:60]}" has {", ".join(asked.addresses)[:200] or "nothing"}, expected IP addresses'
            )
        return (at_addresses(asked.name, addresses, known),)

    async def _traced(
        self,
        repository: Repository,
        parties: tuple[Party, Party],
        service: Service,
        wanted: Family | None,
        said: Said | None,
    ) -> views.Json:
        source, destination = parties
        family = family_for(service, (source, destination), wanted)
        ends = source.end(family), destination.end(family)
        found = trace(repository, *ends, service)
        requests: tuple[RequestTrace, ...] = ()
        if said is not None and is_about_requests(found, service):
            requests = await judged(sides_of(repository, *ends, service[1]), said)
        sides = {"egress": found.egress, "ingress": found.ingress}
        closed = [one.subject in self._policies.closed for one in sides.values() if one is not None]
        return {
            "source": self._party_view(repository, source, family),
            "destination": self._party_view(repository, destination, family),
            "protocol": views.protocol_name(service[0]),
            "port": service[1],
            **{
                name: views.side_view(
                    side, repository.table(side.subject).of(side.direction).isolation, self._policies.closed
                )
                if side
                else None
                for name, side in sides.items()
            },
            "verdict": str(found.verdict),
            "requests": [views.request_view(request) for request in requests],
            "passes": not enforces(self._policies)
            or (found.verdict.passes and not any(closed) and all(one.verdict != "denied" for one in requests)),
        }

    @staticmethod
    def _party_view(repository: Repository, party: Party, family: Family) -> views.Json:
        address = party.at(family)
        return {
            "name": party.name,
            "identity": int(party.identity),
            "exists": party.labels is None,
            "labels": sorted(map(str, repository.labels_of(party.identity) or ())),
            "address": None if address is None else str(address),
        }


def _numbered(party: Party, new: Mapping[frozenset[Label], IdentityId]) -> Party:
    """With the number of an identity made for the question."""
    return party if party.labels is None else replace(party, identity=new[party.labels])


def _as_seen(source: Party, destination: Party, known: Known) -> tuple[Party, Party]:
    """This node is the host to its own pods alone; to those of other nodes it is a remote node, and they judge."""
    if source.identity == _HOST and _is_elsewhere(destination, known):
        return _remote(source), destination
    if destination.identity == _HOST and _is_elsewhere(source, known):
        return source, _remote(destination)
    return source, destination


def _is_elsewhere(party: Party, known: Known) -> bool:
    own = {address for pod in known.pods for address in pod.addresses}
    labels = known.repository.labels_of(party.identity)
    return bool(party.addresses) and labels is not None and not is_reserved(labels) and own.isdisjoint(party.addresses)


def _remote(host: Party) -> Party:
    return replace(
        host, name=f"{host.name} (a remote node to the other end)", identity=IdentityId(Reserved.REMOTE_NODE)
    )
