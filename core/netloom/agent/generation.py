"""Generations of programs: one configuration's programs with a tail-call map of their own.

A new generation is loaded beside the one at work. Then each device's filter is replaced in one step, and the old
generation's pins are removed. A packet meets stages of one generation only, and at no moment is a device without
a program.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import WORKLOAD_DEVICES, core_programs
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramObject
from netloom.bpf.programs import LoadedProgram, fill_slots, held_by_slots, load_programs
from netloom.datapath.registry import CALLS, CallSlot
from netloom.model.errors import KernelError, PluginError, Unavailable
from netloom.plugins.contract import UNDERLAY, AttachPoint, BpfProgram
from netloom.plugins.owned import OwnedProgram

FROM_CONTAINER = AttachPoint(WORKLOAD_DEVICES, "ingress")


@dataclass(frozen=True, slots=True)
class Behind:
    """The place behind another program at the underlay: it sees what that one leaves."""

    point: AttachPoint


Target = AttachPoint | Behind | CallSlot


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Objects ready to load, and the name of the program for each target."""

    objects: tuple[ProgramObject, ...]
    targets: Mapping[Target, str]
    direct: frozenset[str] = frozenset()
    """Names of programs that stand at the underlay only while tunnel packets may pass by the tunnel's device."""

    def needs_underlay(self) -> bool:
        """Whether programs must stand at every device of the underlay, tunnel or not."""
        return any(name not in self.direct for target, name in self.targets.items() if _is_at_underlay(target))

    def at_underlay(self, devices: Collection[str], *, direct: bool) -> Compiled:
        """With these devices in the place of the one name for all; ``direct``: whether :attr:`direct` ones belong.

        Of two programs at one place the one behind goes to its slot, or takes the place of one that does not belong.
        """
        targets = {target: name for target, name in self.targets.items() if not _is_at_underlay(target)}
        for point in (AttachPoint(UNDERLAY, "ingress"), AttachPoint(UNDERLAY, "egress")):
            names = [self.targets[place] for place in (point, Behind(point)) if place in self.targets]
            names = [name for name in names if direct or name not in self.direct]
            if names and devices:
                targets |= {AttachPoint(device, point.direction): names[0] for device in devices}
                targets |= dict.fromkeys([CallSlot.NEXT_AT_UNDERLAY] if names[1:] else [], names[-1])
        return Compiled(
            objects=tuple(item for item in self.objects if item.name in targets.values()),
            targets=targets,
            direct=self.direct,
        )


def assign(owned: Sequence[OwnedProgram]) -> dict[Target, BpfProgram]:
    """The core's and the plugins' programs by target; raises PluginError when two want the same.

    At the underlay the second mode's program stands behind the first's; one only, since there is one slot for it.
    What only a custom stage calls is left out where there is none: it is the dearest to load.
    """
    is_staged = any(item.program.target is CallSlot.CUSTOM_FROM_CONTAINER for item in owned)
    core = (program for program in core_programs() if is_staged or program.target is not CallSlot.FORWARD)
    programs: dict[Target, BpfProgram] = {program.target: program for program in core}
    owners: dict[Target, str] = dict.fromkeys(programs, "the agent")
    for item in owned:
        target: Target = item.program.target
        if item.at_underlay in programs and _may_stand_behind(item, owners):
            target = Behind(item.at_underlay)
        if target in programs:
            raise PluginError(
                item.plugin,
                f'its program "{item.program.name}" and "{programs[target].name}" of {owners[target]} both want '
                f"{_describe(target)}; disable one of the plugins",
            )
        programs[target] = item.program
        owners[target] = f'plugin "{item.plugin}"'
    return programs


def compile_generation(compiler: Compiler, owned: Sequence[OwnedProgram]) -> Compiled:
    """Compile everything. Takes seconds when nothing is cached; raises CompileError or PluginError."""
    programs = assign(owned)
    defines = {"CUSTOM_FROM_CONTAINER": 1} if CallSlot.CUSTOM_FROM_CONTAINER in programs else {}
    return Compiled(
        objects=compiler.compile_all(tuple(programs.values()), defines),
        targets={target: program.name for target, program in programs.items()},
        direct=frozenset(item.program.name for item in owned if item.direct),
    )


