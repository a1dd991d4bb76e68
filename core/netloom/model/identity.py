"""Identities: one number per set of labels, carried in packets as the VNI (24 bits).

Numbers follow Cilium's, so that traces read alike: 1 to 99 are reserved, 256 to 65535 are given to
label sets of the cluster, the rest is kept for node-local and multi-cluster use.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

from netloom.model.labels import Label, Labels

IdentityId = NewType("IdentityId", int)

FIRST_CLUSTER_ID = 256
LAST_CLUSTER_ID = 65535


class Reserved(IntEnum):
    """Identities every node knows without asking anybody."""

    UNKNOWN = 0
    HOST = 1
    WORLD = 2
    UNMANAGED = 3
    HEALTH = 4
    INIT = 5
    REMOTE_NODE = 6
    KUBE_APISERVER = 7
    INGRESS = 8
    WORLD_IPV4 = 9
    WORLD_IPV6 = 10
    ENCRYPTED_OVERLAY = 11

    @property
    def label(self) -> Label:
        """The label such an identity stands for, for example ``reserved:remote-node``."""
        return Label("reserved", self.name.lower().replace("_", "-"))


@dataclass(frozen=True, slots=True)
class Identity:
    """A number and the label set it stands for."""

    id: IdentityId
    labels: Labels


def reserved_identities() -> tuple[Identity, ...]:
    """All reserved identities in number order, without UNKNOWN."""
    return tuple(
        Identity(IdentityId(item.value), frozenset({item.label})) for item in Reserved if item is not Reserved.UNKNOWN
    )


def is_cluster_scope(identity: int) -> bool:
    """Whether the number stands for a label set of this cluster."""
    return FIRST_CLUSTER_ID <= identity <= LAST_CLUSTER_ID
