"""Compiled programs kept on disk, by a hash of everything that went into them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from netloom.bpf.objects import ProgramKind, ProgramObject, is_sound
from netloom.model.errors import KernelError

FORMAT = 2
"""Raised when the file's shape changes: older files are then compiled anew."""
KEEP_FILES = 256
"""Programs kept; the oldest go first. One is a few ten kilobytes."""


def cache_key(*parts: str) -> str:
    """Name of the cache file for these inputs."""
    digest = hashlib.sha256(f"netloom-{FORMAT}".encode())
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def encode_object(program: ProgramObject) -> bytes:
    """A cache file: JSON with a checksum over the program."""
    body: dict[str, Any] = {
        "name": program.name,
        "instructions": program.instructions.hex(),
        "maps": [list(ref) for ref in program.map_refs],
        "kind": program.kind.value,
    }
    return json.dumps({"program": body, "sha256": _checksum(body)}, indent=0).encode()


def decode_object(raw: bytes) -> ProgramObject | None:
    """Inverse of :func:`encode_object`; None for anything that is not such a file, whole and unharmed."""
    try:
        whole = json.loads(raw)
        body = whole["program"]
        if whole["sha256"] != _checksum(body):
            return None
        refs = tuple((int(index), str(name)) for index, name in body["maps"])
        kind = ProgramKind(body["kind"])
        program = ProgramObject(str(body["name"]), bytes.fromhex(body["instructions"]), refs, kind)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return program if is_sound(program) else None


def _checksum(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class ObjectCache:
    """A directory of compiled programs. May be deleted at any time; harmed files are ignored and replaced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, key: str) -> ProgramObject | None:
        """What was stored under ``key``; None when nothing usable was."""
        try:
            raw = self._path(key).read_bytes()
        except OSError:
            return None
        return decode_object(raw)

    def put(self, key: str, program: ProgramObject) -> None:
        """Store, so that readers see the whole file or none. Raises KernelError when the directory is unusable."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._directory)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(encode_object(program))
                Path(name).replace(self._path(key))
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            self._prune()
        except OSError as error:
            raise KernelError("write", f"compiled programs to {self._directory}", error.errno or 0) from error

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.json"

    def _prune(self) -> None:
        aged: list[tuple[float, Path]] = []
        for path in self._directory.glob("*.json"):
            with suppress(FileNotFoundError):  # another node's agent prunes the same directory
                aged.append((path.stat().st_mtime, path))
        for _, path in sorted(aged)[:-KEEP_FILES]:
            path.unlink(missing_ok=True)
