"""The node's pinned maps: the agent's own, and those that plugins' programs bring, each under its plugin's name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from netloom.bpf.maps import MapSet
from netloom.datapath import registry
from netloom.datapath.maps import MapSpec
from netloom.plugins.manager import OwnedProgram

SHARED_MAPS = tuple(spec for spec in registry.MAPS if spec.name != registry.CALLS.name)
"""The agent's maps that outlive a generation of programs."""


def maps_by_plugin(programs: Iterable[OwnedProgram]) -> dict[str, tuple[MapSpec[Any, Any], ...]]:
    """Each plugin's maps; one that several of its programs share stands once."""
    found: dict[str, dict[MapSpec[Any, Any], None]] = {}
    for owned in programs:
        found.setdefault(owned.plugin, {}).update(dict.fromkeys(owned.program.maps))
    return {plugin: tuple(specs) for plugin, specs in found.items() if specs}


class NodeMaps:
    """Opened, and made where missing, when constructed."""

    def __init__(self, directory: Path, programs: Iterable[OwnedProgram]) -> None:
        """Raises MapLayoutMismatch, KernelError, or Invalid when two maps have one name."""
        self._pins: dict[str, Path] = {}
        with ExitStack() as opened:
            self.all = opened.enter_context(self._open(directory, SHARED_MAPS, ""))
            for plugin, specs in maps_by_plugin(programs).items():
                self.all |= opened.enter_context(self._open(directory, specs, f"{plugin}_"))
            self._opened = opened.pop_all()

    def pin_of(self, name: str) -> Path:
        """Where a map is pinned; raises KeyError."""
        return self._pins[name]

    def close(self) -> None:
        """Let go of the maps; they stay pinned."""
        self._opened.close()

    def _open(self, directory: Path, specs: tuple[MapSpec[Any, Any], ...], prefix: str) -> MapSet:
        self._pins |= {spec.name: directory / f"{prefix}{spec.pin_name}" for spec in specs}
        return MapSet.open(directory, specs, prefix=prefix)
