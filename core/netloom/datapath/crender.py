"""Structs and maps as C source for the compiler.

Used twice: by :mod:`netloom.datapath.codegen` for the headers of the data path, and at run time for maps
that a plugin declares of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netloom.datapath.layout import layout_of
from netloom.datapath.maps import MapKind, MapSpec

_BCC_KINDS = {
    MapKind.HASH: "hash",
    MapKind.ARRAY: "array",
    MapKind.PROG_ARRAY: "prog",
    MapKind.PERCPU_ARRAY: "percpu_array",
    MapKind.LRU_HASH: "lru_hash",
    MapKind.LPM_TRIE: "lpm_trie",
    MapKind.HASH_OF_MAPS: "hash",
    MapKind.SOCKMAP: "sockmap",
}
_INDEXED = (MapKind.ARRAY, MapKind.PERCPU_ARRAY, MapKind.PROG_ARRAY, MapKind.SOCKMAP)
"""Maps whose key is a bare number in C."""


def render_struct(cls: type, field_docs: Mapping[str, str] | None = None) -> str:
    """The C definition of a struct, with assertions on its size and offsets. Raises TypeError as ``layout_of``."""
    layout = layout_of(cls)
    docs = field_docs or {}
    lines = [f"/* {layout.doc} */", f"struct {layout.name} {{"]
    end = pad_count = 0
    for member in layout.members:
        if member.offset > end:
            lines.append(f"\t__u8 pad{pad_count}[{member.offset - end}];")
            pad_count += 1
        comment = f" /* {docs[member.name]} */" if member.name in docs else ""
        lines.append(f"\t{member.ctype.c.format(member.name)};{comment}")
        end = member.offset + member.ctype.size
    if layout.size > end:
        lines.append(f"\t__u8 pad{pad_count}[{layout.size - end}];")
    lines.append("};")
    lines.append(_size_assertion(layout.name, layout.size))
    lines += [
        f'_Static_assert(__builtin_offsetof(struct {layout.name}, {member.name}) == {member.offset}, "{member.name}");'
        for member in layout.members
    ]
    return "\n".join(lines) + "\n"


def _size_assertion(name: str, size: int) -> str:
    return f'_Static_assert(sizeof(struct {name}) == {size}, "size of struct {name}");'


def render_map(spec: MapSpec[Any, Any]) -> str:
    """The declaration by which the compiler knows a map.

    Sizes are 1: the compiler makes every map it sees and throws it away; the agent makes the real one from
    the same :class:`MapSpec`. So a map of maps may pass for a table of numbers: C only asks for its entries.
    """
    comment = f"/* {spec.purpose}; {spec.max_entries} {'bytes' if spec.kind is MapKind.RINGBUF else 'entries'} */"
    if spec.kind is MapKind.RINGBUF:
        return f"{comment}\nBPF_RINGBUF_OUTPUT({spec.name}, 1);\n"
    key = "__u32" if spec.kind in _INDEXED else f"struct {layout_of(spec.key).name}"
    value = "__u32" if spec.kind is MapKind.PROG_ARRAY else f"struct {layout_of(spec.value).name}"
    arguments = f'"{_BCC_KINDS[spec.kind]}", {key}, {value}, {spec.name}, 1, {spec.flags}'
    return f"{comment}\nBPF_F_TABLE({arguments});\n"


def structs_of(specs: tuple[MapSpec[Any, Any], ...]) -> tuple[type, ...]:
    """Key and value structs that C needs for these maps, each once, in order of first use."""
    found: dict[type, None] = {}
    for spec in specs:
        if spec.kind not in _INDEXED and spec.kind is not MapKind.RINGBUF:
            found[spec.key] = None
        if spec.kind is not MapKind.PROG_ARRAY:
            found[spec.value] = None
    return tuple(found)