def _may_stand_behind(item: OwnedProgram, owners: Mapping[Target, str]) -> bool:
    return owners[item.program.target] != f'plugin "{item.plugin}"' and not any(isinstance(x, Behind) for x in owners)


def _is_at_underlay(target: Target) -> bool:
    return isinstance(target, Behind) or (isinstance(target, AttachPoint) and target.device == UNDERLAY)


def _describe(target: Target) -> str:
    if isinstance(target, Behind):
        target = target.point
    return f"slot {target.name}" if isinstance(target, CallSlot) else f"{target.direction} of {target.device}"


class Generation:
    """Programs in the kernel."""

    def __init__(self, directory: Path, compiled: Compiled, shared: MapSet) -> None:
        """Load everything; nothing is attached yet. Raises VerifierError or KernelError, leaving nothing pinned."""
        self.directory = directory
        self.objects = compiled.objects
        self._targets = compiled.targets
        self._calls = MapSet.open(directory, [CALLS])
        self._programs: dict[str, LoadedProgram] = {}
        try:
            self._programs = load_programs(compiled.objects, shared | self._calls)
            fill_slots(self._calls, self._stages())
            for name, program in self._programs.items():
                program.pin(directory / name)
        except BaseException:
            self.discard()
            raise

    @property
    def workload_program(self) -> LoadedProgram:
        """What goes on the host side of every workload's interface."""
        return self._programs[self._targets[FROM_CONTAINER]]

    def filters(self) -> dict[AttachPoint, LoadedProgram]:
        """What goes on the node's own devices."""
        return {
            target: self._programs[name]
            for target, name in self._targets.items()
            if isinstance(target, AttachPoint) and target != FROM_CONTAINER
        }

    def programs(self) -> tuple[LoadedProgram, ...]:
        """All of them, by name."""
        return tuple(self._programs[name] for name in sorted(self._programs))

    def slots(self) -> dict[CallSlot, str]:
        """Name of the program in each slot."""
        return {slot: name for slot, name in self._targets.items() if isinstance(slot, CallSlot)}

    def refill(self) -> frozenset[CallSlot]:
        """Fill the slots that somebody emptied or gave another program; returns which. Raises KernelError."""
        held, wanted = held_by_slots(self._calls), {slot: each.id for slot, each in self._stages().items()}
        wrong = frozenset(slot for slot in CallSlot if held.get(slot) != wanted.get(slot))
        if wrong:
            fill_slots(self._calls, self._stages())
        return wrong

    def live_slots(self) -> dict[CallSlot, str]:
        """Name of the program that is in each slot now, as tail calls find it; an emptied slot is missing.

        Raises Unavailable when a stranger's program is in one, KernelError.
        """
        names = {program.id: name for name, program in self._programs.items()}
        held = held_by_slots(self._calls)
        for slot, number in held.items():
            if number not in names:
                raise Unavailable(
                    f'slot {slot.name} of map "{CALLS.name}" holds program {number}, which this agent has not loaded: '
                    f"where it leads is not known here (see `bpftool prog show id {number}`); the agent puts its own "
                    "back at the next resync"
                )
        return {slot: names[number] for slot, number in held.items()}

    def repin(self) -> Iterator[Path]:
        """Pin again what somebody unpinned: without pins, tail calls end with the agent. Raises KernelError."""
        found = {self.directory / name: program.pin for name, program in self._programs.items()}
        calls = {self.directory / CALLS.pin_name: self._calls.of(CALLS).pin}
        return (path for path, pin in (found | calls).items() if pin(path))

    def _stages(self) -> dict[CallSlot, LoadedProgram]:
        return {slot: self._programs[name] for slot, name in self.slots().items()}

    def close(self) -> None:
        """Let go of the descriptors; what is attached and pinned stays."""
        for program in self._programs.values():
            program.close()
        self._calls.close()

    def discard(self) -> None:
        """Close, and remove the pins too."""
        self.close()
        remove_generation(self.directory)


def generations_in(parent: Path) -> list[Path]:
    """Directories of generations; what is named otherwise is not ours."""
    return sorted(path for path in parent.glob("*") if path.name.isdigit())


def next_directory(parent: Path) -> Path:
    """A name for a new generation, after those that are there."""
    numbers = [int(path.name) for path in generations_in(parent)]
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
    for path in generations_in(parent):
        if path != keep:
            remove_generation(path)
            structlog.get_logger().info("generation.removed", generation=path.name)
