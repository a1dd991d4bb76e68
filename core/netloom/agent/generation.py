"""Generations of programs: one configuration's programs with a tail-call map of their own.

A new generation is loaded beside the one at work. Then each device's filter is replaced in one step, and the old
generation's pins are removed. A packet meets stages of one generation only, and at no moment is a device without
a program.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import structlog

from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import core_programs
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramObject
from netloom.bpf.programs import LoadedProgram, fill_slots, load_program
from netloom.datapath.registry import CALLS, CallSlot
from netloom.model.errors import KernelError, PluginError
from netloom.plugins.contract import AttachPoint, BpfProgram
from netloom.plugins.manager import OwnedProgram

CORE_SLOTS = {"neighbor": CallSlot.NEIGHBOR, "icmp_error": CallSlot.ICMP_ERROR, "forward": CallSlot.FORWARD}
FROM_CONTAINER = "from_container"
FROM_HOST = "from_host"


def targets(owned: tuple[OwnedProgram, ...]) -> dict[AttachPoint | CallSlot, OwnedProgram]:
    """Plugins' programs by target; raises PluginError when two want one, or one wants the core's."""
    found: dict[AttachPoint | CallSlot, OwnedProgram] = {}
    for item in owned:
        target = item.program.target
        if target in CORE_SLOTS.values():
            raise PluginError(item.plugin, f"its program {item.program.name} wants {target}, which is the agent's own")
        other = found.setdefault(target, item)
        if other is not item:
            raise PluginError(
                item.plugin,
                f'its program {item.program.name} and {other.program.name} of plugin "{other.plugin}" both want '
                f"{target}; disable one of the plugins",
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Objects ready to load, and where each goes."""

    objects: tuple[ProgramObject, ...]
    slots: dict[CallSlot, str]
    filters: dict[AttachPoint, str]
    """Program names by attach point of the network mode's devices."""


def compile_generation(compiler: Compiler, owned: tuple[OwnedProgram, ...]) -> Compiled:
    """Compile the core's and the plugins' programs. Slow (seconds) when nothing is cached; raises CompileError."""
    wanted = targets(owned)
    defines = {"CUSTOM_FROM_CONTAINER": 1} if CallSlot.CUSTOM_FROM_CONTAINER in wanted else {}
    programs: tuple[BpfProgram, ...] = (*core_programs(), *(item.program for item in owned))
    names = {target: item.program.name for target, item in wanted.items()}
    return Compiled(
        objects=compiler.compile_all(programs, defines),
        slots={slot: name for name, slot in CORE_SLOTS.items()}
        | {target: name for target, name in names.items() if isinstance(target, CallSlot)},
        filters={target: name for target, name in names.items() if isinstance(target, AttachPoint)},
    )


class Generation:
    """Programs in the kernel."""

    def __init__(self, directory: Path, compiled: Compiled, shared: MapSet) -> None:
        """Load everything; nothing is attached yet. Raises VerifierError or KernelError, leaving nothing pinned."""
        self.directory = directory
        self.filters = compiled.filters
        self._calls = MapSet.open(directory, [CALLS])
        self._programs: dict[str, LoadedProgram] = {}
        try:
            for compiled_object in compiled.objects:
                self._programs[compiled_object.name] = load_program(compiled_object, shared | self._calls)
            fill_slots(self._calls, {slot: self._programs[name] for slot, name in compiled.slots.items()})
            for name, program in self._programs.items():
                program.pin(directory / name)
        except BaseException:
            self.discard()
            raise

    def program(self, name: str) -> LoadedProgram:
        """A loaded program."""
        return self._programs[name]

    def programs(self) -> tuple[LoadedProgram, ...]:
        """All of them, by name."""
        return tuple(self._programs[name] for name in sorted(self._programs))

    def close(self) -> None:
        """Let go of the descriptors; what is attached and pinned stays."""
        for program in self._programs.values():
            program.close()
        self._calls.close()

    def discard(self) -> None:
        """Close, and remove the pins too."""
        self.close()
        remove_generation(self.directory)


def next_directory(parent: Path) -> Path:
    """A name for a new generation, after those that are there."""
    numbers = [int(path.name) for path in parent.glob("*") if path.name.isdigit()]
    return parent / f"{max(numbers, default=0) + 1:06d}"


def remove_generation(directory: Path) -> None:
    """Remove a generation's pins. Raises KernelError."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelError("remove", f"pins in {directory}", error.errno or 0) from error


def remove_others(parent: Path, keep: Path) -> None:
    """Remove the pins of all generations but one."""
    for path in parent.glob("*"):
        if path != keep:
            remove_generation(path)
            structlog.get_logger().info("generation.removed", generation=path.name)
