"""What a lab has made, written down before it is made, so that it can be taken away whatever happens in between.

One JSON object a line. A line that was cut short by a crash is the last one and belongs to a step not yet taken.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netloom.lab.processes import ProcessRecord
from netloom.lab.racks import RackSpec
from netloom.lab.topology import LabSpec
from netloom.model.errors import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a journal says."""

    spec: LabSpec | None
    """None when the lab was interrupted before its first step."""
    namespaces: tuple[str, ...]
    processes: tuple[ProcessRecord, ...]
    """The newest of each name last."""
    directories: tuple[Path, ...] = ()
    """Outside the lab's own."""
    complete: bool
    """Whether the lab came up whole."""


class Journal:
    """Appends to a file; reads it back."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, spec: LabSpec) -> None:
        """First line: what lab this is."""
        self._append({"step": "begin", "spec": asdict(spec)})

    def namespace(self, name: str) -> None:
        """A namespace is about to be made."""
        self._append({"step": "namespace", "name": name})

    def directory(self, path: Path) -> None:
        """A directory outside the lab's own is about to be made."""
        self._append({"step": "directory", "path": str(path)})

    def process(self, record: ProcessRecord) -> None:
        """A process waits to become what it is meant to be, see :mod:`netloom.lab.processes`."""
        self._append({"step": "process", "record": asdict(record)})

    def complete(self) -> None:
        """The lab stands."""
        self._append({"step": "complete"})

    def read(self) -> History:
        """Everything written so far; raises Invalid when a line cannot be understood."""
        spec, complete = None, False
        namespaces: list[str] = []
        directories: list[Path] = []
        processes: list[ProcessRecord] = []
        for step in self._steps():
            match step:
                case {"step": "begin", "spec": dict(fields)}:
                    spec = _spec(fields)
                case {"step": "namespace", "name": str(name)}:
                    namespaces.append(name)
                case {"step": "directory", "path": str(path)}:
                    directories.append(Path(path))
                case {"step": "process", "record": dict(fields)}:
                    processes.append(ProcessRecord(**fields))
                case {"step": "complete"}:
                    complete = True
                case _:
                    raise Invalid(f"{self._path}: step {step!r:.80} is not known; it was written by another version")
        return History(
            spec=spec,
            namespaces=tuple(namespaces),
            directories=tuple(directories),
            processes=tuple(processes),
            complete=complete,
        )

    def _append(self, step: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(step) + "\n")

    def _steps(self) -> list[Any]:
        lines = self._path.read_text().split("\n") if self._path.exists() else [""]
        # Whatever follows the last newline was never finished.
        return [json.loads(line) for line in lines[:-1]]


def _spec(fields: dict[str, Any]) -> LabSpec:
    racks = tuple(RackSpec(**rack) for rack in fields.pop("racks", ()))
    return LabSpec(**fields, racks=racks)
