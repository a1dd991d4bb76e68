"""What an agent knows when a walk begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.agent.judging import judged, said_in
from netloom.agent.walk.node import NodeFacts
from netloom.agent.walk.walker import SaidWords, Sources, Walker
from netloom.datapath.maps import by_name
from netloom.model.identity import IdentityId
from netloom.policy.explain import End
from netloom.policy.l7_trace import RequestTrace, sides_by

if TYPE_CHECKING:
    from netloom.agent.core import Agent
    from netloom.agent.policies import Policies
    from netloom.model.connection import Connection


def walker_of(agent: Agent) -> Walker:
    """The agent's; its parts are looked up when a walk begins."""
    return Walker(
        Sources(
            generation=lambda: agent.datapath.generation,
            maps=lambda: agent.datapath.maps,
            facts=lambda: facts_of(agent),
            judge=lambda connection, said: judged_by(agent.policies, connection, said),
        )
    )


async def judged_by(policies: Policies, connection: Connection, words: SaidWords) -> tuple[RequestTrace, ...]:
    """What this node's proxy would say. Raises NotFound, Invalid or Unavailable, as a trace of policies does."""
    said = said_in(policies.parsers, words.protocol, words.data)
    ends = (
        End(IdentityId(connection.source_identity), connection.source),
        End(IdentityId(connection.destination_identity), connection.destination),
    )
    return await judged(sides_by(policies.judged.get, *ends, connection.destination_port), said)


def facts_of(agent: Agent) -> NodeFacts:
    """Of one node, at this moment."""
    datapath, cluster = agent.datapath, agent.cluster
    return NodeFacts(
        node=agent.node,
        endpoints=tuple(agent.endpoints.all()),
        others=tuple(known.node for known in cluster.nodes().values()),
        unmasqueraded=cluster.unmasqueraded,
        uplinks=datapath.underlay.names,
        doors=datapath.plan.doors,
        tunnel=datapath.plan.mode.tunnel,
        masquerade=datapath.plan.settings.masquerade,
        programs={program.id: program.name for program in datapath.generation.programs()},
        specs=by_name(item.spec for item in datapath.maps.values()),
        prefiltered=agent.prefilter.refusing,
    )
