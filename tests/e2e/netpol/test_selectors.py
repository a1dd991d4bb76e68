"""Who is selected: pods, namespaces, and both, as upstream's tests between a server and a client have it."""

from __future__ import annotations

import pytest

from netloom.model.policy import Protocol
from support.netpol import World

pytestmark = pytest.mark.e2e

TCP = Protocol.TCP


def test_default_deny_ingress(world: World) -> None:
    """Nobody gets into the namespace, not even from inside; all get out of it."""
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
        """)
    world.expect(world.everybody.cut("*", "x"), TCP, 80)


def test_default_deny_all(world: World) -> None:
    """Nor out of it."""
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


def test_pods_within_server_namespace_based_on_pod_selector(world: World) -> None:
    """Pods of that label in other namespaces are not meant."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: x-a-allows-x-b
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
        """)
    world.expect(world.everybody.cut("*", "x/a").join("x/b", "x/a"), TCP, 80)


def test_ingress_for_a_target(world: World) -> None:
    """One pod of a namespace that is closed otherwise."""
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
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-all-to-a
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - podSelector: {}
              namespaceSelector: {}
        """)
    world.expect(world.everybody.cut("*", "x").join("*", "x/a"), TCP, 80)


def test_ingress_from_pods_in_all_namespaces(world: World) -> None:
    """An empty selector selects every namespace, the policy's own too."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-from-another-ns
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector: {}
        """)
    world.expect(world.everybody, TCP, 80)


def test_only_from_a_different_namespace_based_on_namespace_selector(world: World) -> None:
    """The server's own namespace is then as shut out as any other."""
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
                  kubernetes.io/metadata.name: y
        """)
    world.expect(world.everybody.cut("*", "x/a").join("y", "x/a"), TCP, 80)


def test_pod_selector_with_match_expressions(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: x-a-allows-x-b
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - podSelector:
                matchExpressions:
                - key: pod
                  operator: In
                  values:
                  - b
        """)
    world.expect(world.everybody.cut("*", "x/a").join("x/b", "x/a"), TCP, 80)


def test_namespace_selector_with_match_expressions(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ns-y-match-selector
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector:
                matchExpressions:
                - key: kubernetes.io/metadata.name
                  operator: In
                  values:
                  - y
        """)
    world.expect(world.everybody.cut("*", "x/a").join("y", "x/a"), TCP, 80)


def test_pod_selector_or_namespace_selector(world: World) -> None:
    """Two peers: whoever is one of them gets in."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ns-y-match-selector
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector:
                matchExpressions:
                - key: kubernetes.io/metadata.name
                  operator: NotIn
                  values:
                  - x
            - podSelector:
                matchLabels:
                  pod: b
        """)
    world.expect(world.everybody.cut("x/c", "x/a"), TCP, 80)


def test_pod_selector_and_namespace_selector(world: World) -> None:
    """One peer with two selectors: whoever gets in is selected by both."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ns-y-podselector-and-nsselector
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector:
                matchExpressions:
                - key: kubernetes.io/metadata.name
                  operator: NotIn
                  values:
                  - x
              podSelector:
                matchLabels:
                  pod: b
        """)
    world.expect(world.everybody.cut("*", "x/a").join("y/b", "x/a").join("z/b", "x/a"), TCP, 80)


def test_multiple_pod_selectors_and_namespace_selectors(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ns-y-z-pod-b-c
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector:
                matchExpressions:
                - key: kubernetes.io/metadata.name
                  operator: NotIn
                  values:
                  - x
              podSelector:
                matchExpressions:
                - key: pod
                  operator: In
                  values:
                  - b
                  - c
        """)
    world.expect(world.everybody.cut("x", "x/a").cut("y/a", "x/a").cut("z/a", "x/a"), TCP, 80)


def test_any_pod_selectors(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ns-x-pod-b-c
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
            - podSelector:
                matchLabels:
                  pod: c
        """)
    world.expect(world.everybody.cut("*", "x/a").join("x", "x/a"), TCP, 80)


def test_only_from_a_pod_in_a_different_namespace(world: World) -> None:
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
    world.expect(world.everybody.cut("*", "x/a").join("y/a", "x/a"), TCP, 80)


def test_deny_ingress_from_pods_on_other_namespaces(world: World) -> None:
    """An empty selector of pods selects those of the policy's namespace."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: deny-empty-policy
          namespace: x
        spec:
          podSelector: {}
          ingress:
          - from:
            - podSelector: {}
        """)
    world.expect(world.everybody.cut("y", "x").cut("z", "x"), TCP, 80)


def test_match_labels_using_default_ns_label(world: World) -> None:
    """Every namespace has a label with its name, which nobody can take away."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-client-a-via-ns-selector-for-immutable-ns-label
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
        """)
    world.expect(world.everybody.cut("*", "x/a").join("y", "x/a"), TCP, 80)


def test_match_expressions_using_default_ns_label(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-ns-y-match-selector-for-immutable-ns-label
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          policyTypes:
          - Egress
          egress:
          - to:
            - namespaceSelector:
                matchExpressions:
                - key: kubernetes.io/metadata.name
                  operator: NotIn
                  values:
                  - y
        """)
    world.expect(world.everybody.cut("x/a", "y"), TCP, 80)
