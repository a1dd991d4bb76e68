"""Prefixes and pods beyond upstream's tests: each kind of policy means by a prefix what its own documentation says."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from netloom.model.policy import Protocol
from support.netpol import World

pytestmark = pytest.mark.e2e

TCP = Protocol.TCP


def test_an_ip_block_lets_pods_in_by_their_addresses(world: World) -> None:
    """One pod on the receiver's node, and one on the other, whose packets come with an identity."""
    near, far = (next(name for name in ("y/a", "y/b") if on_same_node(world, name) is same) for same in (True, False))
    blocks = [f"{address}/{address.max_prefixlen}" for pod in (near, far) for address in addresses(world, pod)]
    world.apply(f"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-from-blocks
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from: [{", ".join(f"{{ipBlock: {{cidr: '{block}'}}}}" for block in blocks)}]
        """)
    world.expect(world.everybody.cut("*", "x/a").join(near, "x/a").join(far, "x/a"), TCP, 80)


def test_a_cidr_of_ciliums_kinds_never_means_a_pod(world: World) -> None:
    """As in Cilium: pods have identities, and prefixes are for what has none."""
    world.apply(f"""
        apiVersion: cilium.io/v2
        kind: CiliumNetworkPolicy
        metadata:
          name: to-addresses
          namespace: x
        spec:
          endpointSelector:
            matchLabels:
              pod: a
          egress:
          - toCIDR: [{", ".join(f"'{address}'" for address in addresses(world, "y/b"))}]
        """)
    world.expect(world.everybody.cut("x/a", "*"), TCP, 80)


def on_same_node(world: World, pod: str) -> bool:
    """As x/a."""
    return world.pods[pod].node == world.pods["x/a"].node


def addresses(world: World, pod: str) -> tuple[IPv4Address, IPv6Address]:
    return world.pods[pod].ipv4, world.pods[pod].ipv6
