"""Upstream's three tests that it has again for UDP and for SCTP.

Not every kernel has sockets of SCTP, and the one on which these tests were written has none. So the pods send and
answer SCTP's first two packets by themselves, through raw sockets; the data path cannot tell the difference.
"""

from __future__ import annotations

import pytest

from netloom.model.policy import Protocol
from support.netpol import World

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("protocol", [Protocol.UDP, Protocol.SCTP]),
]


def test_default_deny_ingress_by_protocol(world: World, protocol: Protocol) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: deny-all
          namespace: x
        spec:
          podSelector: {}
          policyTypes:
          - Ingress
        """)
    world.expect(world.everybody.cut("*", "x"), protocol, 80)


def test_ports_by_protocol(world: World, protocol: Protocol) -> None:
    """Neither the other port nor the same port of another protocol is open."""
    world.apply(f"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ingress-on-port-81-ns-x
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector:
                matchLabels:
                  kubernetes.io/metadata.name: y
            ports:
            - port: 81
              protocol: {protocol}
        """)
    closed = world.everybody.cut("*", "x/a")
    world.expect(closed.join("y", "x/a"), protocol, 81)
    world.expect(closed, protocol, 80)
    world.expect(closed, Protocol.TCP, 81)


def test_only_from_a_pod_in_a_different_namespace_by_protocol(world: World, protocol: Protocol) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ns-y-pod-a-via-namespace-pod-selector
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector:
                matchLabels:
                  kubernetes.io/metadata.name: y
              podSelector:
                matchLabels:
                  pod: a
        """)
    world.expect(world.everybody.cut("*", "x/a").join("y/a", "x/a"), protocol, 80)
