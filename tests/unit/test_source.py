"""One text from many files, with every line still known by its own file and number."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from netloom.bpf.core_programs import core_programs, read_headers
from netloom.bpf.source import amalgamate
from netloom.datapath.layout import U32
from netloom.datapath.maps import Counter, Index, MapKind, MapSpec
from netloom.datapath.registry import CallSlot
from netloom.model.errors import CompileError
from netloom.plugins.contract import BpfProgram


@dataclass(frozen=True, slots=True)
class Seen:
    """How often something was seen."""

    times: U32


SEEN = MapSpec("seen", MapKind.HASH, Index, Seen, 10, "a plugin's own map")


def program(source: str, *maps: MapSpec[Index, Seen]) -> BpfProgram:
    return BpfProgram(name="stage", file="stage.bpf.c", source=source, target=CallSlot.FORWARD, maps=maps)


def origins(text: str) -> list[tuple[str, int, str]]:
    """Every line of an amalgamation with the file and number the compiler will give it."""
    found, name, number = [], "", 0
    for line in text.splitlines():
        marker = re.match(r'#line (\d+) "([^"]+)"', line)
        if marker:
            number, name = int(marker[1]), marker[2]
        else:
            found.append((name, number, line))
            number += 1
    return found


def test_an_include_is_replaced_by_the_header() -> None:
    """In place, before what follows it."""
    text = amalgamate(program('#include "lib/a.h"\nint last;\n'), {"lib/a.h": "int first;\n"})
    assert [line for _, _, line in origins(text)] == ["int first;", "int last;"]


def test_every_line_keeps_its_file_and_number() -> None:
    """So that the compiler's messages, and __LINE__ in drop events, point where people look."""
    headers = {"lib/a.h": 'int a1;\n#include "lib/b.h"\nint a3;\n', "lib/b.h": "\nint b2;\n"}
    text = amalgamate(program('\n#include "lib/a.h"\nint s3;\n'), headers)
    found = {line: (name, number) for name, number, line in origins(text) if line}
    assert found == {
        "int a1;": ("lib/a.h", 1),
        "int b2;": ("lib/b.h", 2),
        "int a3;": ("lib/a.h", 3),
        "int s3;": ("stage.bpf.c", 3),
    }


def test_a_header_is_inlined_once() -> None:
    """However many ask for it."""
    headers = {"lib/a.h": '#include "lib/b.h"\n', "lib/b.h": "int b;\n"}
    text = amalgamate(program('#include "lib/a.h"\n#include "lib/b.h"\n'), headers)
    assert text.count("int b;") == 1


def test_spaces_in_an_include_are_no_matter() -> None:
    """As the preprocessor has it."""
    assert "int a;" in amalgamate(program('  #  include   "lib/a.h"  /* why */\n'), {"lib/a.h": "int a;\n"})


def test_includes_in_angle_brackets_are_left_to_the_compiler() -> None:
    """They come from the hermetic tree."""
    assert "#include <linux/types.h>" in amalgamate(program("#include <linux/types.h>\n"), {})


def test_a_missing_header_is_named_with_the_place_that_asks_for_it() -> None:
    """And with what there is."""
    with pytest.raises(CompileError, match=r'stage\.bpf\.c:2: there is no header "lib/none\.h"; there are: lib/a\.h'):
        amalgamate(program('\n#include "lib/none.h"\n'), {"lib/a.h": ""})


def test_a_circle_of_headers_is_named_link_by_link() -> None:
    """Guards would hide it from the preprocessor; here it would never end."""
    headers = {"lib/a.h": '#include "lib/b.h"\n', "lib/b.h": '#include "lib/a.h"\n'}
    with pytest.raises(CompileError, match=r"lib/a\.h -> lib/b\.h -> lib/a\.h"):
        amalgamate(program('#include "lib/a.h"\n'), headers)


def test_a_program_sees_the_data_paths_maps_without_asking() -> None:
    """Whether or not it includes anything."""
    text = amalgamate(program("int x;\n"), read_headers())
    assert text.index("BPF_F_TABLE(") < text.index("int x;")


def test_a_programs_own_maps_are_declared_with_their_structs() -> None:
    """Before its first line, after the data path's own structs."""
    text = amalgamate(program("int x;\n", SEEN), read_headers())
    assert (
        text.index("struct addr {") < text.index("struct seen {") < text.index(", seen, 1, 0)") < text.index("int x;")
    )


def test_structs_the_data_path_declares_are_not_declared_again() -> None:
    """A plugin may count with the data path's counter."""
    counted = MapSpec("counted", MapKind.PERCPU_ARRAY, Index, Counter, 1, "a plugin's counter")
    text = amalgamate(
        BpfProgram(name="s", file="s.c", source="", target=CallSlot.FORWARD, maps=(counted,)), read_headers()
    )
    assert text.count("struct counter {") == 1


@pytest.mark.parametrize("maps", [("endpoints",), ("seen", "seen")])
def test_a_map_declared_twice_is_refused(maps: tuple[str, ...]) -> None:
    """By the data path and a plugin, or by a plugin alone."""
    specs = (MapSpec(name, MapKind.HASH, Index, Seen, 10, "a map") for name in maps)
    with pytest.raises(CompileError, match=f'map "{maps[0]}" is declared twice'):
        amalgamate(program("", *specs), read_headers())


@pytest.mark.parametrize("core", core_programs(), ids=lambda core: core.name)
def test_every_program_of_ours_becomes_one_text(core: BpfProgram) -> None:
    """No quoted include is left for the compiler to find."""
    assert re.search(r'^\s*#\s*include\s+"', amalgamate(core, read_headers()), re.MULTILINE) is None
