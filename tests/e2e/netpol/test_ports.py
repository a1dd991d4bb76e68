"""Which ports and protocols, by number and by name; a rule of one protocol says nothing of another's packets."""

from __future__ import annotations

import pytest

from netloom.model.policy import Protocol
from support.netpol import World

pytestmark = pytest.mark.e2e

TCP, UDP, SCTP = Protocol.TCP, Protocol.UDP, Protocol.SCTP

PORT_81_FROM_Y = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-client-a-via-ns-selector
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
      protocol: TCP
"""


def test_ports(world: World) -> None:
    world.apply(PORT_81_FROM_Y)
    closed = world.everybody.cut("*", "x/a")
    world.expect(closed.join("y", "x/a"), TCP, 81)
    world.expect(closed, TCP, 80)


def test_stacked_policies_with_overlapping_pod_selectors(world: World) -> None:
    """Policies add up: a second one opens a port that the first one leaves closed."""
    world.apply(PORT_81_FROM_Y)
    closed = world.everybody.cut("*", "x/a")
    world.expect(closed.join("y", "x/a"), TCP, 81)
    world.expect(closed, TCP, 80)
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-client-a-via-ns-selector-80
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
            - port: 80
              protocol: TCP
        """)
    world.expect(closed.join("y", "x/a"), TCP, 80, 81)


def test_allow_all(world: World) -> None:
    """An entry that says nothing allows everything."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-all
          namespace: x
        spec:
          podSelector: {}
          ingress:
          - {}
        """)
    world.expect(world.everybody, TCP, 80, 81)


def test_ingress_on_one_named_port(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-all
          namespace: x
        spec:
          podSelector: {}
          ingress:
          - ports:
            - port: serve-81-tcp
        """)
    world.expect(world.everybody, TCP, 81)
    world.expect(world.everybody.cut("*", "x"), TCP, 80)


def test_ingress_from_namespace_on_one_named_port(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-client-a-via-ns-selector-80
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
            - port: serve-80-tcp
              protocol: TCP
        """)
    closed = world.everybody.cut("*", "x/a")
    world.expect(closed.join("y", "x/a"), TCP, 80)
    world.expect(closed, TCP, 81)


def test_egress_on_one_named_port(world: World) -> None:
    """A name is what the receiver calls its port, whichever node that is on."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-egress
          namespace: x
        spec:
          podSelector: {}
          policyTypes:
          - Egress
          egress:
          - ports:
            - port: serve-80-tcp
        """)
    world.expect(world.everybody, TCP, 80)
    world.expect(world.everybody.cut("x", "*"), TCP, 81)


def test_ingress_of_any_port_on_a_specific_protocol(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ingress-by-proto
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - ports:
            - protocol: TCP
        """)
    world.expect(world.everybody, TCP, 80, 81)
    world.expect(world.everybody.cut("*", "x/a"), UDP, 80, 81)


def test_ingress_allow_all_takes_precedence(world: World) -> None:
    """What one policy allows, none that allows less takes back."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ingress-port-80
          namespace: x
        spec:
          podSelector: {}
          ingress:
          - ports:
            - port: 80
        """)
    world.expect(world.everybody.cut("*", "x"), TCP, 81)
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ingress
          namespace: x
        spec:
          podSelector: {}
          ingress:
          - {}
        """)
    world.expect(world.everybody, TCP, 81)


def test_egress_allow_all_takes_precedence(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-egress-port-80
          namespace: x
        spec:
          podSelector: {}
          policyTypes:
          - Egress
          egress:
          - ports:
            - port: 80
        """)
    world.expect(world.everybody.cut("x", "*"), TCP, 81)
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-egress
          namespace: x
        spec:
          podSelector: {}
          policyTypes:
          - Egress
          egress:
          - {}
        """)
    world.expect(world.everybody, TCP, 81)


def test_sctp_is_not_treated_as_tcp(world: World) -> None:
    """The port is open for SCTP and shut for TCP."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: deny-ingress
          namespace: x
        spec:
          podSelector: {}
          policyTypes:
          - Ingress
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-only-sctp-ingress-on-port-81
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - ports:
            - port: 81
              protocol: SCTP
        """)
    world.expect(world.everybody.cut("*", "x"), TCP, 81)
    world.expect(world.everybody.cut("*", "x").join("*", "x/a"), SCTP, 81)


def test_a_policy_allowing_sctp_isolates(world: World) -> None:
    """From everything else."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-only-sctp-ingress-on-port-80
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - ports:
            - port: 80
              protocol: SCTP
        """)
    world.expect(world.everybody.cut("*", "x/a"), TCP, 81)
    world.expect(world.everybody, SCTP, 80)


def test_a_policy_of_udp_only_does_not_allow_tcp(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-only-udp-ingress-on-port-81
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - ports:
            - port: 81
              protocol: UDP
        """)
    world.expect(world.everybody.cut("*", "x/a"), TCP, 81)
    world.expect(world.everybody, UDP, 81)
