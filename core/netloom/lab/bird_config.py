"""What the route reflector's BIRD is told. Pure."""

from __future__ import annotations

from netloom.lab.racks import SPINE_V4, LabTor
from netloom.lab.topology import Topology
from netloom.lab.underlay import BRIDGE


def render(topology: Topology) -> str:
    """The whole ``bird.conf`` of the reflector: every rack's router is a client of its, in both families."""
    peers = [_peer(tor, version) for tor in topology.tors for version in (4, 6)]
    return _head(topology.spec.asn) + "".join(peers)


def _head(asn: int) -> str:
    return f"""router id {SPINE_V4.ip};

protocol device {{}}
protocol direct {{ ipv4; ipv6; interface "{BRIDGE}"; }}

# The world outside lives on this machine too: its answers follow the same routes.
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; }}

template bgp rack {{
    local as {asn};
    direct;
    rr client;
    hold time 9;
    connect retry time 1;
    error wait time 1, 5;
}}
"""


def _peer(tor: LabTor, version: int) -> str:
    address = tor.ipv4.ip if version == 4 else tor.ipv6.ip
    return f"""
protocol bgp {tor.name}_v{version} from rack {{
    neighbor {address} as {tor.asn};
    ipv{version} {{ import all; export where source = RTS_BGP; }};
}}
"""
