"""Which maps a packet walk may share with the data path, and stand-ins for the others.

A walk must meet the entries real packets meet, and change none. The verifier knows which maps a program writes: it
refuses to load a program that could write to a map made read-only for programs (BPF_F_RDONLY_PROG, Linux 5.2). So each
program is loaded once against read-only maps of the same shapes; what it is refused for gets a stand-in, and what it
is not refused for is proven to be only read.

A map of the kind that forgets (LRU) has an empty stand-in: it remembers packets, a walk is of a packet that nobody has
met, and the kernel takes all its room at once, which is much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from netloom.bpf.maps import BpfMap, MapSet
from netloom.bpf.objects import ProgramObject
from netloom.bpf.programs import load_program
from netloom.datapath.maps import MapKind, MapSpec
from netloom.model.errors import VerifierError

READ_ONLY = 0x80
"""BPF_F_RDONLY_PROG (linux/bpf.h)."""
RING_BYTES = 1 << 18
"""Of a ring that stands in for another: a walk's few events."""
FORGETTING_ENTRIES = 64
"""Of a map that stands in for one that forgets: what a walk's few runs remember."""
_ALWAYS_OWN = (MapKind.RINGBUF, MapKind.PROG_ARRAY, MapKind.LRU_HASH)
"""Rings are written by nature, and what is looked up in a map that forgets changes what it forgets next; a program
array leads to programs, which here are others."""
_NEVER_WRITTEN = (MapKind.SOCKMAP,)
"""Programs of ours cannot, and the kernel knows no read-only kind of them."""
_SIZED = (MapKind.ARRAY, MapKind.PERCPU_ARRAY, MapKind.PROG_ARRAY, MapKind.RINGBUF)
"""Maps whose size the verifier looks at, or that come in certain sizes alone."""

Spec = MapSpec[Any, Any]


def written_maps(programs: Sequence[ProgramObject], specs: Iterable[Spec]) -> frozenset[str]:
    """Names of the maps any of ``programs`` may write, as the verifier judges.

    Makes empty maps and loads programs that nobody runs. Raises VerifierError for a program that is refused whatever
    the maps are, KernelError otherwise.
    """
    known = {spec.name: spec for spec in specs}
    written = {name for name, spec in known.items() if spec.kind in _ALWAYS_OWN}
    # Small programs first: what they write the large ones need not be tried for.
    for program in sorted(programs, key=lambda item: len(item.instructions)):
        used = {name for _, name in program.map_refs if known[name].kind not in _NEVER_WRITTEN}
        found = _written_by(program, known, sorted(used - written))
        written |= found
        if found:
            _require(program, known, read_only=used - written)
    return frozenset(written)


def _written_by(program: ProgramObject, known: dict[str, Spec], names: Sequence[str]) -> set[str]:
    """Those of some maps that a program may write, most of which are none: by halves."""
    if not names or _loads(program, known, read_only=names):
        return set()
    if len(names) == 1:
        return {*names}
    half = len(names) // 2
    return _written_by(program, known, names[:half]) | _written_by(program, known, names[half:])


def stand_in(spec: Spec) -> Spec:
    """An empty map of the same shape; a ring is smaller, and so is a map that forgets."""
    if spec.kind is MapKind.RINGBUF:
        return replace(spec, max_entries=RING_BYTES)
    if spec.kind is MapKind.LRU_HASH:
        return replace(spec, max_entries=FORGETTING_ENTRIES)
    return spec


def restore(source: BpfMap[Any, Any], copy: BpfMap[Any, Any]) -> None:
    """Put a stand-in into the state in which a walk is to find it."""
    if source.spec.kind is MapKind.LRU_HASH:
        for key, _ in copy.raw_items():
            copy.delete_raw(key)
    else:
        copy_entries(source, copy)


def copy_entries(source: BpfMap[Any, Any], target: BpfMap[Any, Any]) -> None:
    """Make ``target`` hold what ``source`` holds; both of one shape, neither a ring nor a program array.

    Entries that are as they should be are left alone: of thousands of counters few change from run to run.
    """
    fresh, present = dict(source.raw_items()), dict(target.raw_items())
    for key in present.keys() - fresh.keys():
        target.delete_raw(key)
    for key, value in fresh.items():
        if present.get(key) != value:
            target.put_raw(key, value)


def _loads(program: ProgramObject, known: dict[str, Spec], *, read_only: Iterable[str]) -> bool:
    try:
        _require(program, known, read_only=read_only)
    except VerifierError:
        return False
    return True


def _require(program: ProgramObject, known: dict[str, Spec], *, read_only: Iterable[str]) -> None:
    closed = frozenset(read_only)
    names = dict.fromkeys(name for _, name in program.map_refs)
    specs = [_on_trial(known[name], read_only=name in closed) for name in names]
    with MapSet.ephemeral(specs) as maps, load_program(program, maps):
        pass


def _on_trial(spec: Spec, *, read_only: bool) -> Spec:
    """For a program that nobody runs, which asks for no room."""
    room = spec.max_entries if spec.kind in _SIZED else 1
    inner = _on_trial(spec.inner, read_only=read_only) if spec.inner else None
    flags = spec.flags | READ_ONLY if read_only else spec.flags
    return replace(stand_in(spec), max_entries=min(room, stand_in(spec).max_entries), flags=flags, inner=inner)
