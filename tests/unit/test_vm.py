"""The tool that boots stock kernels: what it asks the mirror, QEMU and the guest's shell for."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from tools.vm import boot, share
from tools.vm import machine as machine_module
from tools.vm.debian import KERNELS, newest_image, source_list, version_of
from tools.vm.errors import MachineError
from tools.vm.image import Image
from tools.vm.machine import Command, Limits, Machine, NotStartedError, TimeLimitError, qemu_command
from tools.vm.suite import Lines, Outcome

IMAGE = Image(Path("/cache/linux-image-6.1.0-56-cloud-amd64"), "6.1.0-56-cloud-amd64")


def test_the_newest_kernel_of_a_series_is_taken_by_number() -> None:
    """Not by the alphabet, and no debugging, unsigned or real-time one."""
    packages = [
        "linux-image-6.1.0-9-cloud-amd64",
        "linux-image-6.1.0-56-cloud-amd64",
        "linux-image-6.1.0-57-cloud-amd64-dbg",
        "linux-image-6.1.0-58-rt-amd64",
        "linux-image-6.1.0-59-cloud-amd64-unsigned",
        "linux-image-6.12.117+deb12-cloud-amd64",
    ]
    assert newest_image("6.1", packages) == "linux-image-6.1.0-56-cloud-amd64"
    assert newest_image("6.12", packages) == "linux-image-6.12.117+deb12-cloud-amd64"
    assert newest_image("5.10", packages) is None


def test_the_version_is_what_uname_says() -> None:
    assert version_of("linux-image-6.12.117+deb12-cloud-amd64") == "6.12.117+deb12-cloud-amd64"


@pytest.mark.parametrize(
    ("mirrors", "main", "security"),
    [
        (["http://m/debian/", "http://s/debian-security/"], "http://m/debian/", "http://s/debian-security/"),
        (["http://m/debian/", "http://other/apt/"], "http://m/debian/", "http://m/debian-security/"),
        ([], "http://deb.debian.org/debian/", "http://deb.debian.org/debian-security/"),
    ],
)
def test_kernels_come_from_the_mirror_the_machine_uses(mirrors: list[str], main: str, security: str) -> None:
    """The security mirror is where it is configured, else beside the main one."""
    lines = source_list(KERNELS["6.1"], mirrors).splitlines()
    assert [line.split()[-3:] for line in lines] == [
        [main, "bookworm", "main"],
        [security, "bookworm-security", "main"],
    ]


def test_the_command_reaches_the_guests_shell_word_by_word(tmp_path: Path) -> None:
    """Whatever is in the words."""
    said = tmp_path / "said"
    words = ["sh", "-c", 'printf "%s|" "$SETTING" "$PWD" "$@" >"$OUT"', "x", "a b", "it's", "$HOME"]
    command = Command(argv=words, directory=tmp_path, environment={"SETTING": "two words; ls", "OUT": str(said)})
    subprocess.run(["sh", "-c", command.script()], check=True)
    assert said.read_text() == f"two words; ls|{tmp_path}|a b|it's|$HOME|"


def test_a_machine_ends_with_whoever_started_it_and_never_boots_twice() -> None:
    """Killed by the kernel when its parent goes; a panic or reboot ends it."""
    words = qemu_command(Machine(image=IMAGE), Path("/work"))
    assert words[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert {"-no-reboot", "-nodefaults"} <= set(words)
    assert f"netloom.modules={IMAGE.modules}" in words[words.index("-append") + 1].split()


def test_guest_and_daemon_share_the_memory_they_are_told_to() -> None:
    words = qemu_command(Machine(image=IMAGE, memory_mib=512), Path("/work"))
    assert (words[words.index("-m") + 1], words[words.index("-object") + 1]) == (
        "512M",
        "memory-backend-memfd,id=memory,size=512M,share=on",
    )


def test_the_mount_point_of_what_does_not_exist_yet_is_that_of_what_will_hold_it(tmp_path: Path) -> None:
    assert share.mount_point(tmp_path / "a/b") == share.mount_point(tmp_path)
    assert share.mount_point(Path("/proc/self/not-there")) == Path("/proc")


def test_the_root_itself_is_no_mount_to_add() -> None:
    """Nor is a mount named twice."""
    assert share.needed_mounts([Path("/"), Path("/proc/1"), Path("/proc/2")]) == (Path("/proc"),)


def test_the_tree_is_bound_read_only(tmp_path: Path) -> None:
    """Everything of it: root and further mounts."""
    words = share.daemon_command(tmp_path, tmp_path / "socket", [Path("/proc")])
    script = words[words.index("-c") + 1]
    assert script.count("mount --bind") == script.count("remount,bind,ro")
    assert words.index("/proc") < words.index("--")


async def test_a_kernel_that_does_not_start_under_kvm_is_emulated_and_that_is_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Asked once per image and host kernel."""
    tried: list[str] = []

    async def run(machine: Machine, *_: object) -> int:
        tried.append(machine.accelerator)
        if machine.accelerator == "kvm":
            raise NotStartedError("it hung")
        return 7

    monkeypatch.setattr(boot, "run", run)
    monkeypatch.setattr(boot, "KVM_DEVICE", Path("/dev/null"))
    monkeypatch.delenv(boot.CHOICE_VARIABLE, raising=False)
    machine = Machine(image=Image(tmp_path, "6.1"))
    command = Command(argv=["true"], directory=tmp_path, environment={})
    for _ in range(2):
        assert await boot.boot(machine, command, Limits(), lambda *_: None) == 7
    assert tried == ["kvm", "tcg", "tcg"]


