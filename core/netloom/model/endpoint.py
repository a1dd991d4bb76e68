"""Endpoints: one local workload interface with its addresses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NewType

from netloom.model.address import Address
from netloom.model.bandwidth import UNLIMITED, Bandwidth
from netloom.model.identity import IdentityId
from netloom.model.labels import Labels
from netloom.model.ports import NamedPort
from netloom.model.visibility import Visibility

EndpointId = NewType("EndpointId", int)
IfIndex = NewType("IfIndex", int)

MAX_ENDPOINT_ID = 65535
WORKLOAD_PREFIX = "lxc"
"""Begins the names of the host sides of workloads' interfaces, and of no other device of ours."""
MAX_IFNAME_BYTES = 15
"""Linux IFNAMSIZ less the ending zero."""


class EndpointState(StrEnum):
    """Where an endpoint stands; the words of Cilium's ``endpoint list``."""

    WAITING_FOR_IDENTITY = "waiting-for-identity"
    REGENERATING = "regenerating"
    READY = "ready"
    RESTORING = "restoring"
    DISCONNECTING = "disconnecting"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What a runtime asked for: one interface in one container."""

    container_id: str
    ifname: str
    netns: str

    @property
    def key(self) -> str:
        """Names the attachment in stores and messages; unique in a node."""
        return f"{self.container_id}/{self.ifname}"

    @property
    def host_ifname(self) -> str:
        """``lxc`` and 12 hex digits: the same for the same attachment, and short enough for Linux."""
        return WORKLOAD_PREFIX + hashlib.sha256(self.key.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A workload interface this node serves."""

    id: EndpointId
    attachment: Attachment
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    ifindex: IfIndex
    """Of the host-side interface."""
    mac: bytes
    """Of the workload's interface, 6 bytes; before that is made, the one it must get, or zeros for any."""
    node_mac: bytes
    """Of the host-side interface, 6 bytes: the answer to the workload's ARP and ND requests."""
    identity: IdentityId
    labels: Labels
    state: EndpointState
    pod_name: str = ""
    pod_namespace: str = ""
    pod_uid: str = ""
    network: str = ""
    """Name of the runtime's network that attached it; "" when that was not told."""
    bandwidth: Bandwidth = UNLIMITED
    ports: tuple[NamedPort, ...] = ()
    """Sorted."""
    visibility: tuple[Visibility, ...] = ()
    """Ports whose requests are to be seen, sorted."""

    @property
    def pod(self) -> str:
        """``namespace/name`` as far as they were told; "" when neither was."""
        return "/".join(filter(None, (self.pod_namespace, self.pod_name)))

    @property
    def addresses(self) -> Iterator[Address]:
        """The addresses it has, IPv4 first."""
        return (address for address in (self.ipv4, self.ipv6) if address is not None)
