"""``make test-kernels``: what every supported kernel must do, under each of Debian's stock kernels at once.

Programs are compiled here beforehand, since guests are emulated and slow. Exit status: 0 when all tests of all kernels
passed, 1 otherwise.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.vm.boot import boot
from tools.vm.debian import KERNELS, cache_directory
from tools.vm.errors import MachineError
from tools.vm.image import prepare
from tools.vm.machine import Command, Limits, Machine, guest_environment

SERIES = ("6.1", "6.12")
"""Debian 12's own kernel, the oldest that is supported and without tcx; and Debian 13's, which Debian 12 offers too."""
LIMIT_S = 1200.0
"""For one kernel, all kernels running at once: together they take about twelve minutes on two cores."""
ROOT = Path(__file__).parents[2]
SUITE = (
    "tests/bpf",
    "tests/kernel/test_filters.py",
    "tests/kernel/test_xdp.py",
    "tests/e2e/test_smoke.py",
)
NOT_OF_THE_KERNEL = tuple(
    f"tests/bpf/test_{name}.py"
    for name in (
        "connections",
        "connections_changed",
        "connections_icmp",
        "connections_kept",
        "drop_reasons",
        "fragments",
        "from_container",
        "from_host",
        "from_overlay",
        "hops",
        "native_receive",
        "neighbor",
        "police",
        "policy_agreement",
        "policy_enforced",
        "prefilter",
        "robustness",
        "toolchain_compiler",
        "toolchain_maps",
        "toolchain_programs",
        "twin",
        "twin_policies",
        "walker",
    )
)
"""What proves something of our compiler and readers, or of decisions in C, which are the same under any kernel.

Of the latter each kernel shows what real devices, sockets and routes make of them.
"""
NO_TEST_OF_THE_KERNEL = (
    "tests/bpf/test_pipeline.py::test_the_compilers_structs_are_the_registrys_field_by_field",
    "tests/bpf/test_proxy_maps.py::test_a_control_socket_whose_name_is_too_long_is_told",
)
"""Single tests of the same kind, which take long there."""
COMPILING = (
    "tests/bpf/test_configurations.py",
    "tests/bpf/test_pipeline.py",
    "tests/bpf/test_plugin_stage.py",
    "tests/bpf/test_prefilter.py",
)
"""Tests that between them need every program of the suite."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one kernel."""

    series: str
    version: str
    """As ``uname -r`` says; "" when it was not got."""
    problem: str
    """"" when all is well."""
    seconds: float

    def __str__(self) -> str:
        return f"kernel {self.version or self.series}: {self.problem or 'passed'} after {self.seconds:.0f} s"


class Lines:
    """Whole lines of a guest's output, each with the kernel's name before it."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._rest: dict[str, bytes] = {}

    def take(self, stream: str, data: bytes) -> None:
        """More output of ``stdout`` or ``stderr``."""
        *lines, self._rest[stream] = (self._rest.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._write(line)

    def finish(self) -> None:
        """What did not end in a line end."""
        for rest in filter(None, self._rest.values()):
            self._write(rest)
        self._rest = {}

    def _write(self, line: bytes) -> None:
        sys.stdout.buffer.write(f"{self._label:>4} | ".encode() + line + b"\n")
        sys.stdout.flush()


def suite_command() -> list[str]:
    """What runs in the guest."""
    left_out = [f"--ignore={path}" for path in NOT_OF_THE_KERNEL]
    left_out += [f"--deselect={name}" for name in NO_TEST_OF_THE_KERNEL]
    return [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "--durations=5",
        *left_out,
        *SUITE,
    ]


def compile_programs(objects: Path) -> None:
    """Fill the directory with all the guests need. Raises MachineError when a test that should fill it fails."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *COMPILING]
    environment = {**os.environ, "NETLOOM_TEST_OBJECTS": str(objects)}
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise MachineError("programs could not be compiled and tried on this machine's own kernel; see above")


async def run_suite(series: Sequence[str], objects: Path) -> list[Outcome]:
    """All kernels at once."""
    return await asyncio.gather(*(_run_one(each, objects) for each in series))


async def _run_one(series: str, objects: Path) -> Outcome:
    begun = time.monotonic()
    lines = Lines(series)
    version = problem = ""
    try:
        image = await asyncio.to_thread(prepare, KERNELS[series], cache_directory())
        version = image.version
        settings = {"NETLOOM_TEST_EMULATED": "1", "NETLOOM_LAB_PATIENCE": "10", "NETLOOM_TEST_OBJECTS": str(objects)}
        command = Command(
            argv=suite_command(),
            directory=ROOT,
            environment=guest_environment() | settings,
            needs=(objects, Path(sys.prefix), Path(sys.base_prefix)),
        )
        status = await boot(Machine(image=image), command, Limits(whole_s=LIMIT_S), lines.take)
        problem = f"failed (pytest ended with {status})" if status else ""
    except MachineError as error:
        problem = str(error)
    lines.finish()
    return Outcome(series, version, problem, time.monotonic() - begun)


def interruptible(main: Callable[[], int]) -> int:
    """Its exit status, or that of a process which SIGTERM ended: what it started is ended first."""
    try:
        return main()
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 128 + signal.SIGTERM


async def _terminable(series: Sequence[str], objects: Path) -> list[Outcome]:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run_suite(series, objects)


def main() -> int:
    """Compile, run, report."""
    objects = cache_directory() / "objects"
    try:
        compile_programs(objects)
    except MachineError as error:
        sys.stderr.write(f"test-kernels: {error}\n")
        return 1
    outcomes = asyncio.run(_terminable(SERIES, objects))
    sys.stdout.write("".join(f"{outcome}\n" for outcome in outcomes))
    return int(any(outcome.problem for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(interruptible(main))
