"""Maps: what is written is read, what is pinned is found again, what does not fit is refused."""

from __future__ import annotations

import ctypes
import shutil
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest

from netloom.bpf import libbpf, walk
from netloom.bpf.maps import BpfMap, MapSet, create_map
from netloom.datapath.layout import U32, Addr, encode
from netloom.datapath.maps import NO_PREALLOC, Counter, Index, MapKind, MapSpec
from netloom.datapath.registry import (
    CALLS,
    ENDPOINTS,
    EVENTS,
    IPCACHE,
    METRICS,
    NODE_CONFIG,
    EndpointInfo,
    EndpointKey,
    IpcacheInfo,
    IpcacheKey,
)
from netloom.model.errors import Exhausted, Invalid, KernelError, MapLayoutMismatch
from support.leaks import MARK
from support.maps import SMALL_MAPS

pytestmark = pytest.mark.bpf


@dataclass(frozen=True, slots=True)
class Number:
    """A key or a value."""

    number: U32


@dataclass(frozen=True, slots=True)
class Odd:
    """20 bytes, which the kernel pads to 24 for each CPU."""

    address: Addr
    number: U32


TABLE = MapSpec("table", MapKind.HASH, Number, Number, 1000, "numbers")
SMALL = replace(TABLE, max_entries=4, flags=NO_PREALLOC)
TRIE = MapSpec("trie", MapKind.LPM_TRIE, IpcacheKey, Number, 4, "prefixes", flags=NO_PREALLOC)
PER_CPU = MapSpec("per_cpu", MapKind.PERCPU_ARRAY, Index, Odd, 3, "odd values")
ENDPOINT = EndpointInfo(5, 300, 7, 0, b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")


@pytest.fixture
def make() -> Iterator[Any]:
    """Makes maps that end with the test."""
    made: list[BpfMap[Any, Any]] = []

    def make_one(spec: MapSpec[Any, Any]) -> BpfMap[Any, Any]:
        made.append(create_map(spec))
        return made[-1]

    yield make_one
    for item in made:
        item.close()


@pytest.fixture
def pins() -> Iterator[Path]:
    """A directory for pins, not there yet."""
    directory = Path(f"/sys/fs/bpf/{MARK}_maps/node")
    yield directory
    shutil.rmtree(directory.parent, ignore_errors=True)


def numbers(count: int) -> dict[Number, Number]:
    return {Number(index): Number(index * 7) for index in range(count)}


def fill(table: BpfMap[Number, Number], count: int) -> None:
    for key, value in numbers(count).items():
        table.put(key, value)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_what_is_put_is_got(make: Any) -> None:
    """Typed on both sides."""
    endpoints = make(ENDPOINTS)
    endpoints.put(EndpointKey(IPv4Address("10.0.0.1")), ENDPOINT)
    assert endpoints.get(EndpointKey(IPv4Address("10.0.0.1"))) == ENDPOINT


def test_a_second_put_replaces_the_first(make: Any) -> None:
    """Map writes are idempotent."""
    table = make(TABLE)
    table.put(Number(1), Number(1))
    table.put(Number(1), Number(2))
    assert table.items() == {Number(1): Number(2)}


def test_what_was_deleted_is_none(make: Any) -> None:
    """As what was never there."""
    table = make(TABLE)
    table.put(Number(1), Number(1))
    table.delete(Number(1))
    assert (table.get(Number(1)), table.get(Number(2))) == (None, None)


@pytest.mark.parametrize("spec", [TABLE, TRIE], ids=["hash", "trie"])
def test_deleting_what_is_not_there_is_no_error(make: Any, spec: MapSpec[Any, Any]) -> None:
    """A repair may do it twice."""
    key = Number(1) if spec is TABLE else IpcacheKey(ip_network("10.0.0.0/8"))
    make(spec).delete(key)


def test_the_longest_prefix_answers(make: Any) -> None:
    """The production encoder's keys mean the same to the kernel as to us."""
    ipcache = make(IPCACHE)
    world, pod = IpcacheInfo(2, 0, IPv6Address("::")), IpcacheInfo(300, 0, IPv4Address("192.0.2.1"))
    ipcache.put(IpcacheKey(ip_network("0.0.0.0/0")), world)
    ipcache.put(IpcacheKey(ip_network("10.0.1.0/24")), pod)
    assert ipcache.get(IpcacheKey(ip_network("10.0.1.9/32"))) == pod
    assert ipcache.get(IpcacheKey(ip_network("10.0.2.9/32"))) == world
    assert ipcache.get(IpcacheKey(ip_network("fd00::1/128"))) is None


@pytest.mark.parametrize("spec", [SMALL, replace(SMALL, flags=0), TRIE], ids=["hash", "preallocated hash", "trie"])
def test_a_full_map_names_itself_and_its_size(make: Any, spec: MapSpec[Any, Any]) -> None:
    """An operator has to know which one, and how many fit."""
    table = make(spec)

    def key(index: int) -> Any:
        return IpcacheKey(ip_network(f"10.0.{index}.0/24")) if spec is TRIE else Number(index)

    def overfill() -> None:
        for index in range(40):  # preallocated tables keep a few spare entries for each CPU
            table.put(key(index), Number(0))

    with pytest.raises(Exhausted, match=f'"{spec.name}" is full: it holds 4 entries'):
        overfill()


def test_an_index_behind_the_end_of_an_array_is_no_full_map(make: Any) -> None:
    """It is a mistake of the caller's."""
    with pytest.raises(KernelError, match='write eBPF map "per_cpu" at Index'):
        make(PER_CPU).put(Index(3), Odd(IPv4Address("0.0.0.0"), 0))


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 1000])
def test_all_entries_are_read_whatever_their_number(make: Any, count: int) -> None:
    """Below, at, and above the size of a batch."""
    table = make(TABLE)
    fill(table, count)
    assert table.items() == numbers(count)


