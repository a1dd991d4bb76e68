"""The compiler: eBPF C in a child process, once per content."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netloom.bpf import compiler
from netloom.bpf.assemble import CALL
from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import core_programs, read_headers
from netloom.bpf.helpers import PROBE_READ_KERNEL
from netloom.bpf.objects import ProgramKind
from netloom.model.errors import CompileError, Unsupported
from support.toolchain import stage

pytestmark = pytest.mark.bpf


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of the compiler's children, one entry a child that had something to compile."""
    asked: list[Any] = []
    ask = compiler._ask

    def record(units: list[dict[str, Any]]) -> dict[str, Any]:
        asked.extend([[unit["name"] for unit in units]] if units else [])
        return ask(units)

    monkeypatch.setattr(compiler, "_ask", record)
    return asked


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Forget which compiler is installed, before and after."""
    compiler.compiler_version.cache_clear()
    yield monkeypatch
    compiler.compiler_version.cache_clear()


def test_maps_are_referred_to_by_name(tmp_path: Path) -> None:
    """Never by a descriptor of the process that compiled."""
    program = Compiler(tmp_path).compile(
        stage("__u32 zero = 0; return metrics.lookup(&zero) && node_config.lookup(&zero);")
    )
    assert [name for _, name in program.map_refs] == ["metrics", "node_config"]
    assert program.linked(lambda _: 0) == program.instructions


def test_a_second_compilation_is_read_from_disk(tmp_path: Path, children: list[Any]) -> None:
    """By any process: the agent that starts next has it at once."""
    first = Compiler(tmp_path).compile(stage("return 1;"))
    assert Compiler(tmp_path).compile(stage("return 1;")) == first
    assert children == [["stage"]]


def test_a_define_makes_another_program(tmp_path: Path) -> None:
    """And reaches the source."""
    compile_with = Compiler(tmp_path).compile
    one, two = (compile_with(stage("return ANSWER;"), {"ANSWER": answer}) for answer in (1, 2))
    assert one.instructions != two.instructions


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_everything_missing_is_compiled_by_one_child(
    tmp_path: Path, children: list[Any], monkeypatch: pytest.MonkeyPatch, cpus: int
) -> None:
    """And what is there already is left out; the answers come in the order of the programs, whichever ends first."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cpus)))
    bodies = ["return 0;", "return 1;", f"return 2;{' ' * 1000}", "return 3;"]
    programs = [stage(body, name=f"stage{number}") for number, body in enumerate(bodies)]
    Compiler(tmp_path).compile(programs[1])
    objects = Compiler(tmp_path).compile_all(programs)
    assert [item.name for item in objects] == ["stage0", "stage1", "stage2", "stage3"]
    assert len({item.instructions for item in objects}) == 4
    assert children == [["stage1"], ["stage0", "stage2", "stage3"]]


def test_a_harmed_file_is_compiled_again_and_replaced(tmp_path: Path, children: list[Any]) -> None:
    """Without a word: the cache is nobody's data."""
    first = Compiler(tmp_path).compile(stage("return 1;"))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    assert Compiler(tmp_path).compile(stage("return 1;")) == first
    assert Compiler(tmp_path).compile(stage("return 1;")) == first
    assert len(children) == 2


def test_an_error_points_to_the_line_people_wrote(tmp_path: Path) -> None:
    """Not into the text the compiler saw."""
    with pytest.raises(CompileError, match=r"stage\.bpf\.c:2:\d+: error: .*nowhere") as caught:
        Compiler(tmp_path).compile(stage("return nowhere;"))
    assert caught.value.source == "stage.bpf.c"


