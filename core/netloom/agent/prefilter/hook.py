"""The prefilter's program: on the underlay device while there is something to refuse, and nowhere otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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


def loader(cache_dir: Path, maps: MapSet) -> Callable[[], LoadedProgram]:
    """Loads the program, compiled before or not. Raises CompileError, Unsupported, VerifierError, KernelError."""

    def load() -> LoadedProgram:
        compiled = Compiler(cache_dir).compile(prefilter_program(), kind=ProgramKind.XDP)
        return load_program(compiled, maps)

    return load


class Hook:
    """One device's place for a program. Loading waits for the first time it is wanted: most nodes refuse nobody."""

    def __init__(self, kernel: KernelThread, device: str, load: Callable[[], LoadedProgram]) -> None:
        self._kernel = kernel
        self.device = device
        self._load = load
        self._socket: RtnlSocket | None = None
        self._program: LoadedProgram | None = None
        self.attached: Attached | None = None
        """As it was found when last looked at."""
        self.ifindex = 0
        """Of the device, while something is attached."""

    async def ensure(self, *, wanted: bool) -> list[Repair]:
        """See that the program is on the device, or that none is; returns what had to be done.

        Raises Conflict for somebody else's program, NotFound without the device, and as :func:`loader` and
        :meth:`Xdp.attach`.
        """
        if not wanted:
            return await self._kernel.run(self._detach)
        if self._program is None:
            self._program = await asyncio.to_thread(self._load)
        return await self._kernel.run(self._attach, self._program)

    async def leave_other_devices(self) -> None:
        """Take programs of an earlier run off devices that are not the underlay's any more. Raises KernelError."""
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
        self.attached, self.ifindex, before = None, 0, self.attached
        link, present = self._xdp().look(self.device)
        mode = next((each.mode for each in present if each.program.id == program.id), None)
        if mode is not None:
            known = before is not None and before.mode == mode
            self.attached, self.ifindex = before if known else Attached(mode=mode, obstacle=""), link.ifindex
            return []
        self.attached, self.ifindex = self._xdp().attach(self.device, program.fd, program.name), link.ifindex
        structlog.get_logger().info(
            "prefilter.attached", device=self.device, mode=self.attached.mode, obstacle=self.attached.obstacle
        )
        return [self._repair("attached")]

    def _detach(self) -> list[Repair]:
        done = self._xdp().detach(self.device)
        self.attached, self.ifindex = None, 0
        if self._program is not None:
            self._program.close()
            self._program = None
        if done:
            structlog.get_logger().info("prefilter.detached", device=self.device)
        return [self._repair("detached")] if done else []

    def _repair(self, action: str) -> Repair:
        return Repair(kind="filter", name=f"XDP program of {self.device}", action=action)

    def _leave_other_devices(self) -> None:
        for name in self._xdp().devices_with_ours():
            if name != self.device:
                self._xdp().detach(name)

    def _close(self) -> None:
        if self._program is not None:
            self._program.close()
        if self._socket is not None:
            self._socket.close()
