"""The plugin: its settings, the network mode, and its two eBPF programs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated

from netloom.plugins import (
    AttachPoint,
    BpfProgram,
    CallSlot,
    Context,
    Doc,
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
        return VxlanMode(context.config.port)

    @hookimpl
    def netloom_bpf_programs(self) -> tuple[BpfProgram, ...]:
        """The stage that sends into the tunnel, and the program that receives from it."""
        return (_program("encap", CallSlot.ENCAP), _program("from_overlay", AttachPoint(DEVICE, "ingress")))


def _program(name: str, target: AttachPoint | CallSlot) -> BpfProgram:
    file = f"{name}.bpf.c"
    source = files(__package__).joinpath(file).read_text(encoding="utf-8")
    return BpfProgram(name=name, file=file, source=source, target=target)
