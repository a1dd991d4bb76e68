"""Machines under a stock kernel: commands run as they were given, and nothing outlives them."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.vm.boot import boot
from tools.vm.debian import KERNELS, cache_directory
from tools.vm.image import Image, prepare
from tools.vm.machine import Command, Limits, Machine, guest_environment

from support.leaks import look, remains

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BOOT_S = 120.0


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> Iterator[None]:
    """No lab is shared here, so each test is looked at."""
    before = look()
    yield
    assert remains(before) == {}


@pytest.fixture(scope="module")
def image() -> Image:
    """Debian 12's own kernel."""
    return prepare(KERNELS["6.1"], cache_directory())


class Guest:
    """Runs shell scripts, and keeps what they said."""

    def __init__(self, image: Image, directory: Path) -> None:
        self._image = image
        self._directory = directory
        self.said: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    async def run(self, script: str, limits: Limits) -> int:
        """Exit status."""
        argv = ["sh", "-c", script]
        command = Command(argv=argv, directory=self._directory, environment=guest_environment() | {"WORD": "two words"})
        return await boot(Machine(image=self._image), command, limits, self._take)

    def _take(self, stream: str, data: bytes) -> None:
        self.said[stream] += data


@pytest.fixture
def guest(image: Image, tmp_path: Path) -> Guest:
    return Guest(image, tmp_path)


async def test_a_command_runs_under_the_other_kernel_and_changes_nothing_here(
    guest: Guest, image: Image, tmp_path: Path
) -> None:
    """Streams apart, every byte; exit status, directory and environment as given; files written there stay there."""
    (tmp_path / "seen").write_text("from here")
    script = 'uname -r; cat seen; echo "$WORD" >&2; id -u >&2; echo there >seen; seq 50000; exit 7'
    assert await guest.run(script, Limits(whole_s=BOOT_S)) == 7
    numbers = "".join(f"{number}\n" for number in range(1, 50001))
    assert guest.said == {"stdout": f"{image.version}\nfrom here{numbers}".encode(), "stderr": b"two words\n0\n"}
    assert (image.version != platform.release(), (tmp_path / "seen").read_text()) == (True, "from here")


async def test_a_machine_whose_task_is_cancelled_is_ended(guest: Guest) -> None:
    """As when somebody interrupts the run."""
    task = asyncio.create_task(guest.run("sleep 1000", Limits(whole_s=BOOT_S)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_signal_in_the_guest_is_told_as_a_shell_tells_it(guest: Guest) -> None:
    assert await guest.run("kill -9 $$", Limits(whole_s=BOOT_S)) == 128 + 9


@pytest.mark.usefixtures("image")
def test_a_killed_tool_takes_its_machine_along(tmp_path: Path) -> None:
    """Even where it had no chance to clean up; the leak check finds neither QEMU nor virtiofsd."""
    tool = subprocess.Popen(
        [sys.executable, "-m", "tools.vm", "--kernel", "6.1", "--", "sh", "-c", "echo begun; sleep 1000"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert tool.stdout is not None
    assert tool.stdout.readline() == b"begun\n"
    tool.kill()
    tool.wait()
    tool.stdout.close()
