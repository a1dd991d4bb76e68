"""The BGP plugin with BIRD at the other end, inside and outside its AS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bgp_node import BgpNode
from support.bgp_pair import cable
from support.bird import Bird
from support.frr import wait_for
from support.netns import NamespaceFactory

pytestmark = pytest.mark.kernel

NODE = """\
local_as: 65001
peers:
  - {{address: 10.9.0.2, remote_as: {peer}}}
  - {{address: "fd00:9::2", remote_as: {peer}}}
"""
BIRD = """\
router id 10.9.0.2;
protocol device {{ scan time 1; }}
protocol direct {{ ipv4; ipv6; }}
protocol kernel k4 {{ ipv4 {{ export where source = RTS_BGP; }}; }}
protocol kernel k6 {{ ipv6 {{ export where source = RTS_BGP; }}; }}
protocol static s4 {{ ipv4; route 198.51.100.0/24 unreachable; }}
protocol static s6 {{ ipv6; route 2001:db8:51::/48 unreachable; }}
template bgp node {{
  local as {own};
  connect retry time 1; connect delay time 1; error wait time 1, 5;
  direct; hold time 9;
}}
protocol bgp n4 from node {{
  neighbor 10.9.0.1 as 65001;
  ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }};
}}
protocol bgp n6 from node {{
  neighbor fd00:9::1 as 65001;
  ipv6 {{ import all; export where source = RTS_STATIC; next hop self; }};
}}
"""


@contextlib.contextmanager
def node_and_bird(make_netns: NamespaceFactory, directory: Path, own_as: int) -> Iterator[tuple[BgpNode, Bird]]:
    """A node of AS 65001 and BIRD, at both ends of a cable."""
    a, b = make_netns("bgpa"), make_netns("bgpb")
    cable(a, b)
    with contextlib.ExitStack() as stack:
        bird = Bird(b, directory / "bird", BIRD.format(own=own_as))
        stack.callback(bird.close)
        node = BgpNode(a, directory / "run", NODE.format(peer=own_as))
        stack.callback(node.close)
        yield node, bird


@pytest.mark.parametrize("own_as", [65001, 65002], ids=["internal", "external"])
def test_prefixes_go_both_ways(make_netns: NamespaceFactory, tmp_path: Path, own_as: int) -> None:
    """Of both families, into BIRD's kernel and out again."""
    with node_and_bird(make_netns, tmp_path, own_as) as (node, bird):
        node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
        wait_for(lambda: bird.routes() == ["10.244.1.0/24"], "announced")
        wait_for(lambda: bird.routes(6) == ["fd00:10:244:1::/64"], "announced, IPv6")
        wait_for(lambda: node.hops("198.51.100.0/24") == ["10.9.0.2"], "learnt")
        wait_for(lambda: node.hops("2001:db8:51::/48") == ["fd00:9::2"], "learnt, IPv6")
        bird.ask("disable", "s4")
        wait_for(lambda: node.hops("198.51.100.0/24") == [], "withdrawn by BIRD")
        node.announce("fd00:10:244:1::/64")
        wait_for(lambda: bird.routes() == [], "withdrawn by the node")
        assert bird.routes(6) == ["fd00:10:244:1::/64"]
