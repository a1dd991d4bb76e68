"""Frames made inside of the kernel, as many as are wanted, as if a driver had received them (Linux 5.18).

BPF_PROG_TEST_RUN with live frames gives a program for XDP frames of a page pool, as a driver does, and does with each
what the program says: one that passes becomes a packet that the named device received. No sender costs anything.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from netloom.bpf import libbpf
from netloom.bpf.compiler import Compiler
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramKind, ProgramObject
from netloom.bpf.programs import LoadedProgram, load_program
from netloom.datapath.layout import U32
from netloom.datapath.maps import Index, MapKind, MapSpec, Slot
from netloom.plugins.contract import UNDERLAY, AttachPoint, BpfProgram

_LIVE_FRAMES = 1 << 1
"""BPF_F_TEST_XDP_LIVE_FRAMES."""
_CONTEXT = struct.Struct("=IIIIII")
"""struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex."""
_BATCH = 64
"""Frames a driver takes at once (NAPI_POLL_WEIGHT)."""
_SOURCE = Path(__file__).with_name("spray.bpf.c")
FRAME = bytes.fromhex("02000000000102000000000208004500002e000000004011000000000000c0000201") + bytes(26)
"""60 bytes, the least Ethernet carries: UDP over IPv4."""


@dataclass(frozen=True, slots=True)
class SprayPlan:
    """From which addresses frames come, in turn."""

    first: U32
    step: U32
    """Between two addresses."""
    count: U32
    stride: U32
    """So many addresses further each time, that those next to each other do not follow each other."""
    at: U32 = 0


PLAN = MapSpec("spray_plan", MapKind.ARRAY, Index, SprayPlan, 1, "where frames come from")
NEXT = MapSpec("spray_next", MapKind.PROG_ARRAY, Index, Slot, 1, "who gets them")


def compile_sprayer(compiler: Compiler) -> ProgramObject:
    """The program that makes each frame another's."""
    program = BpfProgram(
        name="spray",
        file=_SOURCE.name,
        source=_SOURCE.read_text(encoding="utf-8"),
        target=AttachPoint(UNDERLAY, "ingress"),
        maps=(PLAN, NEXT),
    )
    return compiler.compile(program, kind=ProgramKind.XDP)


@contextmanager
def sprayer(compiled: ProgramObject, plan: SprayPlan, receiver: LoadedProgram | None) -> Iterator[LoadedProgram]:
    """Loaded, with a plan; ``receiver`` gets the frames, else the stack."""
    with ExitStack() as stack:
        maps = stack.enter_context(MapSet.ephemeral((PLAN, NEXT)))
        maps.of(PLAN).put(Index(0), plan)
        program = stack.enter_context(load_program(compiled, maps))
        if receiver is not None:
            maps.of(NEXT).put(Index(0), Slot(receiver.fd))
        yield program


def send(program: LoadedProgram, ifindex: int, count: int) -> int:
    """Let a device of the calling thread's namespace receive frames; nanoseconds of CPU time that took.

    What becomes of them is done in the call. Raises KernelError.
    """
    context = ctypes.create_string_buffer(_CONTEXT.pack(0, len(FRAME), 0, ifindex, 0, 0), _CONTEXT.size)
    options = libbpf.TestRunOpts(
        sz=ctypes.sizeof(libbpf.TestRunOpts),
        data_in=ctypes.cast(ctypes.c_char_p(FRAME), ctypes.c_void_p),
        data_size_in=len(FRAME),
        ctx_in=ctypes.cast(context, ctypes.c_void_p),
        ctx_size_in=_CONTEXT.size,
        repeat=count,
        batch_size=_BATCH,
        flags=_LIVE_FRAMES,
    )
    begun = time.thread_time_ns()
    result = libbpf.library().bpf_prog_test_run_opts(program.fd, options)
    spent = time.thread_time_ns() - begun
    libbpf.check(result, "send", f"{count} frames by device {ifindex}")
    return spent
