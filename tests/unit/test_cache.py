"""Compiled programs on disk: found by what went into them, trusted only when whole."""

from __future__ import annotations

import json
import os
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.bpf import cache
from netloom.bpf.cache import ObjectCache, cache_key, decode_object, encode_object
from netloom.bpf.objects import LD_IMM64, PSEUDO_MAP_FD, ProgramObject, is_sound
from netloom.model.errors import KernelError

EXIT = struct.pack("=BBhi", 0x95, 0, 0, 0)
MAP_CONSTANT = struct.pack("=BBhi", LD_IMM64, PSEUDO_MAP_FD << 4 | 1, 0, 0) + bytes(8)
PROGRAM = ProgramObject("stage", EXIT + MAP_CONSTANT + EXIT, ((1, "endpoints"),))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Not there yet."""
    return tmp_path / "objects"


def test_what_was_put_is_got(directory: Path) -> None:
    """By another process too: nothing is kept in memory."""
    ObjectCache(directory).put("key", PROGRAM)
    assert ObjectCache(directory).get("key") == PROGRAM


def test_what_was_never_put_is_none(directory: Path) -> None:
    """Whether or not the directory is there."""
    assert ObjectCache(directory).get("key") is None


def test_only_root_reads_and_writes_the_cache(directory: Path) -> None:
    """What lies there is loaded into the kernel."""
    ObjectCache(directory).put("key", PROGRAM)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
    assert modes == {0o700, 0o600}


def test_nothing_but_whole_files_is_ever_there(directory: Path) -> None:
    """No temporary file stays."""
    ObjectCache(directory).put("key", PROGRAM)
    assert [path.name for path in directory.iterdir()] == ["key.json"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(KernelError, match=f"compiled programs to {tmp_path}/file"):
        ObjectCache(tmp_path / "file").put("key", PROGRAM)


def test_the_oldest_go_when_there_are_too_many(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache may not grow for ever."""
    monkeypatch.setattr(cache, "KEEP_FILES", 2)
    for age, key in enumerate(("newest", "older", "oldest")):
        ObjectCache(directory).put(key, PROGRAM)
        os.utime(directory / f"{key}.json", (1e9 - age, 1e9 - age))
    ObjectCache(directory).put("now", PROGRAM)
    assert {path.stem for path in directory.iterdir()} == {"now", "newest"}


@given(st.data())
def test_a_file_with_one_byte_changed_is_no_program_or_the_same(data: st.DataObject) -> None:
    """White space may change; nothing that is loaded may."""
    raw = bytearray(encode_object(PROGRAM))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert decode_object(bytes(raw)) in (None, PROGRAM)


@given(st.integers(0, 10_000))
def test_a_file_cut_short_is_no_program(length: int) -> None:
    """As a full disk or a crash leaves it."""
    whole = encode_object(PROGRAM)
    assert decode_object(whole[: min(length, len(whole) - 1)]) is None


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_other_json_is_no_program(value: object) -> None:
    """Whatever it is."""
    assert decode_object(json.dumps(value).encode()) is None


UNSOUND = {
    "empty": ProgramObject("stage", b"", ()),
    "half an instruction": ProgramObject("stage", EXIT[:4], ()),
    "reference before the beginning": ProgramObject("stage", MAP_CONSTANT, ((-1, "endpoints"),)),
    "reference behind the end": ProgramObject("stage", MAP_CONSTANT, ((2, "endpoints"),)),
    "reference in the last half of a constant": ProgramObject("stage", MAP_CONSTANT, ((1, "endpoints"),)),
    "reference to another instruction": ProgramObject("stage", EXIT + EXIT, ((0, "endpoints"),)),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_a_program_that_does_not_fit_together_is_not_read(case: str) -> None:
    """Even with a right checksum: a descriptor must not be written over an instruction."""
    assert not is_sound(UNSOUND[case])
    assert decode_object(encode_object(UNSOUND[case])) is None


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_different_inputs_have_different_keys(one: list[str], other: list[str]) -> None:
    """Also when their texts joined are the same."""
    assert (cache_key(*one) == cache_key(*other)) == (one == other)


def test_linking_writes_each_maps_descriptor_into_its_instruction() -> None:
    """And nothing else."""
    linked = PROGRAM.linked({"endpoints": 77}.__getitem__)
    assert linked == EXIT + MAP_CONSTANT[:4] + struct.pack("=i", 77) + bytes(8) + EXIT
