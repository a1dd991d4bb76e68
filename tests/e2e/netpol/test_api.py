"""Policies as objects: made, read, changed and deleted, and refused when they make no sense."""

from __future__ import annotations

import pytest

from netloom.model.errors import ConfigError
from netloom.model.policy import PolicyKind, PolicyName, Protocol
from support.netpol import World

pytestmark = pytest.mark.e2e

TCP = Protocol.TCP


def example(number: int, annotations: str = "{}") -> str:
    """One of three policies that select nobody of the nine pods."""
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: e2e-example-netpol-{number}
  namespace: x
  annotations: {annotations}
  labels:
    special-label: netpol
spec:
  podSelector:
    matchLabels:
      pod-name: test-pod
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          ns-name: pod-b
      podSelector:
        matchLabels:
          pod-name: client-a
"""


def name_of(number: int) -> PolicyName:
    return PolicyName(PolicyKind.KUBERNETES, "x", f"e2e-example-netpol-{number}")


def test_api_operations(world: World) -> None:
    """Create, get, list, watch, update, delete one and delete all; every agent of the cluster watches."""
    world.apply("---".join(map(example, (1, 2, 3))))
    assert set(world.standing()) == {name_of(number) for number in (1, 2, 3)}
    world.apply(example(3, '{patched: "true", updated: "true"}'))
    assert '"annotations":{"patched":"true","updated":"true"}' in world.standing()[name_of(3)].document
    assert len(world.standing()) == 3
    world.delete(name_of(3))
    assert set(world.standing()) == {name_of(1), name_of(2)}
    world.delete(name_of(1), name_of(2))
    assert world.standing() == {}


def egress_to(ports: str) -> str:
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: e2e-example-netpol-endport-validate
  namespace: x
spec:
  podSelector: {{}}
  policyTypes:
  - Egress
  egress:
  - ports:
    - {ports}
"""


def test_endport_field(world: World) -> None:
    """With a port by number that is not above it; then it is the last port of a range."""
    for refused, why in (
        ("{endPort: 20000}", "without port"),
        ("{port: serve-80, endPort: 20000}", "with a named port"),
        ("{port: 30000, endPort: 20000}", "not below 30000"),
    ):
        with pytest.raises(ConfigError, match=why):
            world.apply(egress_to(refused))
    assert world.standing() == {}
    closed = world.everybody.cut("x", "*")
    for accepted, open_80, open_81 in (
        ("{port: 20000, endPort: 20000}", False, False),
        ("{port: 10000, endPort: 20000}", False, False),
        ("{port: 80, endPort: 81}", True, True),
        ("{port: 81, endPort: 20000}", False, True),
    ):
        world.apply(egress_to(accepted))
        for port, is_open in ((80, open_80), (81, open_81)):
            world.expect(world.everybody if is_open else closed, TCP, port)
