"""One guest: QEMU's command line, and its life from start to exit status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tools.vm.errors import MachineError
from tools.vm.image import Image, archive
from tools.vm.share import daemon_command, needed_mounts

Accelerator = Literal["kvm", "tcg"]
Output = Callable[[str, bytes], None]
"""Called with ``stdout`` or ``stderr`` and what the command wrote there."""

_STAGE = Path(__file__).with_name("stage.sh")
_PROCESSOR: Mapping[Accelerator, str] = {"kvm": "host", "tcg": "max,la57=off"}
"""Five levels of page tables are no part of the test and cost an emulator time."""
_APPEND = (
    "console=ttyS0",
    "panic=-1",
    "oops=panic",
    "quiet",
    "mitigations=off",
    "nokaslr",
    "no_timer_check",
    "tsc=reliable",
    "nowatchdog",
    "audit=0",
    "apparmor=0",
    "random.trust_cpu=1",
)
"""Kernel parameters: a panic ends the machine; no work that an emulator makes slow and the tests do not need."""
_CONSOLE_LINES = 30
_SHARED_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is to be booted."""

    image: Image
    accelerator: Accelerator = "tcg"
    cpus: int = 1
    memory_mib: int = 1536


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is to be run in it."""

    argv: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    needs: Sequence[Path] = ()
    """Paths of this machine that the command reads, besides the directory."""

    def script(self) -> str:
        """For the guest's shell."""
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(self.environment.items()))
        return f"{exports}cd {shlex.quote(str(self.directory))} || exit 125\nexec {shlex.join(self.argv)}\n"


