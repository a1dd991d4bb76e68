"""A node of either IP family, and of both, with either way of attaching programs."""

from __future__ import annotations

import json

import pytest

from netloom.edge import tcx
from support.attached import CLSACT_ONLY
from support.netns import NamespaceFactory
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel

PODS = {4: ("10.244.1.0/24", "10.244.1.1"), 6: ("fd00:10:244:1::/64", "fd00:10:244:1::1")}
"""Prefix and gateway by family."""
WAYS = {"auto": "", "clsact": CLSACT_ONLY} | ({"tcx": "datapath: {attach: tcx}\n"} if tcx.supported() else {})
FAMILIES = [(4,), (6,), (4, 6)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("families", FAMILIES, ids=lambda families: "".join(map(str, families)))
def test_a_pod_reaches_its_gateways(
    node: NodeUnderTest, make_netns: NamespaceFactory, families: tuple[int, ...], way: str
) -> None:
    """Through the programs, the host's stack and back; in no other family has it an address."""
    prefixes = json.dumps([PODS[family][0] for family in families])
    node.write_config(pods=prefixes, more=WAYS[way])
    node.start()
    pod = make_netns("pod")
    endpoint = node.attach(pod)
    assert [family for family in PODS if endpoint[f"ipv{family}"]] == list(families)
    for family in families:
        assert "1 received" in pod.run("ping", "-n", "-c", "1", "-W", "5", PODS[family][1])
