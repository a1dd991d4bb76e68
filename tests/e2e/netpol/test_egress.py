"""What pods may send, to pods by their labels and to addresses, and how both directions go together."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from netloom.model.policy import Protocol
from support.asking import VERSIONS
from support.netpol import World

pytestmark = pytest.mark.e2e

TCP = Protocol.TCP


def test_deny_egress_from_pods_based_on_pod_selector(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: deny-egress-pod-a
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          policyTypes:
          - Egress
        """)
    world.expect(world.everybody.cut("x/a", "*"), TCP, 80)


def test_deny_egress_from_all_pods_in_a_namespace(world: World) -> None:
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: deny-egress-ns-x
          namespace: x
        spec:
          podSelector: {}
          policyTypes:
          - Egress
        """)
    world.expect(world.everybody.cut("x", "*"), TCP, 80)


def test_ingress_and_egress_specified_together(world: World) -> None:
    """Each direction is judged for itself: what may come in on any port may go out on one."""
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
          policyTypes:
          - Egress
          - Ingress
          ingress:
          - from:
            - podSelector:
                matchLabels:
                  pod: b
          egress:
          - ports:
            - port: 80
        """)
    only_b = world.everybody.cut("*", "x/a").join("x/b", "x/a")
    world.expect(only_b, TCP, 80)
    world.expect(only_b.cut("x/a", "*"), TCP, 81)


X_A_TO_Y_A = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-to-ns-y-pod-a
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
        matchLabels:
          kubernetes.io/metadata.name: y
      podSelector:
        matchLabels:
          pod: a
"""


def test_egress_is_denied_even_if_the_server_allows_it(world: World) -> None:
    world.apply(X_A_TO_Y_A)
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-from-xa-on-ya-match-selector
          namespace: y
        spec:
          podSelector:
            matchLabels:
              pod: a
          ingress:
          - from:
            - namespaceSelector:
                matchLabels:
                  kubernetes.io/metadata.name: x
              podSelector:
                matchLabels:
                  pod: a
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-from-xa-on-yb-match-selector
          namespace: y
        spec:
          podSelector:
            matchLabels:
              pod: b
          ingress:
          - from:
            - namespaceSelector:
                matchLabels:
                  kubernetes.io/metadata.name: x
              podSelector:
                matchLabels:
                  pod: a
        """)
    closed = world.everybody.cut("x/a", "*").cut("*", "y/a").cut("*", "y/b")
    world.expect(closed.join("x/a", "y/a"), TCP, 80)


def test_egress_to_a_server_in_a_different_namespace(world: World) -> None:
    world.apply(X_A_TO_Y_A)
    world.expect(world.everybody.cut("x/a", "*").join("x/a", "y/a"), TCP, 80)


def egress_to_blocks(world: World, target: str) -> str:
    """Allows x/a what leads to the addresses of a pod, of both families."""
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-client-a-via-cidr-egress-rule
  namespace: x
spec:
  podSelector:
    matchLabels:
      pod: a
  policyTypes:
  - Egress
  egress:
  - to:
    - ipBlock:
        cidr: {world.pods[target].ipv4}/32
    - ipBlock:
        cidr: {world.pods[target].ipv6}/128
"""


def egress_around(world: World, target: str) -> str:
    """Allows x/a what leads to a sixteenth of each family's addresses, but not to a pod in the midst of them."""
    four, six = (world.pods[target].address(version) for version in VERSIONS)
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-client-a-via-cidr-egress-rule
  namespace: x
spec:
  podSelector:
    matchLabels:
      pod: a
  policyTypes:
  - Egress
  egress:
  - to:
    - ipBlock:
        cidr: {ip_network(f"{four}/4", strict=False)}
        except:
        - {four}/32
    - ipBlock:
        cidr: {ip_network(f"{six}/4", strict=False)}
        except:
        - {six}/128
"""


def test_egress_to_a_server_in_a_cidr_block(world: World) -> None:
    """A block matches a pod by its address, although the pod has an identity."""
    world.apply(egress_to_blocks(world, "y/b"))
    world.expect(world.everybody.cut("x/a", "*").join("x/a", "y/b"), TCP, 80)


def test_except_clause_of_a_cidr_block(world: World) -> None:
    world.apply(egress_around(world, "x/b"))
    world.expect(world.everybody.cut("x/a", "x/b"), TCP, 80)


def test_an_address_in_both_cidr_and_except_is_allowed_by_another_block(world: World) -> None:
    """An exception takes from its own block alone; it denies nothing."""
    world.apply(egress_around(world, "x/b"))
    world.expect(world.everybody.cut("x/a", "x/b"), TCP, 80)
    world.apply(egress_to_blocks(world, "x/b"))
    world.expect(world.everybody.cut("x/a", "*").join("x/a", "x/b"), TCP, 80)


def test_ingress_and_egress_are_controlled_independently(world: World) -> None:
    """Replies come in although nothing else does."""
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: allow-egress-for-target
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          policyTypes:
          - Egress
          egress:
          - {}
        """)
    world.expect(world.everybody, TCP, 80)
    world.apply("""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          name: deny-ingress-via-label-selector
          namespace: x
        spec:
          podSelector:
            matchLabels:
              pod: a
          policyTypes:
          - Ingress
        """)
    world.expect(world.everybody.cut("*", "x/a"), TCP, 80)
