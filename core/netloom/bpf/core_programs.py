"""The data path's own programs and headers, from the package ``netloom_bpf`` (directory ``bpf`` of the sources)."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from netloom.datapath.registry import CallSlot
from netloom.plugins.contract import UNDERLAY, AttachPoint, BpfProgram

WORKLOAD_DEVICES = "lxc*"
"""Device name of an attach point that stands for the host side of every workload."""
HOST_DEVICE = "loom_host"

_TARGETS: dict[str, AttachPoint | CallSlot] = {
    "from_container": AttachPoint(WORKLOAD_DEVICES, "ingress"),
    "from_host": AttachPoint(HOST_DEVICE, "egress"),
    "to_proxy": AttachPoint(HOST_DEVICE, "ingress"),
    "neighbor": CallSlot.NEIGHBOR,
    "icmp_error": CallSlot.ICMP_ERROR,
    "forward": CallSlot.FORWARD,
    "proxy": CallSlot.PROXY,
}


def package_dir() -> Path:
    """Where the C sources stand."""
    return Path(str(files("netloom_bpf")))


def core_programs() -> tuple[BpfProgram, ...]:
    """Every program of the data path that belongs to no plugin. Raises FileNotFoundError in a broken installation."""
    return tuple(_program(name, target) for name, target in _TARGETS.items())


def prefilter_program() -> BpfProgram:
    """The one program for XDP, which is no part of the pipeline: it is attached while there is something to refuse.

    Raises as :func:`core_programs`.
    """
    return _program("prefilter", AttachPoint(UNDERLAY, "ingress"))


def _program(name: str, target: AttachPoint | CallSlot) -> BpfProgram:
    file = f"{name}.bpf.c"
    return BpfProgram(name=name, file=file, source=(package_dir() / file).read_text(encoding="utf-8"), target=target)


def read_headers() -> dict[str, str]:
    """Texts of ``lib/*.h`` and ``gen/*.h``, by the names under which sources include them."""
    return {
        f"{directory}/{path.name}": path.read_text(encoding="utf-8")
        for directory in ("gen", "lib")
        for path in sorted((package_dir() / directory).glob("*.h"))
    }


def hermetic_dir() -> Path:
    """The tree the compiler takes for kernel sources."""
    return package_dir() / "hermetic"
