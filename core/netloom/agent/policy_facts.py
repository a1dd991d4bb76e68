"""What an agent knows besides policies when it is asked about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from netloom.agent import policy_seen
from netloom.agent.datapath import Datapath
from netloom.agent.policy_questions import Sources
from netloom.datapath.registry import ENDPOINTS, IPCACHE, TUNNELS, EndpointKey, IpcacheFlag, IpcacheKey, TunnelKey
from netloom.model.address import Address, host_prefix
from netloom.model.identity import Reserved
from netloom.plan.claims import NO_TUNNEL

if TYPE_CHECKING:
    from netloom.agent.core import Agent


def sources_of(agent: Agent) -> Sources:
    """Of one node; the agent's parts are looked up when they are asked for."""
    return Sources(
        endpoints=lambda: agent.endpoints.ready(),  # noqa: PLW0108
        gateways=lambda: tuple(agent.node.gateways),
        addresses=lambda: _addresses(agent),
        identity_at=lambda address: identity_at(agent.datapath, address),
        seen=(
            policy_seen.connections(lambda: agent.connections.live()),  # noqa: PLW0108
            policy_seen.events(lambda: agent.monitor.log.recent()),  # noqa: PLW0108
        ),
        requests=lambda: policy_seen.requests(agent.monitor.log.requests),
    )


def identity_at(datapath: Datapath, address: Address) -> int:
    """Who has an address, by the lookups that programs make: endpoints of this node, ipcache, other nodes' prefixes."""
    endpoint = datapath.maps.of(ENDPOINTS).get(EndpointKey(address))
    if endpoint is not None:
        return endpoint.identity
    known = datapath.maps.of(IPCACHE).get(IpcacheKey(host_prefix(address)))
    if known is not None and (known.tunnel_endpoint != NO_TUNNEL or known.flags & IpcacheFlag.LOCAL_POD_CIDR):
        return known.identity
    if datapath.maps.of(TUNNELS).get(TunnelKey(host_prefix(address))) is not None:
        return Reserved.UNKNOWN
    return Reserved.WORLD if known is None else known.identity


def _addresses(agent: Agent) -> Mapping[int, Collection[Address]]:
    found: dict[int, set[Address]] = {}
    for endpoint in agent.endpoints.ready():
        found.setdefault(endpoint.identity, set()).update(endpoint.addresses)
    for remote in agent.cluster.addresses():
        found.setdefault(remote.identity, set()).add(remote.address)
    found[Reserved.HOST] = {*agent.node.gateways, *agent.datapath.host_addresses}
    others = [known.node for known in agent.cluster.nodes().values()]
    found[Reserved.REMOTE_NODE] = {address for node in others for address in (*node.gateways, *node.underlays)}
    return found
