"""Small eBPF programs for tests of the toolchain itself."""

from __future__ import annotations

from netloom.datapath.maps import MapSpec
from netloom.datapath.registry import CallSlot
from netloom.plugins.contract import BpfProgram


def stage(body: str, *maps: MapSpec[object, object], name: str = "stage") -> BpfProgram:
    """A program whose only function has ``body``; line 2 of ``<name>.bpf.c`` is its first."""
    source = f"int {name}(struct __sk_buff *skb) {{\n{body}\n}}\n"
    return BpfProgram(name=name, file=f"{name}.bpf.c", source=source, target=CallSlot.FORWARD, maps=maps)
