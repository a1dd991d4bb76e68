"""The node's firewall tables, looked at only when something may have changed them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netloom.agent.repairs import Repair
from netloom.edge import nft
from netloom.edge.firewall import MasqueradeSpec, ensure_guard, ensure_masquerade, ensure_proxy, remove_masquerade
from netloom.edge.host import HOST_DEVICE
from netloom.model.address import Network
from netloom.model.endpoint import WORKLOAD_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallSpec:
    """What the tables follow from, besides the other nodes."""

    node_name: str
    pod_cidrs: tuple[Network, ...]
    masquerade: bool
    doors: tuple[str, ...]
    """Devices by which packets may enter the host's stack."""
    mode_devices: tuple[str, ...]
    """The network modes'."""


class NodeFirewall:
    """The guard, and masquerading where it is wanted. Made and asked in the kernel thread."""

    def __init__(self, spec: FirewallSpec) -> None:
        self._spec = spec
        self._seen: tuple[int, tuple[Network, ...]] | None = None

    def ensure(self, others: tuple[Network, ...]) -> list[Repair]:
        """Put in place what is not as wanted; ``others``: prefixes besides this node's to which pods go as themselves.

        Raises as :func:`ensure_masquerade`.
        """
        seen = (nft.generation(), others)
        if seen == self._seen:
            return []
        spec = self._spec
        changed = {
            "guard": ensure_guard(spec.node_name, spec.doors),
            "proxy": ensure_proxy(spec.node_name, spec.pod_cidrs, spec.doors),
        }
        if spec.masquerade:
            changed["masquerading"] = ensure_masquerade(self._masquerade(others))
        else:
            remove_masquerade(spec.node_name)
        # What somebody changed since the first line has raised the number: it is looked at again next time.
        self._seen = None if any(changed.values()) else seen
        return [
            Repair(kind="firewall", name=f"firewall table ({what})", action="put in place")
            for what, done in changed.items()
            if done
        ]

    def _masquerade(self, others: Iterable[Network]) -> MasqueradeSpec:
        return MasqueradeSpec(
            node_name=self._spec.node_name,
            pod_cidrs=self._spec.pod_cidrs,
            cluster_cidrs=(*self._spec.pod_cidrs, *others),
            devices=(HOST_DEVICE, f"{WORKLOAD_PREFIX}*", *self._spec.mode_devices),
        )
