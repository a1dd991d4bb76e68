"""Twins of loaded programs, run on packets nobody sent: the same instructions over the same tables, without effect.

Each program has two. The *plain* twin is the program itself, loaded again: the kernel's tag of it, a hash of the
instructions, proves that what is walked is what is attached. The *noting* twin is the same program rewritten to write
down its calls (see :mod:`netloom.bpf.instrument`). Both share the maps that programs only read with the data path, and
have stand-ins for the others (see :mod:`netloom.bpf.shadows`). The noting twin is believed while both agree.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

from netloom.bpf.assemble import Code
from netloom.bpf.features import require_walks
from netloom.bpf.helpers import HELPERS, RINGBUF_RESERVE, RINGBUF_SUBMIT, Helper, Memory, Treatment
from netloom.bpf.instrument import (
    MEMORY_BYTES,
    RECORDS,
    TUNNEL_INPUT,
    TUNNEL_KEY_BYTES,
    CallRecord,
    Sizes,
    TunnelInput,
    instrument,
    is_by_chance,
    is_harmless,
)
from netloom.bpf.maps import BpfMap, MapSet
from netloom.bpf.objects import ProgramObject
from netloom.bpf.programs import LoadedProgram, fill_slots, load_program
from netloom.bpf.ring import EventRing
from netloom.bpf.shadows import restore, stand_in, written_maps
from netloom.bpf.testrun import RunResult, run
from netloom.datapath.layout import decode
from netloom.datapath.maps import Index, MapKind, by_name
from netloom.datapath.registry import CALLS, EVENTS, CallSlot
from netloom.model.errors import Unavailable, Unsupported

ATTEMPTS = 5
"""How often both twins are run until they agree: a table may change between the two."""
_NO_TUNNEL = TunnelInput(0, 0, bytes(TUNNEL_KEY_BYTES))
_ANY_FRAME = bytes(64)


class Entry(NamedTuple):
    """An entry of a map, as the kernel holds it."""

    map: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A packet as it comes to a hook."""

    frame: bytes
    ifindex: int
    """Of the device the hook is on; 1 or 0 stand for the loopback device."""
    mark: int = 0
    tunnel: TunnelInput | None = None
    """What the tunnel device has kept beside the packet."""
    entries: tuple[Entry, ...] = ()
    """What stand-ins hold besides, as if other packets had been there; maps that are shared are left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedCall:
    """One call of a helper."""

    program: str
    helper: Helper
    arguments: tuple[int, ...]
    """As unsigned 64-bit numbers; pointers among them mean nothing outside the kernel."""
    result: int
    """Signed; of a lookup, 0 when nothing was found."""
    map: str
    """Name of the map concerned, in a map of maps that of their common shape; "" when there is none."""
    before: bytes
    """Key or buffer before the call; empty when there is none."""
    after: bytes
    """Value found or written, or buffer after the call; empty when there is none, and of a map found in a map."""
    made: bool
    """False when the walk withheld the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRun:
    """What a program, and the stages it went on to, did with a packet."""

    verdict: int
    """A TC_ACT_ number, signed."""
    frame: bytes
    mark: int
    calls: tuple[NotedCall, ...]
    """In order; the program of a call says which stage made it."""
    events: tuple[bytes, ...]
    """What would have been written to the event ring."""
    compared: bool
    """Whether the plain twin was run too; it is not when it would reach beyond the packet."""