async def test_an_accelerator_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(boot.CHOICE_VARIABLE, "xen")
    command = Command(argv=["true"], directory=tmp_path, environment={})
    with pytest.raises(MachineError, match='"xen", expected kvm or tcg'):
        await boot.boot(Machine(image=IMAGE), command, Limits(), lambda *_: None)


@pytest.mark.parametrize(("started", "error"), [(True, TimeLimitError), (False, NotStartedError)])
async def test_a_machine_over_its_time_is_given_up(tmp_path: Path, started: bool, error: type[MachineError]) -> None:
    """Whether its command had started says what went wrong."""
    status = machine_module.Status()
    status.take(b"started\n" if started else b"")
    machine = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        with pytest.raises(error, match=r"time limit of 0\.01 s"):
            await machine_module.wait(machine, status, Limits(whole_s=0.01), tmp_path)
    finally:
        machine.kill()
        await machine.wait()


async def test_a_machine_whose_command_does_not_start_is_given_up_early(tmp_path: Path) -> None:
    """What the console said last is told."""
    (tmp_path / "console").write_text("guest: the host's files cannot be mounted\n")
    machine = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        with pytest.raises(NotStartedError, match=r"started within 0\.01 s; .*\nconsole:\n.*cannot be mounted"):
            await machine_module.wait(machine, machine_module.Status(), Limits(start_s=0.01), tmp_path)
    finally:
        machine.kill()
        await machine.wait()


@pytest.mark.parametrize(("text", "code"), [(b"", None), (b"started\n", None), (b"started\n7\n", 7)])
def test_a_status_is_what_comes_after_the_start(text: bytes, code: int | None) -> None:
    status = machine_module.Status()
    for at in range(len(text)):
        status.take(text[at : at + 1])
    assert status.code == code


def test_output_is_told_apart_by_kernel_line_by_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """However the pieces come."""
    lines = Lines("6.1")
    for piece in (b"one\ntw", b"o\nthr", b"ee"):
        lines.take("stdout", piece)
    lines.finish()
    assert capsysbinary.readouterr().out == b" 6.1 | one\n 6.1 | two\n 6.1 | three\n"


def test_an_outcome_names_kernel_and_problem() -> None:
    assert str(Outcome("6.1", "6.1.0-56", "", 60.2)) == "kernel 6.1.0-56: passed after 60 s"
    assert str(Outcome("6.12", "", "no mirror", 1)) == "kernel 6.12: no mirror after 1 s"
