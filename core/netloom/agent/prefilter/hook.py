"""The prefilter's program: on the underlay's devices while there is something to refuse, and nowhere otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from netloom.agent.kernel import KernelThread
from netloom.agent.repairs import Repair
from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import prefilter_program
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramKind
from netloom.bpf.programs import LoadedProgram, load_program
from netloom.edge.rtnl import RtnlSocket
from netloom.edge.xdp import Attached, Xdp
from netloom.model.errors import NetloomError, NotFound


def loader(cache_dir: Path, maps: MapSet) -> Callable[[], LoadedProgram]:
    """Loads the program, compiled before or not. Raises CompileError, Unsupported, VerifierError, KernelError."""

    def load() -> LoadedProgram:
        compiled = Compiler(cache_dir).compile(prefilter_program(), kind=ProgramKind.XDP)
        return load_program(compiled, maps)

    return load


class Hooks:
    """The underlay devices' places for one program, loaded when first wanted: most nodes refuse nobody."""

    def __init__(self, kernel: KernelThread, devices: tuple[str, ...], load: Callable[[], LoadedProgram]) -> None:
        self._kernel = kernel
        self.devices = devices
        self._load = load
        self._socket: RtnlSocket | None = None
        self._program: LoadedProgram | None = None
        self._attached: dict[str, tuple[int, Attached]] = {}
        """Index of each device that has it, and how, as they were found when last looked at."""

    @property
    def attached(self) -> Mapping[str, Attached]:
        """How it is attached, by device."""
        return {name: attached for name, (_, attached) in self._attached.items()}

    @property
    def indexes(self) -> frozenset[int]:
        """Of the devices that have it."""
        return frozenset(index for index, _ in self._attached.values())

    async def ensure(self, *, wanted: bool) -> list[Repair]:
        """See that the program is on each device that is there, or on none; returns what had to be done.

        Raises NotFound without any device, Conflict for somebody else's program on one, and as :func:`loader` and
        :meth:`Xdp.attach`; other devices have theirs then.
        """
        if not wanted:
            return await self._kernel.run(self._detach)
        if self._program is None:
            self._program = await asyncio.to_thread(self._load)
        return await self._kernel.run(self._attach, self._program)

    async def leave_other_devices(self) -> None:
        """Take programs of an earlier run off devices that are none of the underlay's any more. Raises KernelError."""
        await self._kernel.run(self._leave_other_devices)

    async def close(self) -> None:
        """Let go of what is open; what is attached stays."""
        await self._kernel.run(self._close)

    def _xdp(self) -> Xdp:
        """Made in the kernel thread, whose namespace it serves."""
        if self._socket is None:
            self._socket = RtnlSocket()
        return Xdp(self._socket)

    def _attach(self, program: LoadedProgram) -> list[Repair]:
        repairs: list[Repair] = []
        absent: list[NetloomError] = []
        refusals: list[NetloomError] = []
        attached: dict[str, tuple[int, Attached]] = {}
        for device in self.devices:
            try:
                index, place, news = self._attach_to(device, program)
            except NotFound as error:
                absent.append(error)
            except NetloomError as error:
                refusals.append(error)
            else:
                attached[device] = index, place
                repairs += [_repair(device, "attached")] if news else []
        self._attached = attached
        if refusals:
            raise refusals[0]
        # One that is away brings nothing that could be refused, and has its turn when it is back.
        if not attached:
            raise absent[0]
        return repairs

    def _attach_to(self, device: str, program: LoadedProgram) -> tuple[int, Attached, bool]:
        """The device's index, how the program is there, and whether it was not before."""
        link, present = self._xdp().look(device)
        mode = next((each.mode for each in present if each.program.id == program.id), None)
        if mode is not None:
            _, known = self._attached.get(device, (0, None))
            return link.ifindex, known if known and known.mode == mode else Attached(mode=mode, obstacle=""), False
        made = self._xdp().attach(device, program.fd, program.name)
        structlog.get_logger().info("prefilter.attached", device=device, mode=made.mode, obstacle=made.obstacle)
        return link.ifindex, made, True

    def _detach(self) -> list[Repair]:
        self._attached = {}
        done = [device for device in self.devices if self._xdp().detach(device)]
        if self._program is not None:
            self._program.close()
            self._program = None
        for device in done:
            structlog.get_logger().info("prefilter.detached", device=device)
        return [_repair(device, "detached") for device in done]

    def _leave_other_devices(self) -> None:
        for name in self._xdp().devices_with_ours():
            if name not in self.devices:
                self._xdp().detach(name)

    def _close(self) -> None:
        if self._program is not None:
            self._program.close()
        if self._socket is not None:
            self._socket.close()


def _repair(device: str, action: str) -> Repair:
    return Repair(kind="filter", name=f"XDP program of {device}", action=action)