class Twins:
    """The twins of one generation of programs. Not for several threads at once; close it when done."""

    def __init__(
        self, objects: Sequence[ProgramObject], maps: Mapping[str, BpfMap[Any, Any]], slots: Mapping[CallSlot, str]
    ) -> None:
        """``maps``: every map the programs use but the tail-call map, which the twins have of their own.

        Raises Unsupported for programs that cannot be walked, VerifierError, KernelError.
        """
        require_walks()
        self._slots: dict[CallSlot, str] | None = None
        self._harmless = {item.name: is_harmless(item) for item in objects}
        self._by_chance = any(is_by_chance(item) for item in objects)
        used = {name for item in objects for _, name in item.map_refs} - {CALLS.name}
        self._specs = {name: maps[name].spec for name in used}
        _refuse_own_arrays(self._specs.values())
        written = written_maps(objects, (*self._specs.values(), CALLS)) - {CALLS.name}
        self._specs = by_name(self._specs.values())
        with ExitStack() as opened:
            shared = MapSet((maps[name] for name in used - written), owner=False)
            own = opened.enter_context(MapSet.ephemeral(stand_in(self._specs[name]) for name in written))
            notes = opened.enter_context(MapSet.ephemeral((RECORDS, TUNNEL_INPUT)))
            everything = shared | own
            self._copied = {
                name: (maps[name], own[name]) for name in written if self._specs[name].kind is not MapKind.RINGBUF
            }
            noting = _instrumented(objects, self._specs.values())
            self._calls = tuple(opened.enter_context(MapSet.ephemeral((CALLS,))) for _ in range(2))
            self._plain = _load(opened, objects, everything | self._calls[0])
            self._noting = _load(opened, noting, everything | notes | self._calls[1])
            self.join(slots)
            self._records = opened.enter_context(closing(EventRing(notes.of(RECORDS))))
            self._events = opened.enter_context(closing(EventRing(own.of(EVENTS)))) if EVENTS.name in written else None
            self._tunnel = notes.of(TUNNEL_INPUT)
            self._names = _addresses(everything | notes, self._records)
            self._numbers = tuple(item.name for item in objects)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the kernel free all of it."""
        self._opened.close()

    def join(self, slots: Mapping[CallSlot, str]) -> None:
        """Make tail calls lead where those of the data path lead; one to a slot that is not there fails."""
        if slots == self._slots:
            return
        for calls, programs in zip(self._calls, (self._plain, self._noting), strict=True):
            fill_slots(calls, {slot: programs[name] for slot, name in slots.items()})
        self._slots = dict(slots)

    def tag(self, name: str) -> str:
        """The kernel's tag of a program; the same as that of every program with the same instructions."""
        return self._plain[name].tag

    def run(self, name: str, arrival: Arrival) -> TwinRun:
        """Let a program see a packet.

        Raises Unavailable when its twins do not agree, KernelError when the kernel does not take the packet.
        """
        compared = self._is_harmless(name)
        noted = self._agreed(name, arrival) if compared else self._run(name, arrival, _NO_TUNNEL)
        if arrival.tunnel is not None:
            noted = self._run(name, arrival, arrival.tunnel)
        return TwinRun(
            verdict=noted.result.verdict,
            frame=noted.result.packet,
            mark=noted.result.mark,
            calls=self._calls_of(noted.records),
            events=noted.events,
            compared=compared,
        )

    def _is_harmless(self, name: str) -> bool:
        """With whatever stage it may go on to."""
        return all(self._harmless[each] for each in (name, *(self._slots or {}).values()))

    def _agreed(self, name: str, arrival: Arrival) -> _Noted:
        """A run of the noting twin that did what the plain one does.

        Bytes in which runs of the plain one differ from each other are by chance, and say nothing about the other.
        """
        plain: list[RunResult] = []
        for _ in range(ATTEMPTS):
            plain += [self._run_plain(name, arrival) for _ in range(2 if self._by_chance else 1)]
            noted = self._run(name, arrival, _NO_TUNNEL)
            if _alike(plain if self._by_chance else plain[-1:], noted.result):
                return noted
        raise Unavailable(
            f'the twins of eBPF program "{name}" do not agree about the packet: a table it reads keeps changing, or it '
            "decides by chance; walk again"
        )

    def _run_plain(self, name: str, arrival: Arrival) -> RunResult:
        self._forget(arrival)
        return run(self._plain[name], arrival.frame, ifindex=arrival.ifindex, mark=arrival.mark)

    def _run(self, name: str, arrival: Arrival, tunnel: TunnelInput) -> _Noted:
        self._forget(arrival)
        self._tunnel.put(Index(0), tunnel)
        result = run(self._noting[name], arrival.frame, ifindex=arrival.ifindex, mark=arrival.mark)
        records = tuple(decode(CallRecord, raw) for raw in self._records.consume())
        return _Noted(result, records, tuple(self._events.consume()) if self._events else ())

    def _forget(self, arrival: Arrival) -> None:
        """Put the stand-ins into the state of the maps they stand for, and write what the packet brings with it."""
        for source, copy in self._copied.values():
            restore(source, copy)
        for entry in arrival.entries:
            if entry.map in self._copied:
                self._copied[entry.map][1].put_raw(entry.key, entry.value)
        for ring in (self._records, self._events):
            while ring and ring.consume():
                pass

    def _calls_of(self, records: Sequence[CallRecord]) -> tuple[NotedCall, ...]:
        """Which map a call is about its address tells; that of a map in a map is what a lookup before has found."""
        found: list[NotedCall] = []
        names = dict(self._names)
        for record in records:
            call = self._noted(record, names.get(record.argument1, ""))
            spec = self._specs.get(call.map)
            if spec and spec.inner and record.result:
                names[record.result] = spec.inner.name
            found.append(call)
        return tuple(found)

    def _noted(self, record: CallRecord, map_name: str) -> NotedCall:
        helper = HELPERS[record.helper]
        numbers = (record.argument1, record.argument2, record.argument3, record.argument4, record.argument5)
        arguments = numbers[: helper.arguments]
        before, after = self._memory(record, helper, map_name)
        return NotedCall(
            program=self._numbers[record.program],
            helper=helper,
            arguments=arguments,
            result=record.result if record.result < 1 << 63 else record.result - (1 << 64),
            map=map_name,
            before=before,
            after=after,
            made=helper.treatment is not Treatment.WITHHELD,
        )

    def _memory(self, record: CallRecord, helper: Helper, map_name: str) -> tuple[bytes, bytes]:
        """What was before and after the call, each as long as it really is; empty what could not be read."""
        if helper.memory is Memory.NONE:
            return b"", b""
        if helper.memory in (Memory.BUFFER_2, Memory.BUFFER_3):
            size = record.argument3 if helper.memory is Memory.BUFFER_2 else record.argument4
            sizes = (size, size)
        else:
            spec = self._specs[map_name]
            found = record.result if helper.memory is Memory.KEY_AND_FOUND and not spec.inner else 0
            has_value = found or helper.memory is Memory.KEY_AND_GIVEN
            sizes = (spec.key_bytes, spec.value_bytes if has_value else 0)
        before = b"" if record.before_failed else record.before[: sizes[0]]
        after = b"" if record.after_failed else record.after[: sizes[1]]
        return before, after


