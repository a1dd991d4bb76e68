"""What stands is changed: policies, labels of pods, labels of namespaces."""

from __future__ import annotations

import pytest

from netloom.model.policy import PolicyKind, PolicyName, Protocol
from support.netpol import World

pytestmark = pytest.mark.e2e

TCP = Protocol.TCP


def test_updated_policy(world: World) -> None:
    """One that allows everything becomes one that allows nothing."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-all-mutate-to-deny-all
          namespace: x
        spec:
          podSelector: {}
          ingress:
          - {}
        """)
    world.expect(world.everybody, TCP, 81)
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-all-mutate-to-deny-all
          namespace: x
        spec:
          podSelector: {}
          ingress: []
        """)
    world.expect(world.everybody.cut("*", "x"), TCP, 81)


def test_ingress_from_updated_namespace(world: World) -> None:
    world.apply("""
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
                  ns2: updated
        """)
    closed = world.everybody.cut("*", "x/a")
    world.expect(closed, TCP, 80)
    world.label_namespace("y", "ns2", "updated")
    world.expect(closed.join("y", "x/a"), TCP, 80)


def test_ingress_from_updated_pod(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-client-a-via-pod-selector
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - podSelector:
                matchLabels:
                  pod: b
                  pod2: updated
        """)
    closed = world.everybody.cut("*", "x/a")
    world.expect(closed, TCP, 80)
    world.label_pod("x/b", "pod2", "updated")
    world.expect(closed.join("x/b", "x/a"), TCP, 80)


def test_deny_ingress_to_updated_pod(world: World) -> None:
    """A policy that selected nobody so far begins to select."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: deny-ingress-via-label-selector
          namespace: x
        spec:
          podSelector:
            matchLabels:
              target: isolated
          policyTypes:
          - Ingress
        """)
    world.expect(world.everybody, TCP, 80)
    world.label_pod("x/a", "target", "isolated")
    world.expect(world.everybody.cut("*", "x/a"), TCP, 80)


def test_policies_are_not_enforced_after_they_are_deleted(world: World) -> None:
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
          - Egress
        """)
    world.expect(world.everybody.cut("*", "x").cut("x", "*"), TCP, 80)
    world.delete(PolicyName(PolicyKind.KUBERNETES, "x", "deny-all"))
    world.expect(world.everybody, TCP, 80)
