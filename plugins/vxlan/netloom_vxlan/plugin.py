"""The plugin: its settings, the network mode, and its eBPF programs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any

from netloom.plugins import (
    U64,
    UNDERLAY,
    AttachPoint,
    BpfProgram,
    CallSlot,
    Context,
    Doc,
    Index,
    MapKind,
    MapSpec,
    NetworkMode,
    PluginInfo,
    Range,
    Role,
    hookimpl,
)
from netloom_vxlan.mode import DEVICE, NAME, VxlanMode


@dataclass(frozen=True, slots=True, kw_only=True)
class VxlanSettings:
    """``plugins.vxlan``: the overlay."""

    port: Annotated[
        int,
        Range(1, 65535),
        Doc(
            "UDP port of the overlay, the same on all nodes. The default is that of Linux and Cilium, not IANA's 4789."
        ),
    ] = 8472
    direct: Annotated[
        bool,
        Doc(
            "Send and take tunnel packets over IPv4 past the tunnel device and the host's stack, where that can "
            "be done. Set it to false where the node's own packet filter must see tunnel packets."
        ),
    ] = True


@dataclass(frozen=True, slots=True)
class BulkFlow:
    """A flow whose packets come put together from several, and are left to the tunnel device."""

    seen_jiffies: U64


BULK_FLOWS = MapSpec("bulk_flows", MapKind.PERCPU_ARRAY, Index, BulkFlow, 1024, "flows that keep to the tunnel device")


class Vxlan:
    """Carries packets between nodes in VXLAN, with the sender's identity as VNI."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name=NAME, role=Role.NETWORK_MODE, summary="Carries packets between nodes in VXLAN.")

    @hookimpl
    def netloom_config_type(self) -> type:
        """The section's type."""
        return VxlanSettings

    @hookimpl
    def netloom_network_mode(self, context: Context) -> NetworkMode:
        """The mode."""
        return VxlanMode(context.config.port, direct=context.config.direct)

    @hookimpl
    def netloom_bpf_programs(self) -> tuple[BpfProgram, ...]:
        """The stage that sends into the tunnel, and the programs that receive from it."""
        return (
            _program("encap", CallSlot.ENCAP),
            _program("from_overlay", AttachPoint(DEVICE, "ingress")),
            _program("from_underlay", AttachPoint(UNDERLAY, "ingress"), BULK_FLOWS),
        )


def _program(name: str, target: AttachPoint | CallSlot, *maps: MapSpec[Any, Any]) -> BpfProgram:
    file = f"{name}.bpf.c"
    source = files(__package__).joinpath(file).read_text(encoding="utf-8")
    return BpfProgram(name=name, file=file, source=source, target=target, maps=maps)