@dataclass(frozen=True, slots=True)
class _Noted:
    result: RunResult
    records: tuple[CallRecord, ...]
    events: tuple[bytes, ...]


def _alike(plain: Sequence[RunResult], noted: RunResult) -> bool:
    """Whether the last of the plain runs did the same, but for bytes in which plain runs differ among themselves."""
    last = plain[-1]
    if (last.verdict, last.mark, len(last.packet)) != (noted.verdict, noted.mark, len(noted.packet)):
        return False
    comparable = [item.packet for item in plain if len(item.packet) == len(noted.packet)]
    return all(len({*found}) > 1 or found[0] == byte for *found, byte in zip(*comparable, noted.packet, strict=True))


def _refuse_own_arrays(specs: Any) -> None:
    for spec in specs:
        if spec.kind is MapKind.PROG_ARRAY:
            raise Unsupported(
                "walking a plugin's programs",
                needs=f'stages in the slots of map "{CALLS.name}"',
                found=f'a program array of its own, "{spec.name}"',
            )


def _instrumented(objects: Sequence[ProgramObject], specs: Any) -> tuple[ProgramObject, ...]:
    known = tuple(specs)
    sizes = Sizes(
        key_bytes=min(MEMORY_BYTES, max((spec.key_bytes for spec in known), default=1)),
        value_bytes=min(MEMORY_BYTES, max((spec.value_bytes for spec in known), default=1)),
    )
    return tuple(instrument(item, number, sizes) for number, item in enumerate(objects))


def _load(opened: ExitStack, objects: Sequence[ProgramObject], maps: MapSet) -> dict[str, LoadedProgram]:
    return {item.name: opened.enter_context(load_program(item, maps)) for item in objects}


def _addresses(maps: MapSet, records: EventRing) -> dict[int, str]:
    """Where the kernel keeps each map: what programs pass to helpers, and so what tells which map a call is about."""
    names = sorted(maps)
    code = Code()
    code.load_map(1, RECORDS.name)
    code.number(2, 8 * len(names))
    code.number(3, 0)
    code.call(RINGBUF_RESERVE)
    code.go_if(0, 0, "end")
    code.copy(6, 0)
    for position, name in enumerate(names):
        code.load_map(1, name)
        code.store(6, 8 * position, 1)
    code.copy(1, 6)
    code.number(2, 0)
    code.call(RINGBUF_SUBMIT)
    code.label("end")
    code.number(0, 0)
    code.leave()
    asking = ProgramObject("map_addresses", code.assembled(), tuple(code.map_refs))
    with load_program(asking, maps) as program:
        run(program, _ANY_FRAME)
    (raw,) = records.consume()
    return {int.from_bytes(raw[8 * at : 8 * at + 8], sys.byteorder): name for at, name in enumerate(names)}
