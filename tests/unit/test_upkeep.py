"""Upkeep: every step is tried, and none before the cluster is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from netloom.agent.repairs import Repair, RepairJournal
from netloom.agent.upkeep import Upkeep
from netloom.model.errors import Exhausted, StoreError, Unsupported


@dataclass
class Steps:
    """Stands for every part of the agent that upkeep calls, and writes down what was called."""

    called: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    in_sync: asyncio.Event = field(default_factory=asyncio.Event)
    journal: RepairJournal = field(default_factory=RepairJournal)

    async def _step(self, name: str) -> None:
        self.called.append(name)
        if name in self.failing:
            raise self.failing[name]

    unmasqueraded: tuple[Any, ...] = ()

    async def ensure_firewall(self, others: tuple[Any, ...]) -> list[Repair]:
        del others
        await self._step("firewall")
        return [Repair(kind="firewall", name="table", action="put in place")]

    async def refresh(self) -> None:
        await self._step("routers")

    async def apply(self) -> None:
        await self._step("apply")


def upkeep_of(steps: Steps) -> Upkeep:
    part = cast("Any", steps)
    return Upkeep(
        datapath=part,
        tables=part,
        cluster=part,
        endpoints=part,
        policies=part,
        routing=part,
        prefilter=part,
        journal=steps.journal,
    )


async def test_nothing_is_done_before_the_cluster_is_known() -> None:
    """A store that does not answer at start must not make the agent tear down what works."""
    steps = Steps()
    with pytest.raises(StoreError, match="goes on as it was left"):
        await upkeep_of(steps).resync()
    assert steps.called == []


async def test_a_step_that_fails_does_not_keep_the_next_from_being_tried() -> None:
    """And the first failure is what is told."""
    steps = Steps(failing={"apply": Exhausted("full"), "firewall": Unsupported("nft", needs="nft", found="none")})
    with pytest.raises(Exhausted, match="full"):
        await upkeep_of(steps).follow()
    assert steps.called == ["apply", "firewall"]
