"""The node's pinned maps: the agent's own, and those that plugins' programs bring, each under its plugin's name.

What stands in the tables follows from facts, so a table of another version, or of another size, is not converted: a
new one is made and filled beside the old, which programs already at work keep until they are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from netloom.bpf.maps import MapSet
from netloom.bpf.pins import SCRATCH_SUFFIX
from netloom.bpf.resized import unpin_resized
from netloom.datapath import registry
from netloom.datapath.maps import MapSpec
from netloom.plugins.owned import OwnedProgram

SHARED_MAPS = tuple(spec for spec in registry.MAPS if spec.name != registry.CALLS.name)
"""The agent's maps that outlive a generation of programs."""
_VERSION = re.compile(rf"(?P<name>.+)_v\d+({SCRATCH_SUFFIX})?")
"""A map's pin, or one that was to take its place when an agent died."""


def maps_by_plugin(programs: Iterable[OwnedProgram]) -> dict[str, tuple[MapSpec[Any, Any], ...]]:
    """Each plugin's maps; one that several of its programs share stands once."""
    found: dict[str, dict[MapSpec[Any, Any], None]] = {}
    for owned in programs:
        found.setdefault(owned.plugin, {}).update(dict.fromkeys(owned.program.maps))
    return {plugin: tuple(specs) for plugin, specs in found.items() if specs}


class NodeMaps:
    """Opened, and made where missing, when constructed."""

    def __init__(self, directory: Path, programs: Iterable[OwnedProgram], sizes: Mapping[str, int]) -> None:
        """``sizes``: room in entries by name of map, for those of the agent's that have not the registry's.

        A pin of another size is let go for a new, empty map. Raises MapLayoutMismatch for one of another shape,
        KernelError, or Invalid when two maps have one name.
        """
        self._directory = directory
        self._pins: dict[str, Path] = {}
        own = tuple(replace(spec, max_entries=sizes.get(spec.name, spec.max_entries)) for spec in SHARED_MAPS)
        for spec in own:
            if spec.name in sizes:
                _make_way(directory / spec.pin_name, spec)
        with ExitStack() as opened:
            self.all = opened.enter_context(self._open(own, ""))
            for plugin, specs in maps_by_plugin(programs).items():
                self.all |= opened.enter_context(self._open(specs, f"{plugin}_"))
            self._opened = opened.pop_all()

    def pin_of(self, name: str) -> Path:
        """Where a map is pinned; raises KeyError."""
        return self._pins[name]

    def repin(self) -> Iterator[Path]:
        """Pin again what somebody unpinned or replaced; gives the pins that were wrong. Raises KernelError."""
        return (path for name, path in self._pins.items() if self.all[name].pin(path))

    def remove_other_versions(self) -> None:
        """Remove pins of these maps in versions no program of ours uses any more; other names are not ours."""
        current = {path.name for path in self._pins.values()}
        for path in own_pins(self._directory, {_base(name) for name in current}):
            if path.name not in current:
                path.unlink(missing_ok=True)
                structlog.get_logger().info("maps.other_version_removed", pin=str(path))

    def close(self) -> None:
        """Let go of the maps; they stay pinned."""
        self._opened.close()

    def _open(self, specs: tuple[MapSpec[Any, Any], ...], prefix: str) -> MapSet:
        self._pins |= {spec.name: self._directory / f"{prefix}{spec.pin_name}" for spec in specs}
        return MapSet.open(self._directory, specs, prefix=prefix)


def agents_pins(directory: Path, plugins: Iterable[str]) -> list[Path]:
    """Pins of the agent's maps and of those of the plugins, in whatever version."""
    prefixes = tuple(f"{plugin}_" for plugin in plugins)
    own = set(own_pins(directory, {spec.name for spec in SHARED_MAPS}))
    return sorted(path for path in directory.glob("*") if path in own or _base(path.name).startswith(prefixes))


def own_pins(directory: Path, names: Collection[str]) -> Iterator[Path]:
    """Pins of maps of these names, in whatever version."""
    return (path for path in directory.glob("*") if _base(path.name) in names)


def _base(pin: str) -> str:
    """The name of a pin's map, a plugin's with the plugin's; "" when it is named otherwise."""
    found = _VERSION.fullmatch(pin)
    return found["name"] if found else ""


def _make_way(path: Path, spec: MapSpec[Any, Any]) -> None:
    if (found := unpin_resized(path, spec)) is not None:
        structlog.get_logger().info("maps.resized", map=spec.name, entries=spec.max_entries, before=found)
