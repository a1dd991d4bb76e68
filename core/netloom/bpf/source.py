"""One text from a program and the headers it includes.

The compiler turns map methods such as ``endpoints.lookup(&key)`` into calls only in its main file, so headers
that use them cannot be left to the preprocessor. ``#line`` keeps messages pointing into the files people wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from netloom.datapath.crender import render_map, render_struct, structs_of
from netloom.datapath.registry import MAPS
from netloom.model.errors import CompileError
from netloom.plugins.contract import BpfProgram

_INCLUDE = re.compile(r'\s*#\s*include\s+"(?P<name>[^"]+)"')
_BODY = "{"
"""Alone in its line it begins a function. The compiler puts a line of its own before each, which shifts __LINE__."""
_PRELUDE = '#include "gen/maps.h"\n'
"""What every program sees without asking: the data path's structs and maps."""


def amalgamate(program: BpfProgram, headers: Mapping[str, str]) -> str:
    """The program's C with every quoted include replaced by that header's text, the first time it is named.

    ``headers`` maps ``lib/x.h`` and ``gen/x.h`` to their texts. The data path's maps and the program's own are
    declared before its first line. ``#include <...>`` stays. An include is followed wherever it stands: one
    below ``#if`` is inlined all the same, so headers must not be included conditionally.

    Raises CompileError for a header that is missing or includes itself, and for maps declared twice.
    """
    return _Amalgamation(program.file, headers).whole(program)


class _Amalgamation:
    """The state of one run: which headers are in already, and which are open."""

    def __init__(self, file: str, headers: Mapping[str, str]) -> None:
        self._file = file
        self._headers = headers
        self._done: set[str] = set()
        self._open: list[str] = []
        self._lines: list[str] = []

    def whole(self, program: BpfProgram) -> str:
        """Prelude, own maps, program."""
        prelude = _PRELUDE if "gen/maps.h" in self._headers else ""
        self._inline("netloom:prelude", prelude)
        self._inline("netloom:maps", _own_maps(program))
        self._inline(program.file, program.source)
        return "\n".join(self._lines) + "\n"

    def _inline(self, name: str, text: str) -> None:
        self._open.append(name)
        self._lines.append(f'#line 1 "{name}"')
        for number, line in enumerate(text.splitlines(), start=1):
            include = _INCLUDE.match(line)
            if include is None:
                self._lines.append(line)
            else:
                self._include(include["name"], f"{name}:{number}")
            if include is not None or line == _BODY:
                self._lines.append(f'#line {number + 1} "{name}"')
        self._open.pop()

    def _include(self, name: str, where: str) -> None:
        if name in self._open:
            raise CompileError(self._file, f"{where}: {' -> '.join((*self._open, name))} includes itself")
        if name in self._done:
            return
        if name not in self._headers:
            known = ", ".join(sorted(self._headers))
            raise CompileError(self._file, f'{where}: there is no header "{name}"; there are: {known}')
        self._inline(name, self._headers[name])
        self._done.add(name)


def _own_maps(program: BpfProgram) -> str:
    taken = {spec.name for spec in MAPS}
    for spec in program.maps:
        if spec.name in taken:
            raise CompileError(program.file, f'map "{spec.name}" is declared twice; the data path has: {sorted(taken)}')
        taken.add(spec.name)
    known = set(structs_of(MAPS))
    structs = (cls for cls in structs_of(program.maps) if cls not in known)
    return "\n".join([*map(render_struct, structs), *map(render_map, program.maps)])
