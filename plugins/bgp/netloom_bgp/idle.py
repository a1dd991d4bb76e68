"""Answers of a node without peers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from netloom.model.errors import NotFound
from netloom.plugins import Query
from netloom_bgp.listing import PARAMETERS, asked
from netloom_bgp.model import SpeakerView


def queries(local_as: int | None) -> tuple[Query, ...]:
    """The same questions as with peers."""

    def peers(parameters: Mapping[str, str]) -> dict[str, Any]:
        _refuse(parameters)
        speaker = asdict(SpeakerView(state="down", own=True, error="no peers configured"))
        return {"router_id": "", "local_as": local_as, "speaker": speaker, "peers": []}

    def routes(parameters: Mapping[str, str]) -> dict[str, Any]:
        _refuse(parameters)
        return {"view": asked(parameters).view, "routes": [], "total": 0, "next": ""}

    return (
        Query(name="peers", summary="Peers and their sessions.", answer=peers, parameters=("peer",)),
        Query(name="routes", summary="Routes.", answer=routes, parameters=PARAMETERS),
        Query(name="events", summary="What happened last.", answer=lambda _: {"events": []}),
    )


def _refuse(parameters: Mapping[str, str]) -> None:
    if peer := parameters.get("peer"):
        raise NotFound(f'no peer has the address "{peer}"; none is configured: see plugins.bgp.peers')
