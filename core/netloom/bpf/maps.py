"""eBPF maps: created from their declaration, read and written as typed values, pinned and opened again."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from netloom.bpf import batch, libbpf, pins
from netloom.bpf.held import Held
from netloom.bpf.walk import raw_batches, raw_entries
from netloom.datapath.layout import decode, encode
from netloom.datapath.maps import MapKind, MapSpec
from netloom.model.errors import Exhausted, Invalid, KernelError, MapLayoutMismatch

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")

_FULL = (errno.E2BIG, errno.ENOSPC)
"""Hash tables answer the first, longest-prefix tries the second, when they are full."""
_PREALLOCATED = (MapKind.ARRAY, MapKind.PERCPU_ARRAY)
"""Maps whose entries all exist from the start."""


@dataclass(frozen=True, slots=True)
class MapStatus:
    """How full a map is."""

    id: int
    """Number the kernel gave it, as ``bpftool map show id`` takes it."""
    entries: int
    """Entries in use; for arrays all, for a ring buffer 0."""
    max_entries: int
    """Room; for a ring buffer in bytes."""


class BpfMap(Held, Generic[K, V]):
    """One map of the kernel. Safe to use from several threads; not after :meth:`close`."""

    def __init__(self, spec: MapSpec[K, V], fd: int) -> None:
        """Take ``fd`` over; its shape must be that of ``spec``: see :func:`check_layout`."""
        super().__init__(fd)
        self.spec = spec
        self._percpu = spec.kind is MapKind.PERCPU_ARRAY
        # The kernel rounds each CPU's value up to 8 bytes (Documentation/bpf/map_array.rst).
        self._stride = -(-spec.value_bytes // 8) * 8 if self._percpu else spec.value_bytes
        self._entry_bytes = self._stride * (libbpf.possible_cpus() if self._percpu else 1)

    def __repr__(self) -> str:
        return f"BpfMap({self.spec.name!r}, fd={self._fd})"

    def get(self, key: K) -> V | None:
        """The value at ``key``. Slots of a program array give the program's id. Raises KernelError."""
        self._refuse(self._percpu, "get_percpu()")
        raw = self._lookup(key)
        return None if raw is None else decode(self.spec.value, raw)

    def get_raw(self, key: K) -> bytes | None:
        """As :meth:`get`, in the kernel's bytes: for whoever wants little of it, and often."""
        self._refuse(self._percpu, "get_percpu()")
        return self._lookup(key)

    def get_percpu(self, key: K) -> tuple[V, ...] | None:
        """The values at ``key``, one per possible CPU. Raises KernelError."""
        self._refuse(not self._percpu, "get()")
        raw = self._lookup(key)
        return None if raw is None else self._split(raw)

    def put(self, key: K, value: V) -> None:
        """Write an entry, replacing what was there; in a per-CPU map the same value for every CPU.

        Raises Exhausted when the map is full, KernelError otherwise, ValueError or struct.error when a number
        does not fit its field.
        """
        raw = encode(value)
        if self._percpu:
            raw = raw.ljust(self._stride, b"\0") * libbpf.possible_cpus()
        self._write(encode(key), raw, key)

    def put_all(self, entries: Mapping[K, V]) -> None:
        """As :meth:`put` for each in turn, at once where the kernel can; those before one that fails are written."""
        self._refuse(self._percpu, "put()")
        keys = tuple(entries)
        pairs = [(encode(key), encode(value)) for key, value in entries.items()]
        batch.put_all(self._fd, pairs, lambda at, result: self._check_written(result, keys[at]))

    def delete(self, key: K) -> None:
        """Remove an entry; no error when there is none. Raises KernelError."""
        result = libbpf.library().bpf_map_delete_elem(self._fd, encode(key))
        if result not in (0, -errno.ENOENT):
            libbpf.check(result, "delete", self._entry(key))

    def delete_all(self, keys: Iterable[K]) -> None:
        """As :meth:`delete` for each in turn, at once where the kernel can."""
        self.delete_all_raw([encode(key) for key in keys])

    def items(self) -> dict[K, V]:
        """All entries, in the kernel's order; what changes meanwhile may be in or not. Raises KernelError."""
        return self.decoded(self.raw_items())

    def decoded(self, raw_items: Iterable[tuple[bytes, bytes]]) -> dict[K, V]:
        """What :meth:`raw_items` gave, as values; not of a per-CPU map."""
        self._refuse(self._percpu, "items_percpu()")
        key, value = self.spec.key, self.spec.value
        return {decode(key, raw_key): decode(value, raw) for raw_key, raw in raw_items}

    def items_percpu(self) -> dict[K, tuple[V, ...]]:
        """All entries with one value per possible CPU. Raises KernelError."""
        self._refuse(not self._percpu, "items()")
        return {decode(self.spec.key, raw_key): self._split(raw) for raw_key, raw in self._raw_entries()}

    def raw_items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries undecoded, for copying into a map of the same shape; in a per-CPU map, all CPUs' values together.

        Raises KernelError.
        """
        return self._raw_entries()

    def raw_batches(self, entries: int) -> Iterator[tuple[bytes, bytes]]:
        """As :meth:`raw_items`, about ``entries`` at once: their keys one behind the other, and so their values."""
        return raw_batches(self._fd, self.spec, self._entry_bytes, entries)

    def put_raw(self, key: bytes, value: bytes) -> None:
        """Write an entry that came from :meth:`raw_items` of a map of the same shape. Raises Exhausted, KernelError."""
        self._write(key, value, key)

    def put_all_raw(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """As :meth:`put_raw` for each in turn, at once where the kernel can; not of a per-CPU map."""
        self._refuse(self._percpu, "put_raw()")
        batch.put_all(self._fd, entries, lambda at, result: self._check_written(result, entries[at][0]))

    def delete_raw(self, key: bytes) -> None:
        """Remove an entry by its undecoded key; no error when there is none. Raises KernelError."""
        self._check_deleted(libbpf.library().bpf_map_delete_elem(self._fd, key), key)

    def delete_all_raw(self, keys: Sequence[bytes]) -> None:
        """As :meth:`delete_raw` for each in turn, at once where the kernel can."""
        batch.delete_all(self._fd, keys, lambda at, result: self._check_deleted(result, keys[at]))

    @property
    def id(self) -> int:
        """Number the kernel gave the map. Raises KernelError."""
        return int(libbpf.map_info(self._fd, self._object).id)

    def info(self, counted: int | None = None) -> MapStatus:
        """How full the map is: one call for arrays, a walk without decoding for others. Raises KernelError.

        ``counted``: entries, where somebody has counted them lately and a walk takes too long.
        """
        info = libbpf.map_info(self._fd, self._object)
        if counted is not None:
            entries = counted
        elif self.spec.kind in _PREALLOCATED:
            entries = info.max_entries
        elif self.spec.kind is MapKind.RINGBUF:
            entries = 0
        else:
            entries = sum(1 for _ in self._raw_entries())
        return MapStatus(info.id, entries, info.max_entries)

    def pin(self, path: Path) -> bool:
        """See that the map is what is pinned at ``path``; says whether it was not. Raises KernelError."""
        own = libbpf.map_info(self._fd, self._object).id
        if pins.pinned_id(path, "map") == own:
            return False
        pins.pin(self._fd, path, self._object)
        return True

    @property
    def _object(self) -> str:
        return f'eBPF map "{self.spec.name}"'

    def _write(self, key: bytes, value: bytes, name: object) -> None:
        self._check_written(libbpf.library().bpf_map_update_elem(self._fd, key, value, libbpf.BPF_ANY), name)

    def _check_written(self, result: int, name: object) -> None:
        """``name``: a key, decoded or not."""
        if result >= 0:
            return
        text = name.hex() if isinstance(name, bytes) else str(name)
        if -result in _FULL and self.spec.kind not in _PREALLOCATED:
            raise Exhausted(
                f'eBPF map "{self.spec.name}" is full: it holds {self.spec.max_entries} entries; {text} was not written'
            )
        libbpf.check(result, "write", f"{self._object} at {text}")

    def _check_deleted(self, result: int, key: bytes) -> None:
        if result not in (0, -errno.ENOENT):
            libbpf.check(result, "delete", f"{self._object} at {key.hex()}")

    def _entry(self, key: K) -> str:
        return f"{self._object} at {key}"

    def _refuse(self, wrong: bool, instead: str) -> None:
        if wrong:
            raise TypeError(f"{self._object} is of kind {self.spec.kind.name}: use {instead}")

    def _lookup(self, key: K) -> bytes | None:
        value = ctypes.create_string_buffer(self._entry_bytes)
        result = libbpf.library().bpf_map_lookup_elem(self._fd, encode(key), value)
        if result == -errno.ENOENT:
            return None
        if result < 0:  # what is said of the key costs more than the look-up
            libbpf.check(result, "read", self._entry(key))
        return value.raw

    def _raw_entries(self) -> Iterator[tuple[bytes, bytes]]:
        return raw_entries(self._fd, self.spec, self._entry_bytes)

    def _split(self, raw: bytes) -> tuple[V, ...]:
        size = self.spec.value_bytes
        return tuple(decode(self.spec.value, raw[at : at + size]) for at in range(0, len(raw), self._stride))


def create_map(spec: MapSpec[K, V]) -> BpfMap[K, V]:
    """Make an empty map. Raises KernelError."""
    options = libbpf.MapCreateOpts(sz=ctypes.sizeof(libbpf.MapCreateOpts), map_flags=spec.flags)
    if spec.inner is not None:
        with create_map(spec.inner) as example:
            options.inner_map_fd = example.fd
            return _create(spec, options)
    return _create(spec, options)


def _create(spec: MapSpec[K, V], options: libbpf.MapCreateOpts) -> BpfMap[K, V]:
    fd = libbpf.library().bpf_map_create(
        spec.kind, libbpf.kernel_name(spec.name), spec.key_bytes, spec.value_bytes, spec.max_entries, options
    )
    return BpfMap(spec, libbpf.check(fd, "create", f'eBPF map "{spec.name}"'))


def check_layout(fd: int, spec: MapSpec[Any, Any], path: Path) -> None:
    """Compare what the kernel holds with the declaration. Raises MapLayoutMismatch naming the first difference."""
    info = libbpf.map_info(fd, f"pinned map {path}")
    for field, expected, found in (
        ("type", int(spec.kind), info.type),
        ("key_size", spec.key_bytes, info.key_size),
        ("value_size", spec.value_bytes, info.value_size),
        ("map_flags", spec.flags, info.map_flags),
        ("max_entries", spec.max_entries, info.max_entries),
    ):
        if expected != found:
            raise MapLayoutMismatch(str(path), field, expected=expected, found=found)


def open_map(path: Path, spec: MapSpec[K, V]) -> BpfMap[K, V]:
    """Open the pin at ``path``, or make the map and pin it there. Raises MapLayoutMismatch or KernelError."""
    fd = libbpf.library().bpf_obj_get(os.fsencode(path))
    if fd == -errno.ENOENT:
        created = create_map(spec)
        result = libbpf.library().bpf_obj_pin(created.fd, os.fsencode(path))
        if result < 0:
            created.close()
        libbpf.check(result, "pin", f'eBPF map "{spec.name}" at {path}', hint=_PIN_HINTS.get(-result, ""))
        return created
    libbpf.check(fd, "open", f"pinned map {path}", hint=_PIN_HINTS.get(-fd, ""))
    try:
        check_layout(fd, spec, path)
    except (KernelError, MapLayoutMismatch):
        os.close(fd)
        raise
    return BpfMap(spec, fd)


def open_pinned(path: Path, spec: MapSpec[K, V]) -> BpfMap[K, V]:
    """Open the pin at ``path``, of whatever size it is. Raises MapLayoutMismatch or KernelError."""
    fd = libbpf.check(libbpf.library().bpf_obj_get(os.fsencode(path)), "open", f"pinned map {path}")
    try:
        sized = replace(spec, max_entries=libbpf.map_info(fd, f"pinned map {path}").max_entries)
        check_layout(fd, sized, path)
    except (KernelError, MapLayoutMismatch):
        os.close(fd)
        raise
    return BpfMap(sized, fd)


def open_inner(number: int, spec: MapSpec[K, V]) -> BpfMap[K, V] | None:
    """A map by the number under which a map of maps holds it; None when it is of another shape or size, or gone.

    Raises KernelError.
    """
    fd = libbpf.library().bpf_map_get_fd_by_id(number)
    if fd == -errno.ENOENT:
        return None
    libbpf.check(fd, "open", f'eBPF map "{spec.name}" with number {number}')
    try:
        check_layout(fd, spec, Path(f"map {number}"))
    except MapLayoutMismatch:
        os.close(fd)
        return None
    except KernelError:
        os.close(fd)
        raise
    return BpfMap(spec, fd)


_PIN_HINTS = {
    errno.EPERM: "is it on a bpf file system, is the name free of dots, and are you root?",
    errno.EINVAL: "is it on a bpf file system, and a map?",
}


def _refuse_doubles(names: Iterable[str]) -> None:
    doubles = sorted(set(names))
    if doubles:
        raise Invalid(f"declared twice: eBPF map {', '.join(doubles)}; rename one of each")


class MapSet(Mapping[str, BpfMap[Any, Any]]):
    """Maps by name. Whoever opened it closes it; a union made with ``|`` owns nothing."""

    def __init__(self, maps: Iterable[BpfMap[Any, Any]], *, owner: bool = True) -> None:
        self._maps = {item.spec.name: item for item in maps}
        self._owner = owner

    @classmethod
    def open(cls, pin_dir: Path, specs: Iterable[MapSpec[Any, Any]], *, prefix: str = "") -> Self:
        """Open every map below ``pin_dir`` (made with mode 0700), and make and pin those that are missing.

        Pins are named ``<prefix><name>_v<version>``. Raises MapLayoutMismatch when a pin has another shape than
        its declaration, KernelError when ``pin_dir`` is on no bpf file system or the kernel refuses, Invalid when
        two declarations have one name. Maps made before an error stay pinned.
        """
        try:
            pin_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KernelError("make", f"pin directory {pin_dir}", error.errno or errno.EIO) from error
        return cls._all(specs, lambda spec: open_map(pin_dir / f"{prefix}{spec.pin_name}", spec))

    @classmethod
    def ephemeral(cls, specs: Iterable[MapSpec[Any, Any]]) -> Self:
        """Fresh maps without pins; they go when closed and no program uses them. Raises KernelError, Invalid."""
        return cls._all(specs, create_map)

    @classmethod
    def _all(cls, specs: Iterable[MapSpec[Any, Any]], make: Callable[[MapSpec[Any, Any]], BpfMap[Any, Any]]) -> Self:
        wanted = tuple(specs)
        names = [spec.name for spec in wanted]
        _refuse_doubles(name for name in names if names.count(name) > 1)
        opened = cls(())
        try:
            for spec in wanted:
                opened._maps[spec.name] = make(spec)
        except BaseException:
            opened.close()
            raise
        return opened

    def of(self, spec: MapSpec[K2, V2]) -> BpfMap[K2, V2]:
        """The map declared by ``spec``, typed. Raises KeyError."""
        return cast("BpfMap[K2, V2]", self._maps[spec.name])

    def close(self) -> None:
        """Close the maps this set opened; pins stay. May be called twice."""
        if self._owner:
            for item in self._maps.values():
                item.close()

    def __getitem__(self, name: str) -> BpfMap[Any, Any]:
        return self._maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    def __or__(self, other: MapSet) -> MapSet:
        """Both sets seen as one. Raises Invalid when a name stands in both."""
        _refuse_doubles(self._maps.keys() & other.keys())
        return MapSet((*self.values(), *other.values()), owner=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
