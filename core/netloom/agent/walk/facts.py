"""What an agent knows when a walk begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.agent.walk.node import NodeFacts
from netloom.agent.walk.walker import Sources, Walker
from netloom.datapath.maps import by_name

if TYPE_CHECKING:
    from netloom.agent.core import Agent


def walker_of(agent: Agent) -> Walker:
    """The agent's; its parts are looked up when a walk begins."""
    return Walker(
        Sources(
            generation=lambda: agent.datapath.generation,
            maps=lambda: agent.datapath.maps,
            facts=lambda: facts_of(agent),
        )
    )


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