def guest_environment() -> dict[str, str]:
    """What a command has from here whatever else is given."""
    return {"HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long it may take, in seconds."""

    start_s: float | None = None
    """Until the command starts; None: as ``whole_s``."""
    whole_s: float = 600.0


class TimeLimitError(MachineError):
    """The command had started, and did not end in time."""


class NotStartedError(MachineError):
    """The machine never came to its command."""


@dataclass(slots=True)
class Status:
    """What came by the status port."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    text: bytes = b""

    def take(self, data: bytes) -> None:
        """More of it."""
        self.text += data
        if self.text.startswith(b"started\n"):
            self.started.set()

    @property
    def code(self) -> int | None:
        """Exit status of the command; None before it has ended."""
        last = self.text.removeprefix(b"started\n").strip()
        return int(last) if last.isdigit() else None


async def run(machine: Machine, command: Command, limits: Limits, output: Output) -> int:
    """Boot, run, end; the command's exit status. However it ends, nothing that it started goes on.

    Raises NotStartedError, TimeLimitError, or MachineError when the machine ended without a status.
    """
    async with AsyncExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="netloom-vm-")))
        status = Status()
        ports = {"stdout": _forward(output, "stdout"), "stderr": _forward(output, "stderr"), "status": status.take}
        closed = [await stack.enter_async_context(_listening(work / name, take)) for name, take in ports.items()]
        _pack(machine.image, command, work / "initramfs")
        await stack.enter_async_context(_sharing(machine, command, work))
        qemu = await stack.enter_async_context(_process(qemu_command(machine, work), work / "qemu.log"))
        await wait(qemu, status, limits, work)
        await asyncio.gather(*(each.wait() for each in closed))
        if status.code is None:
            kind = MachineError if status.started.is_set() else NotStartedError
            raise kind(f"the machine ended (QEMU: {qemu.returncode}) without an exit status; {_last_words(work)}")
        return status.code


def qemu_command(machine: Machine, work: Path) -> list[str]:
    """QEMU's command line; ``work`` holds the sockets and takes the console."""
    ports = [
        word
        for number, name in enumerate(("stdout", "stderr", "status"), 1)
        for word in (
            *("-chardev", f"socket,id={name},path={work / name}"),
            *("-device", f"virtserialport,chardev={name},name=netloom.{name},nr={number}"),
        )
    ]
    append = " ".join((*_APPEND, f"netloom.modules={machine.image.modules}"))
    return [
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"),
        *("-machine", "q35,usb=off,vmport=off,smbus=off,sata=off,memory-backend=memory"),
        *("-accel", "tcg,thread=multi" if machine.accelerator == "tcg" else "kvm"),
        *("-cpu", _PROCESSOR[machine.accelerator], "-smp", str(machine.cpus)),
        # virtiofsd reads and writes the guest's memory itself, so it must be shared.
        *("-m", f"{machine.memory_mib}M"),
        *("-object", f"memory-backend-memfd,id=memory,size={machine.memory_mib}M,share=on"),
        *("-kernel", str(machine.image.kernel), "-initrd", str(work / "initramfs"), "-append", append),
        *("-serial", f"file:{work / 'console'}"),
        *("-chardev", f"socket,id=files,path={work / 'files'}", "-device", "vhost-user-fs-pci,chardev=files,tag=host"),
        *("-device", "virtio-serial-pci", *ports, "-device", "virtio-rng-pci"),
    ]


def _forward(output: Output, name: str) -> Callable[[bytes], None]:
    return lambda data: output(name, data)


def _pack(image: Image, command: Command, target: Path) -> None:
    """The kernel takes several archives one after the other: the image's, and one with what is to be run."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        (tree / "stage.sh").write_bytes(_STAGE.read_bytes())
        (tree / "command.sh").write_text(command.script())
        own = archive(tree)
    target.write_bytes(image.initramfs.read_bytes() + own)


@asynccontextmanager
async def _listening(path: Path, take: Callable[[bytes], None]) -> AsyncIterator[asyncio.Event]:
    """A socket for one port of the guest; the event says that all of it was read."""
    closed = asyncio.Event()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                take(data)
        writer.close()
        closed.set()

    server = await asyncio.start_unix_server(read, path)
    try:
        yield closed
    finally:
        server.close()


@asynccontextmanager
async def _sharing(machine: Machine, command: Command, work: Path) -> AsyncIterator[None]:
    root, socket = work / "view", work / "files"
    root.mkdir()
    mounts = needed_mounts((machine.image.directory, command.directory, Path("/usr"), *command.needs))
    async with _process(daemon_command(root, socket, mounts), work / "files.log") as daemon:
        for _ in range(int(_SHARED_WITHIN_S / 0.02)):
            if socket.exists() or daemon.returncode is not None:
                break
            await asyncio.sleep(0.02)
        if not socket.exists():
            raise NotStartedError(f"virtiofsd did not start: {_tail(work / 'files.log') or 'it says nothing'}")
        yield


@asynccontextmanager
async def _process(argv: Sequence[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that does not outlive the block."""
    with log.open("wb") as file:
        child = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield child
    finally:
        # Not by child.kill(): that would collect the status of one that has just ended, before asyncio can.
        with contextlib.suppress(ProcessLookupError):
            if child.returncode is None:
                os.kill(child.pid, signal.SIGKILL)
        await child.wait()


async def wait(qemu: asyncio.subprocess.Process, status: Status, limits: Limits, work: Path) -> None:
    """Until QEMU has ended by itself. Raises TimeLimitError, NotStartedError."""
    ended = asyncio.ensure_future(qemu.wait())
    started = asyncio.ensure_future(status.started.wait())
    try:
        async with asyncio.timeout(limits.whole_s):
            await asyncio.wait({ended, started}, timeout=limits.start_s, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and not started.done():
                raise NotStartedError(f"no command started within {limits.start_s:g} s; {_last_words(work)}")
            await ended
    except TimeoutError as error:
        kind = TimeLimitError if started.done() else NotStartedError
        raise kind(f"the time limit of {limits.whole_s:g} s was reached; {_last_words(work)}") from error
    finally:
        ended.cancel()
        started.cancel()


def _last_words(work: Path) -> str:
    said = [f"{name}:\n{text}" for name in ("console", "qemu.log", "files.log") if (text := _tail(work / name))]
    return "\n".join(["what it said last is", *said]) if said else "it said nothing"


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-_CONSOLE_LINES:]).strip()
