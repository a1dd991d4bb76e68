"""The plugin: its settings, the network mode, and its eBPF programs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from netloom.plugins import (
    UNDERLAY,
    AttachPoint,
    BpfProgram,
    CallSlot,
    Context,
    Doc,
    Length,
    NetworkMode,
    PluginInfo,
    Role,
    hookimpl,
)
from netloom_native.mode import NAME, NativeMode


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeSettings:
    """``plugins.native``: packets between nodes as they are."""

    direct_node_routes: Annotated[
        bool,
        Doc(
            "Route the pods of a node that stands on one of this node's segments to its underlay address. Set it to "
            "false where a routing plugin or the network keeps those routes too, and set routed."
        ),
    ] = True
    routed: Annotated[
        bool,
        Doc(
            "Take it that nodes on other segments are reached by routes that somebody else keeps: a routing plugin, or "
            "the network. While false, such nodes are left to the fallback mode, or unreachable."
        ),
    ] = False
    native_cidrs: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Length(0, 256),
        Doc(
            "Prefixes outside the cluster whose addresses know a way back to pods: pods reach them with their own "
            "address, past the host's stack. They are the world to policies, as ever."
        ),
    ] = ()

    def __post_init__(self) -> None:
        for prefix in self.native_cidrs:
            if prefix.prefixlen == 0:
                raise ValueError(
                    f"native_cidrs: {prefix} is every address there is; where all of them know a way back to pods, set "
                    "masquerade to false instead"
                )


class Native:
    """Carries packets between nodes as they are, by the nodes' routes."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(
            name=NAME,
            role=Role.NETWORK_MODE,
            summary="Carries packets between nodes as they are, by the nodes' routes.",
        )

    @hookimpl
    def netloom_config_type(self) -> type:
        """The section's type."""
        return NativeSettings

    @hookimpl
    def netloom_network_mode(self, context: Context) -> NetworkMode:
        """The mode."""
        settings: NativeSettings = context.config
        return NativeMode(
            direct_node_routes=settings.direct_node_routes,
            routed=settings.routed,
            native_cidrs=settings.native_cidrs,
        )

    @hookimpl
    def netloom_bpf_programs(self) -> tuple[BpfProgram, ...]:
        """The stage that sends, the program that receives, and the guard."""
        return (
            _program("native", CallSlot.NATIVE),
            _program("from_netdev", AttachPoint(UNDERLAY, "ingress")),
            _program("to_netdev", AttachPoint(UNDERLAY, "egress")),
        )


def _program(name: str, target: AttachPoint | CallSlot) -> BpfProgram:
    file = f"{name}.bpf.c"
    source = files(__package__).joinpath(file).read_text(encoding="utf-8")
    return BpfProgram(name=name, file=file, source=source, target=target)
