"""What a rack's FRR is told: the routes it keeps itself, and whom it speaks BGP with. Pure."""

from __future__ import annotations

from netloom.lab.racks import CABLES_V4, CABLES_V6, SPINE_V4, SPINE_V6, LabTor
from netloom.lab.topology import GATEWAY_V4, GATEWAY_V6, Topology

HOLD_S = 9
KEEPALIVE_S = 3
RESTART_S = 60
"""How long routes of a neighbour that restarts gracefully are kept."""
_PATHS = 8

_HEAD = f"""frr defaults datacenter
hostname {{name}}
! The kernel drops a group of next hops with the last port of it; this FRR then takes routes for written that are gone.
no zebra nexthop kernel enable
!
bfd
 profile cable
  transmit-interval 300
  receive-interval 300
  detect-multiplier 3
 exit
exit
!
! Cables, the spine and the nodes' own addresses are no news to the nodes: their default route leads there.
ip prefix-list to-nodes seq 5 deny {CABLES_V4} le 32
ip prefix-list to-nodes seq 6 deny {GATEWAY_V4.network} le 32
ip prefix-list to-nodes seq 10 permit any
ipv6 prefix-list to-nodes seq 5 deny {CABLES_V6} le 128
ipv6 prefix-list to-nodes seq 6 deny {GATEWAY_V6.network} le 128
ipv6 prefix-list to-nodes seq 10 permit any
!"""

_BGP = f"""router bgp {{asn}}
 bgp router-id {{router_id}}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 coalesce-time 10
 bgp graceful-restart
 bgp graceful-restart restart-time {RESTART_S}
 neighbor nodes peer-group
 neighbor nodes remote-as external
 neighbor nodes timers {KEEPALIVE_S} {HOLD_S}
 neighbor nodes timers connect 1
 neighbor nodes bfd profile cable
 neighbor spine peer-group
 neighbor spine remote-as internal
 neighbor spine timers {KEEPALIVE_S} {HOLD_S}
 neighbor spine timers connect 1"""


def render(topology: Topology, tor: LabTor) -> str:
    """The whole ``frr.conf`` of a rack's router."""
    parts = [
        _HEAD.format(name=tor.name),
        *_static(topology, tor),
        "!",
        _BGP.format(asn=tor.asn, router_id=tor.ipv4.ip),
        *_neighbors(topology, tor),
        *_family(topology, tor, 4),
        *_family(topology, tor, 6),
        "exit",
        "end",
    ]
    return "\n".join(parts) + "\n"


def _static(topology: Topology, tor: LabTor) -> list[str]:
    """Each node's own address, by all of its cables."""
    lines = []
    for node in topology.rack(tor):
        for cable in node.cables:
            lines.append(f"ip route {node.ipv4.ip}/32 {cable.node_ipv4.ip} {cable.port}")
            lines.append(f"ipv6 route {node.ipv6.ip}/128 {cable.node_ipv6.ip} {cable.port}")
    return lines


def _cable_ends(topology: Topology, tor: LabTor, version: int) -> list[str]:
    cables = [cable for node in topology.rack(tor) for cable in node.cables]
    return [str(cable.node_ipv4.ip if version == 4 else cable.node_ipv6.ip) for cable in cables]


def _neighbors(topology: Topology, tor: LabTor) -> list[str]:
    nodes = [*_cable_ends(topology, tor, 4), *_cable_ends(topology, tor, 6)]
    return [
        *(f" neighbor {address} peer-group nodes" for address in nodes),
        *(f" neighbor {address} peer-group spine" for address in (SPINE_V4.ip, SPINE_V6.ip)),
    ]


def _family(topology: Topology, tor: LabTor, version: int) -> list[str]:
    reflector = SPINE_V4.ip if version == 4 else SPINE_V6.ip
    lines = [
        " !",
        f" address-family ipv{version} unicast",
        "  redistribute connected",
        "  redistribute static",
        f"  maximum-paths {_PATHS}",
        f"  neighbor {reflector} activate",
        f"  neighbor {reflector} next-hop-self",
    ]
    for address in _cable_ends(topology, tor, version):
        lines += [f"  neighbor {address} activate", f"  neighbor {address} prefix-list to-nodes out"]
    return [*lines, " exit-address-family"]
