"""What the kernel's verifier has to walk for each program, beside what it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netloom.bpf.budgets import VERIFIED_INSTRUCTIONS
from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import core_programs
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import INSTRUCTION_BYTES
from netloom.bpf.programs import load_program
from netloom.datapath.registry import MAPS
from netloom_vxlan.plugin import Vxlan

CONFIGURATIONS: Mapping[str, Mapping[str, int]] = {
    "vxlan": {},
    "vxlan, a plugin's own stage": {"CUSTOM_FROM_CONTAINER": 1},
}
"""What programs are compiled for: the network mode, and whether a plugin claims the custom slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One program in one configuration."""

    configuration: str
    program: str
    instructions: int
    """It has."""
    walked: int
    """The verifier walked, over all paths."""
    budget: int


def measure(cache_dir: Path) -> tuple[Row, ...]:
    """Load every program in every configuration; takes seconds when they must be compiled."""
    programs = (*core_programs(), *Vxlan().netloom_bpf_programs())
    specs = (*MAPS, *(spec for program in programs for spec in program.maps))
    rows = []
    with MapSet.ephemeral(specs) as maps:
        for configuration, defines in CONFIGURATIONS.items():
            for compiled in Compiler(cache_dir).compile_all(programs, defines):
                with load_program(compiled, maps) as loaded:
                    rows.append(
                        Row(
                            configuration=configuration,
                            program=compiled.name,
                            instructions=len(compiled.instructions) // INSTRUCTION_BYTES,
                            walked=loaded.verified_insns,
                            budget=VERIFIED_INSTRUCTIONS[compiled.name],
                        )
                    )
    return tuple(sorted(rows, key=lambda row: (row.configuration, row.program)))
