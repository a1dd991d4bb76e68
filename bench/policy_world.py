"""A cluster to measure policies in: identities, and policies of the kinds people write, any number of either. Pure.

Ten applications share a namespace, and each belongs to one of three tiers. Of every ten policies one is the default of
its namespace, one lets a whole tier of the cluster in, whatever the namespace, and the others are about one
application: who may call it, on one port or a range, whom it may call, and which addresses. So a policy selects one
identity or ten, and a new identity means something to tables all over the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

from netloom.model.identity import FIRST_CLUSTER_ID, IdentityId
from netloom.model.labels import NAMESPACE_KEY, Label, Labels

APPS = 10
"""In each namespace."""
TIERS = ("front", "middle", "back")


@dataclass(frozen=True, slots=True)
class App:
    """The application of a number: it is one identity."""

    number: int

    @property
    def namespace(self) -> str:
        """Where it is."""
        return f"team{self.number // APPS}"

    @property
    def name(self) -> str:
        """Value of its label ``app``."""
        return f"app{self.number % APPS}"

    @property
    def tier(self) -> str:
        """Value of its label ``tier``."""
        return TIERS[self.number % len(TIERS)]

    @property
    def identity(self) -> IdentityId:
        """The number under which it stands in the store."""
        return IdentityId(FIRST_CLUSTER_ID + self.number)

    @property
    def labels(self) -> Labels:
        """What it is selected by."""
        texts = (("app", self.name), ("tier", self.tier), (NAMESPACE_KEY, self.namespace))
        return frozenset(Label("k8s", key, value) for key, value in texts)


MONITOR: Labels = frozenset({Label("k8s", "scrapes", "all")})
"""What has these labels is let in by every endpoint, once there is a policy of :func:`scrape_text`."""


def subject_of(number: int, identities: int) -> App:
    """Whom a policy of so many identities is about, alone or with its namespace."""
    return App((number + number // 10) * 7 % identities)


def policy_text(number: int, identities: int) -> str:
    """One policy about so many identities, as people write it."""
    subject = subject_of(number, identities)
    peer = App((number + number // 7) * 13 % identities)
    kind = number % 10
    if kind == 0:
        return _namespace_default(number, subject)
    if kind == 1:
        return _tier(number, subject)
    if kind in (2, 3):
        return _addresses(number, subject)
    return _calls(number, subject, peer)


def _namespace_default(number: int, subject: App) -> str:
    """Pods of a namespace reach each other, and nobody else reaches them."""
    return f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: default-{number}, namespace: {subject.namespace}}}
spec:
  podSelector: {{}}
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector: {{}}
"""


def _tier(number: int, subject: App) -> str:
    """A tier of the whole cluster may call an application."""
    return f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: tier-{number}, namespace: {subject.namespace}}}
spec:
  podSelector:
    matchLabels: {{app: {subject.name}}}
  ingress:
  - from:
    - namespaceSelector: {{}}
      podSelector:
        matchLabels: {{tier: {TIERS[number // 10 % len(TIERS)]}}}
    ports:
    - {{protocol: TCP, port: {8000 + number % 1000}}}
"""


def _addresses(number: int, subject: App) -> str:
    """An application may call a prefix outside, but for a part of it."""
    return f"""\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: outside-{number}, namespace: {subject.namespace}}}
spec:
  podSelector:
    matchLabels: {{app: {subject.name}}}
  policyTypes: [Egress]
  egress:
  - to:
    - ipBlock:
        cidr: 10.{number // 10 % 100}.0.0/16
        except: [10.{number // 10 % 100}.{number % 10}.0/24]
    ports:
    - {{protocol: TCP, port: 443}}
"""


def _calls(number: int, subject: App, peer: App) -> str:
    """One application may call another, and ask for names."""
    return f"""\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: calls-{number}, namespace: {subject.namespace}}}
spec:
  endpointSelector:
    matchLabels: {{app: {subject.name}}}
  ingress:
  - fromEndpoints:
    - matchLabels: {{app: {peer.name}, k8s:{NAMESPACE_KEY}: {peer.namespace}}}
    toPorts:
    - ports:
      - {{port: "{1000 + number}", protocol: TCP}}
      - {{port: "{20000 + number % 1000}", endPort: {20100 + number % 1000}, protocol: UDP}}
  egress:
  - toEndpoints:
    - matchLabels: {{app: {peer.name}, k8s:{NAMESPACE_KEY}: {peer.namespace}}}
    toPorts:
    - ports:
      - {{port: "{1000 + number}", protocol: TCP}}
  - toEntities: [kube-apiserver]
"""


def scrape_text(port: int) -> str:
    """Every endpoint of the cluster lets a few in; nothing else changes for it."""
    ((name, value),) = ((label.key, label.value) for label in MONITOR)
    return f"""\
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {{name: scrape-{port}}}
spec:
  endpointSelector: {{}}
  enableDefaultDeny: {{ingress: false}}
  ingress:
  - fromEndpoints:
    - matchLabels: {{{name}: {value}}}
    toPorts:
    - ports:
      - {{port: "{port}", protocol: TCP}}
"""
