"""The plugin: its settings and its one hook."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from netloom.plugins import Context, Doc, Ipam, Length, PluginInfo, Role, hookimpl
from netloom_hostscope.ipam import HostScopeIpam

MAX_IPV4_LENGTH = 30
MAX_IPV6_LENGTH = 126


@dataclass(frozen=True, slots=True, kw_only=True)
class HostScopeSettings:
    """``plugins.hostscope``: the addresses of this node's pods."""

    pod_cidrs: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Length(1, 64),
        Doc(
            "Prefixes for this node's pods, IPv4, IPv6 or both; no other node may have them. The first address of the "
            "first prefix of each IP version is the pods' gateway. A full prefix is followed by the next."
        ),
    ]

    def __post_init__(self) -> None:
        for number, prefix in enumerate(self.pod_cidrs):
            if prefix.prefixlen > (MAX_IPV4_LENGTH if prefix.version == 4 else MAX_IPV6_LENGTH):
                raise ValueError(
                    f"pod_cidrs: {prefix} has no room for a gateway and a pod; a prefix is at most "
                    f"/{MAX_IPV4_LENGTH} for IPv4 and /{MAX_IPV6_LENGTH} for IPv6"
                )
            for other in self.pod_cidrs[:number]:
                if prefix.version == other.version and prefix.overlaps(other):
                    raise ValueError(f"pod_cidrs: {prefix} overlaps {other}")


class HostScope:
    """Addresses from prefixes that belong to this node alone, given in order."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name="hostscope", role=Role.IPAM, summary="Gives pods addresses of this node's own prefixes.")

    @hookimpl
    def netloom_config_type(self) -> type:
        """The section's type."""
        return HostScopeSettings

    @hookimpl
    def netloom_ipam(self, context: Context) -> Ipam:
        """The address manager."""
        return HostScopeIpam(context.config.pod_cidrs)
