"""Programs and the plugins they came from, and what stands against having them side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netloom.model.errors import PluginError
from netloom.plugins.contract import UNDERLAY, AttachPoint, BpfProgram
from netloom.plugins.fallback import Modes


@dataclass(frozen=True, slots=True)
class OwnedProgram:
    """An eBPF program and the plugin it came from."""

    plugin: str
    program: BpfProgram
    direct: bool = False
    """Of a network mode with a tunnel: at the underlay it stands only where packets may pass by the tunnel's device."""

    @property
    def at_underlay(self) -> AttachPoint | None:
        """Where at the underlay's devices it is to be; None when it is for another place."""
        target = self.program.target
        return target if isinstance(target, AttachPoint) and target.device == UNDERLAY else None


def place_of(program: BpfProgram) -> str:
    """Where a program wants to be, in words."""
    if isinstance(program.target, AttachPoint):
        return f"{program.target.direction} of {program.target.device}"
    return f"slot {program.target.name}"


def refuse_doubles(claims: Iterable[tuple[str, str]]) -> None:
    """Raises PluginError when two claims, of a plugin for a thing, are for one thing."""
    owners: dict[str, str] = {}
    for plugin, thing in claims:
        if thing in owners:
            raise PluginError(
                plugin, f'claims {thing}, which plugin "{owners[thing]}" claims too; name one of them in hooks.disabled'
            )
        owners[thing] = plugin


def refuse_programs(programs: Iterable[OwnedProgram], modes: Modes) -> None:
    """Raises PluginError when a program is for a device that the modes do not have, or two want one place or name.

    At a place of the underlay the fallback mode's program stands behind the first mode's.
    """
    programs = tuple(programs)
    for owned in programs:
        _refuse_foreign_device(owned, modes)
    refuse_doubles((owned.plugin, _place_among(owned, modes)) for owned in programs)
    refuse_doubles((owned.plugin, f'program name "{owned.program.name}"') for owned in programs)


def _place_among(owned: OwnedProgram, modes: Modes) -> str:
    is_behind = owned.at_underlay is not None and owned.plugin in modes.names[1:]
    return f"{place_of(owned.program)}{' as fallback' if is_behind else ''}"


def _refuse_foreign_device(owned: OwnedProgram, modes: Modes) -> None:
    target = owned.program.target
    devices = {device.name for device in modes.devices()}
    if owned.at_underlay and owned.plugin in modes.names:
        return
    if isinstance(target, AttachPoint) and target.device not in devices:
        raise PluginError(
            owned.plugin,
            f'program "{owned.program.name}" is for device "{target.device}", expected a device of the network '
            f"mode ({', '.join(sorted(devices)) or 'it has none'})",
        )
