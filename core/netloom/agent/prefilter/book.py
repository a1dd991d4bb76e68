"""The prefilter's file: the set survives the agent, and the machine."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from netloom.edge.files import read_bytes, write_atomic
from netloom.model.errors import Invalid, NotFound
from netloom.plan.prefilter import Cidr, in_order, parse_all

MAX_BYTES = 64 << 20
"""Far above what the maps hold at their usual sizes."""
FIRST_REVISION = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What is refused, and how often that was changed."""

    revision: int = FIRST_REVISION
    cidrs: frozenset[Cidr] = frozenset()


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. Its checksum tells a list that lost its end, or a digit, from one that was never longer."""

    version: int = 1
    revision: int
    sha256: str
    cidrs: list[str]


def read(path: Path) -> Kept:
    """What was written last; nothing is refused where there is no file.

    Raises Invalid, with what to do, when the file is not what was written; FileError.
    """
    try:
        raw = read_bytes(path, MAX_BYTES)
    except NotFound:
        return Kept()
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, Invalid) as error:
        raise Invalid(
            f'prefilter file "{path}" is damaged: {error}; what the kernel refuses is left as it is. Put the file '
            "back, or write the set anew: `netctl prefilter update --replace`"
        ) from error


def _decode(raw: bytes) -> Kept:
    record = msgspec.json.decode(raw, type=_Record)
    if record.version != 1 or record.sha256 != _checksum(record.revision, record.cidrs):
        raise Invalid("its checksum is not that of its contents")
    return Kept(record.revision, parse_all(record.cidrs))


def write(path: Path, kept: Kept) -> None:
    """In the place of what was written before, whole or not at all, and on the disk when this returns.

    Raises FileError.
    """
    cidrs = in_order(kept.cidrs)
    record = _Record(revision=kept.revision, sha256=_checksum(kept.revision, cidrs), cidrs=cidrs)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(record), indent=1), synced=True)


def _checksum(revision: int, cidrs: Collection[str]) -> str:
    return hashlib.sha256("\n".join((str(revision), *cidrs)).encode()).hexdigest()
