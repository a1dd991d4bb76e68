"""What a data path is built from."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from netloom.agent.generation import Compiled
from netloom.config.settings import Settings
from netloom.edge.host import HOST_DEVICE
from netloom.model.address import Address, Network
from netloom.plugins.contract import AttachPoint
from netloom.plugins.fallback import Modes
from netloom.plugins.owned import OwnedProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathPlan:
    """What is to be built."""

    settings: Settings
    mode: Modes
    prefixes: tuple[Network, ...]
    gateways: tuple[Address, ...]
    programs: tuple[OwnedProgram, ...]
    compiling: Awaitable[Compiled]
    """Gives the programs once they are compiled."""

    @property
    def doors(self) -> tuple[str, ...]:
        """Devices by which packets enter the host's stack: loom_host, and those of a mode that no program guards."""
        guarded = {owned.program.target for owned in self.programs}
        devices = (device.name for device in self.mode.devices())
        return (HOST_DEVICE, *(name for name in devices if AttachPoint(name, "ingress") not in guarded))