def test_a_bucket_larger_than_a_batch_is_read(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """1000 entries in 1024 buckets collide; the kernel hands out whole buckets only."""
    monkeypatch.setattr(walk, "BATCH_ENTRIES", 1)
    table = make(TABLE)
    fill(table, 1000)
    assert table.items() == numbers(1000)


@pytest.mark.parametrize("spec", [TABLE, TRIE, PER_CPU], ids=lambda spec: spec.kind.name)
def test_a_kernel_without_batches_gives_the_same_entries(make: Any, monkeypatch: pytest.MonkeyPatch, spec: Any) -> None:
    """As before Linux 5.13: the library refuses, the walk goes key by key."""
    table = make(spec)
    if spec is TABLE:
        fill(table, 600)
    if spec is TRIE:
        table.put(IpcacheKey(ip_network("10.0.0.0/8")), Number(1))
    read = table.items_percpu if spec is PER_CPU else table.items
    expected = read()
    monkeypatch.setattr(walk._Batches, "_read", lambda _: -libbpf.ENOTSUPP)
    assert read() == expected
    assert len(expected) == {"table": 600, "trie": 1, "per_cpu": 3}[spec.name]


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("spec", [TABLE, TRIE], ids=["hash", "trie"])
def test_what_is_written_and_deleted_at_once_is_as_if_one_by_one(
    make: Any, monkeypatch: pytest.MonkeyPatch, spec: Any, batches: bool
) -> None:
    """With keys among them that are not there, and where the kernel has no batches."""
    if not batches:
        for name in ("bpf_map_update_batch", "bpf_map_delete_batch"):
            monkeypatch.setattr(libbpf.library(), name, lambda *_: -libbpf.ENOTSUPP)
    table = make(spec)
    keys = [IpcacheKey(ip_network(f"10.{index}.0.0/16")) if spec is TRIE else Number(index) for index in range(6)]
    table.put(keys[0], Number(77))
    entries = {key: Number(index) for index, key in enumerate(keys[:4])}
    table.put_all(entries)
    assert table.items() == entries
    table.put_all({})
    table.delete_all([keys[5], keys[1], keys[4], keys[2]])
    assert table.items() == {keys[0]: Number(0), keys[3]: Number(3)}


def test_of_entries_that_do_not_fit_those_before_are_written(make: Any) -> None:
    """And the first that does not is named."""
    table = make(SMALL)
    with pytest.raises(Exhausted, match=r'"table" is full: it holds 4 entries; Number\(number=4\)'):
        table.put_all(numbers(6))
    assert table.items() == numbers(4)


def test_every_cpu_has_its_own_value(make: Any) -> None:
    """Also when a value is no multiple of the 8 bytes the kernel pads it to."""
    table = make(PER_CPU)
    value = Odd(IPv4Address("10.1.2.3"), 77)
    table.put(Index(1), value)
    assert table.get_percpu(Index(1)) == (value,) * libbpf.possible_cpus()
    assert set(table.items_percpu()[Index(0)]) == {Odd(IPv6Address("::"), 0)}


def test_every_cpus_value_stands_where_the_kernel_puts_it(make: Any) -> None:
    """At multiples of 8 bytes, read here without our own arithmetic: 20 bytes of value, 4 of padding."""
    table = make(PER_CPU)
    value = Odd(IPv4Address("10.1.2.3"), 77)
    table.put(Index(1), value)
    expected = (encode(value) + bytes(4)) * libbpf.possible_cpus()
    raw = ctypes.create_string_buffer(len(expected))
    libbpf.check(libbpf.library().bpf_map_lookup_elem(table.fd, encode(Index(1)), raw), "read", "per_cpu")
    assert raw.raw == expected


def test_per_cpu_maps_and_others_are_not_mixed_up(make: Any) -> None:
    """One value where there are many would be one CPU's count sold as the sum."""
    with pytest.raises(TypeError, match="use get_percpu"):
        make(METRICS).get(Index(0))
    with pytest.raises(TypeError, match=r"use items\(\)"):
        make(TABLE).items_percpu()


def test_a_map_tells_how_full_it_is(make: Any) -> None:
    """Arrays are always full, rings are not counted."""
    table = make(TABLE)
    fill(table, 3)
    found = {item.spec.name: item.info() for item in (table, make(METRICS), make(CALLS), make(EVENTS))}
    assert {name: (info.entries, info.max_entries) for name, info in found.items()} == {
        "table": (3, 1000),
        "metrics": (1024, 1024),
        "calls": (0, CALLS.max_entries),
        "events": (0, EVENTS.max_entries),
    }


def test_a_closed_map_fails_with_a_sentence(make: Any) -> None:
    """Never with somebody else's descriptor."""
    table = make(TABLE)
    table.close()
    table.close()
    with pytest.raises(KernelError, match=r'eBPF map "table".*closed already'):
        table.get(Number(1))


def test_a_refused_map_names_itself(make: Any) -> None:
    """A trie without BPF_F_NO_PREALLOC is none."""
    with pytest.raises(KernelError, match='create eBPF map "trie": Invalid argument'):
        make(replace(TRIE, flags=0))


def test_pinned_maps_are_found_again_with_their_entries(pins: Path) -> None:
    """So that an agent that restarts goes on where it stopped."""
    with MapSet.open(pins, SMALL_MAPS) as maps:
        maps.of(ENDPOINTS).put(EndpointKey(IPv4Address("10.0.0.1")), ENDPOINT)
    with MapSet.open(pins, SMALL_MAPS) as maps:
        assert list(maps.of(ENDPOINTS).items().values()) == [ENDPOINT]


def test_pins_carry_version_and_prefix_and_are_roots_alone(pins: Path) -> None:
    """Two plugins may each have a map called ``seen``."""
    MapSet.open(pins, [TABLE, replace(SMALL, name="small", version=3)], prefix="plugin_").close()
    assert {path.name for path in pins.iterdir()} == {"plugin_table_v1", "plugin_small_v3"}
    assert stat.S_IMODE(pins.stat().st_mode) == 0o700


MISMATCHES: dict[str, MapSpec[Any, Any]] = {
    "type": replace(TABLE, kind=MapKind.ARRAY, max_entries=1000),
    "key_size": MapSpec("table", MapKind.HASH, Odd, Number, 1000, "odd keys"),
    "value_size": MapSpec("table", MapKind.HASH, Number, Counter, 1000, "long values"),
    "max_entries": replace(TABLE, max_entries=1001),
    "map_flags": replace(TABLE, flags=NO_PREALLOC),
}


@pytest.mark.parametrize("field", MISMATCHES)
def test_a_pin_of_another_shape_is_refused_by_the_field_that_differs(pins: Path, field: str) -> None:
    """Reading it would give nonsense, writing it would go past its end."""
    MapSet.open(pins, [TABLE]).close()
    before = open_descriptors()
    with pytest.raises(MapLayoutMismatch, match=f"{pins}/table_v1 has {field}") as caught:
        MapSet.open(pins, [MISMATCHES[field]])
    assert caught.value.field == field
    assert open_descriptors() == before


def test_a_mismatch_closes_what_was_opened_before_it(pins: Path) -> None:
    """No descriptor is left."""
    MapSet.open(pins, [TABLE]).close()
    before = open_descriptors()
    with pytest.raises(MapLayoutMismatch):
        MapSet.open(pins, [NODE_CONFIG, METRICS, MISMATCHES["key_size"]])
    assert open_descriptors() == before


def test_a_directory_off_the_bpf_file_system_is_refused(tmp_path: Path) -> None:
    """With a hint at what is wrong."""
    before = open_descriptors()
    with pytest.raises(KernelError, match=r"pin eBPF map .* is it on a bpf file system"):
        MapSet.open(tmp_path, [TABLE])
    assert open_descriptors() == before


def test_a_plain_file_is_no_pin(tmp_path: Path) -> None:
    """Whatever put it there."""
    (tmp_path / TABLE.pin_name).write_text("")
    with pytest.raises(KernelError, match="open pinned map"):
        MapSet.open(tmp_path, [TABLE])


def test_two_sets_can_be_seen_as_one() -> None:
    """A plugin's maps beside the agent's; the view closes nothing."""
    with MapSet.ephemeral([TABLE]) as ours, MapSet.ephemeral([PER_CPU]) as theirs:
        both = ours | theirs
        both.close()
        assert {name: item.fd >= 0 for name, item in both.items()} == {"table": True, "per_cpu": True}


def test_one_name_for_two_maps_is_refused() -> None:
    """In one set and across two."""
    with pytest.raises(Invalid, match="declared twice: eBPF map table"):
        MapSet.ephemeral([TABLE, SMALL])
    with MapSet.ephemeral([TABLE]) as ours, MapSet.ephemeral([SMALL]) as theirs, pytest.raises(Invalid, match="table"):
        _ = ours | theirs


def test_the_kernel_sees_the_bytes_we_mean(make: Any) -> None:
    """Read back without our decoder."""
    table = make(TABLE)
    table.put(Number(0x01020304), Number(0x0A0B0C0D))
    raw = bytearray(4)
    libbpf.check(
        libbpf.library().bpf_map_lookup_elem(
            table.fd, struct.pack("=I", 0x01020304), (ctypes.c_uint8 * 4).from_buffer(raw)
        ),
        "read",
        "table",
    )
    assert raw == struct.pack("=I", 0x0A0B0C0D)