def test_an_error_in_a_header_points_to_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the compiler sees one file."""
    headers = read_headers() | {"lib/broken.h": "\n\nstruct unfinished {\n"}
    monkeypatch.setattr(compiler, "read_headers", lambda: headers)
    program = stage("return 0;")
    program = type(program)(
        name=program.name, file=program.file, source=f'#include "lib/broken.h"\n{program.source}', target=program.target
    )
    with pytest.raises(CompileError, match=r"lib/broken\.h:3"):
        Compiler(tmp_path).compile(program)


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    """In a kernel program an unused value is a bug somebody has not found yet."""
    with pytest.raises(CompileError, match="unused variable"):
        Compiler(tmp_path).compile(stage("int forgotten = 1; return 0;"))


@pytest.mark.parametrize(
    ("kind", "context"), [(ProgramKind.TC, "__sk_buff"), (ProgramKind.XDP, "xdp_md")], ids=["tc", "xdp"]
)
def test_a_program_without_its_function_says_which_is_missing(tmp_path: Path, kind: ProgramKind, context: str) -> None:
    """The name of a program is the name of its function, which takes what programs of its kind are given."""
    program = stage("return 0;")
    renamed = type(program)(name="other", file=program.file, source=program.source, target=program.target)
    with pytest.raises(CompileError, match=rf'no function "int other\(struct {context} \*\)"'):
        Compiler(tmp_path).compile(renamed, kind=kind)


def test_one_program_that_fails_does_not_lose_the_others(tmp_path: Path, children: list[Any]) -> None:
    """They need not be compiled again after the mistake was put right."""
    good, bad = stage("return 0;", name="good"), stage("return nowhere;", name="bad")
    with pytest.raises(CompileError):
        Compiler(tmp_path).compile_all([bad, good])
    Compiler(tmp_path).compile(good)
    assert sorted(name for share in children for name in share) == ["bad", "good"]


def test_a_program_that_is_beyond_llvm_is_named_with_its_words_and_alone(tmp_path: Path, children: list[Any]) -> None:
    """LLVM ends its process over a stack that is too deep; the programs beside it are kept all the same."""
    deep = stage("volatile char room[600] = {}; return room[skb->len & 1];", name="deep")
    with pytest.raises(CompileError, match=r"in function deep .*stack limit of 512 bytes is exceeded") as caught:
        Compiler(tmp_path).compile_all([deep, stage("return 0;", name="good")])
    assert caught.value.source == "deep.bpf.c"
    assert "the compiler ended with status 1" in str(caught.value)
    Compiler(tmp_path).compile(stage("return 0;", name="good"))
    assert len(children) == 1


def test_a_helper_that_reads_the_kernels_memory_is_the_one_that_was_named(tmp_path: Path) -> None:
    """Not bpf_probe_read, which BCC takes for it when it has not seen the kernel's symbols."""
    program = Compiler(tmp_path).compile(
        stage("__u32 length = 0; bpf_probe_read_kernel(&length, sizeof(length), &skb->len); return length;")
    )
    opcodes = [program.instructions[at : at + 8] for at in range(0, len(program.instructions), 8)]
    assert [int.from_bytes(code[4:], "little") for code in opcodes if code[0] == CALL] == [PROBE_READ_KERNEL]


def test_no_header_of_the_host_takes_part(tmp_path: Path) -> None:
    """The same source is the same program everywhere: not even linux/in.h is found."""
    program = stage("return 0;")
    source = f"#include <linux/in.h>\n{program.source}"
    with pytest.raises(CompileError, match=r"'linux/in\.h' file not found"):
        Compiler(tmp_path).compile(
            type(program)(name="stage", file="stage.bpf.c", source=source, target=program.target)
        )


def test_a_missing_compiler_says_what_to_install(tmp_path: Path, no_compiler: pytest.MonkeyPatch) -> None:
    """The virtual environment's Python has no bcc, as a host without the package."""
    no_compiler.setattr(compiler, "PYTHON", "/usr/bin/true-python3")
    with pytest.raises(Unsupported, match="apt-get install python3-bpfcc"):
        Compiler(tmp_path).compile(stage("return 0;"))


def test_a_python_without_bcc_says_what_to_install(tmp_path: Path, no_compiler: pytest.MonkeyPatch) -> None:
    """As a host with Python but without the package."""
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nshift\nexec {sys._base_executable} -I -S "$@"\n')  # type: ignore[attr-defined]
    bare.chmod(0o700)
    no_compiler.setattr(compiler, "PYTHON", str(bare))
    with pytest.raises(Unsupported, match="no module bcc for"):
        Compiler(tmp_path / "cache").compile(stage("return 0;"))


def test_a_compiler_that_dies_is_told_with_its_last_words(tmp_path: Path, no_compiler: pytest.MonkeyPatch) -> None:
    """A crash of LLVM is an error of the source's, not of the agent's."""
    dying = tmp_path / "python3"
    dying.write_text("#!/bin/sh\necho out of memory >&2\nexit 7\n")
    dying.chmod(0o700)
    no_compiler.setattr(compiler, "PYTHON", str(dying))
    with pytest.raises(CompileError, match=r"status 7:\nout of memory"):
        Compiler(tmp_path / "cache").compile(stage("return 0;"))


def test_the_process_that_asks_never_loads_the_compiler(tmp_path: Path) -> None:
    """BCC brings 120 MB of LLVM, and keeps them."""
    script = (
        "import sys; from pathlib import Path; from netloom.bpf.compiler import Compiler\n"
        "from netloom.bpf.core_programs import core_programs\n"
        f"Compiler(Path({str(tmp_path)!r})).compile(core_programs()[0])\n"
        "assert 'bcc' not in sys.modules\n"
        "assert 'libbcc' not in Path('/proc/self/maps').read_text()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("custom", [{}, {"CUSTOM_FROM_CONTAINER": 1}], ids=["plain", "custom"])
def test_our_own_programs_compile_without_a_warning(tmp_path: Path, custom: dict[str, int]) -> None:
    """In every variant there is."""
    programs = core_programs()
    objects = Compiler(tmp_path).compile_all(programs, custom)
    assert [item.name for item in objects] == [program.name for program in programs]
