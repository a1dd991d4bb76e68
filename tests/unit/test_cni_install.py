"""``netctl cni``: what it writes, what it leaves alone, and what it says."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from netloom.cli import cni_install
from netloom.cli.cni_files import CAPABILITIES, earlier_configs, is_our_conflist, is_our_program
from support.cni import Program
from support.netctl import Ended, Netctl
from support.recorded_agent import RecordedAgent


class Place:
    """Directories of a runtime, and netctl for them."""

    def __init__(self, netctl: Netctl, root: Path) -> None:
        self._netctl = netctl
        self.bin_dir, self.conf_dir, self.socket = root / "bin", root / "net.d", root / "run/netloom.sock"
        self.program, self.conflist = self.bin_dir / "netloom-cni", self.conf_dir / "10-netloom.conflist"

    def __call__(self, command: str, *more: str) -> Ended:
        dirs = ["--bin-dir", str(self.bin_dir)]
        dirs += [] if command == "status" else ["--conf-dir", str(self.conf_dir)]
        return self._netctl("cni", command, *dirs, *more)

    def install(self, *more: str) -> Ended:
        return self("install", "--socket", str(self.socket), *more)

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.bin_dir.parent)): path.read_bytes()
            for directory in (self.bin_dir, self.conf_dir)
            for path in (directory.iterdir() if directory.exists() else ())
        }


@pytest.fixture
def place(netctl: Netctl, tmp_path: Path) -> Place:
    return Place(netctl, tmp_path / "host")


def test_it_writes_program_and_network_and_says_so(place: Place) -> None:
    status, out, err = place.install()
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{place.program} is written.",
        f"It asks the agent at {place.socket}.",
        f"{place.conflist} is written.",
    ]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place.program, place.conflist)] == [0o755, 0o644]
    assert sorted(place.files()) == ["bin/netloom-cni", "net.d/10-netloom.conflist"], "nothing half-written is left"


def test_the_network_declares_what_is_honoured_or_refused(place: Place) -> None:
    place.install("--cni-version", "1.1.0", "--name", "blue")
    view = json.loads((place.conf_dir / "10-blue.conflist").read_text())
    plugin = {"type": "netloom-cni", "capabilities": dict.fromkeys(CAPABILITIES, True)}
    assert (view["cniVersion"], view["name"], view["plugins"]) == ("1.1.0", "blue", [plugin])


def test_the_network_is_of_a_version_that_old_runtimes_take(place: Place) -> None:
    place.install()
    assert json.loads(place.conflist.read_text())["cniVersion"] == "1.0.0"


def test_what_is_installed_is_a_relay_that_asks_the_agent_meant(place: Place) -> None:
    place.install()
    assert place.program.read_bytes()[:4] == b"\x7fELF"
    place.socket.parent.mkdir()
    agent = RecordedAgent(place.socket)
    try:
        assert Program(place.program)("ADD", CNI_NETNS="/n") == (0, {})
    finally:
        agent.close()


def test_installing_again_changes_nothing(place: Place) -> None:
    place.install()
    before = place.files()
    status, out, _ = place.install()
    assert (status, out.count("is as it should be"), place.files()) == (0, 2, before)


def test_installing_for_another_agent_replaces_what_was_installed(place: Place) -> None:
    place.install()
    before = place.files()
    place.socket = place.socket.with_name("other.sock")
    assert place.install("--cni-version", "1.1.0").status == 0
    assert {name for name, content in place.files().items() if content != before[name]} == set(before)


def test_without_a_compiler_the_python_program_is_installed_and_that_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cni_install, "COMPILERS", ("no-such-compiler",))
    status, out, _ = place.install()
    assert (status, "none of no-such-compiler is installed" in out) == (0, True)
    assert place.program.read_bytes().startswith(b"#!/bin/sh\n")
    assert Program(place.program)("VERSION").answer["supportedVersions"] == ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def test_a_compiler_that_fails_is_quoted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cni_install, "COMPILERS", ("false",))
    status, out, _ = place.install()
    assert (status, "false ended with 1" in out) == (0, True)
    assert shutil.which("false") is not None


@pytest.mark.parametrize("name", ["netloom-cni", "10-netloom.conflist"])
def test_a_file_of_somebody_else_is_not_overwritten_and_nothing_is_written(place: Place, name: str) -> None:
    foreign = (place.program if name == "netloom-cni" else place.conflist).absolute()
    foreign.parent.mkdir(parents=True)
    foreign.write_text("{}")
    status, _, err = place.install()
    assert (status, str(foreign) in err, "left alone" in err) == (1, True, True)
    assert list(place.files().values()) == [b"{}"]


def test_a_network_that_an_operator_changed_is_not_overwritten(place: Place) -> None:
    place.install()
    place.conflist.write_text(place.conflist.read_text().replace('"mac": true', '"mac": false'))
    before = place.files()
    assert place.install("--cni-version", "1.1.0").status == 1
    assert place.files() == before


def test_a_network_that_would_win_by_its_name_is_told(place: Place) -> None:
    place.conf_dir.mkdir(parents=True)
    for name in ("05-bridge.conf", "00-old.conflist", "99-last.conflist", "00-readme.txt"):
        (place.conf_dir / name).touch()
    out = place.install().out
    assert "00-old.conflist, 05-bridge.conf in" in out
    assert "stands before 10-netloom.conflist" in out


@pytest.mark.parametrize("path", ["relative.sock", "/" + "x" * 107])
def test_a_socket_that_cannot_be_is_refused_before_anything_is_written(place: Place, path: str) -> None:
    status, _, err = place("install", "--socket", path)
    assert (status, "expected an absolute path of at most 107 bytes" in err) == (1, True)
    assert place.files() == {}


def test_a_path_may_have_any_letters(place: Place) -> None:
    place.socket = place.socket.with_name('my "own" \\ $sökét1.sock')
    assert place.install().status == 0
    assert Program(place.program)("DEL") == (0, None)
    assert (place.socket.parent / "detachments").is_dir(), "its Python program got the path unharmed"


def test_uninstalling_removes_both_and_may_be_done_twice(place: Place) -> None:
    place.install()
    assert place("uninstall").out == f"{place.conflist} is removed.\n{place.program} is removed.\n"
    assert place.files() == {}
    status, out, _ = place("uninstall")
    assert (status, out.count("was not there")) == (0, 2)


def test_two_networks_share_the_program_and_are_told_so(place: Place) -> None:
    """It goes with the last of them."""
    place.install("--name", "a")
    assert "So do the pods of 10-a.conflist" in place.install("--name", "b").out
    assert f"{place.program} stays: 10-b.conflist" in place("uninstall", "--name", "a").out
    assert sorted(place.files()) == ["bin/netloom-cni", "net.d/10-b.conflist"]
    place("uninstall", "--name", "b")
    assert place.files() == {}


def test_uninstalling_leaves_what_was_changed_and_says_so(place: Place) -> None:
    place.install()
    place.conflist.write_text("{}")
    status, out, err = place("uninstall")
    assert (status, "is removed" in out, str(place.conflist) in err) == (1, True, True)
    assert list(place.files()) == ["net.d/10-netloom.conflist"]


def test_status_asks_as_a_runtime_does(place: Place) -> None:
    place.install()
    status, _, err = place("status")
    assert (status, f"cannot be reached at {place.socket}" in err) == (1, True)
    place.socket.parent.mkdir()
    agent = RecordedAgent(place.socket)
    agent.ending = (0, b"")
    try:
        assert place("status") == (0, f"{place.program} answers: containers can be attached.\n", "")
    finally:
        agent.close()
    assert agent.calls[0][0]["CNI_COMMAND"] == "STATUS"


def test_status_without_a_program_says_so(place: Place) -> None:
    status, _, err = place("status")
    assert (status, f"{place.program} cannot be run" in err) == (1, True)


@pytest.mark.parametrize("name", ["a/b", "", "-x"])
def test_a_name_no_network_can_have_is_wrong_usage(place: Place, name: str) -> None:
    assert place.install("--name", name).status == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b'{"installedBy": 1}', b'{"installedBy": "x", "a": 1}'])
def test_what_is_not_ours_is_never_taken_for_it(content: bytes) -> None:
    assert not is_our_conflist(content)
    assert not is_our_program(content)


def test_only_configs_count_as_rivals() -> None:
    names: Any = ["10-netloom.conflist", "09-a.json", "10-a.conflist", "01-b.conf.bak", "11-c.conf"]
    assert earlier_configs(names, "10-netloom.conflist") == ["09-a.json", "10-a.conflist"]
