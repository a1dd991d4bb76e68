"""Detachments that wait for the agent: written whole, by root alone, bounded, and read with suspicion."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netloom.cni import pending
from netloom.cni.errors import CniError, Code
from netloom.cni.pending import Detachment, directory_of, read, remember, waiting
from netloom.cni.request import Request, parse


def request(container: str = "c1", ifname: str = "eth0") -> Request:
    environment = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": container, "CNI_IFNAME": ifname}
    return parse(environment, b'{"cniVersion": "1.0.0", "name": "net"}')


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(directory_of(str(tmp_path / "n1/netloom.sock")))


def test_what_is_remembered_can_be_read(directory: Path) -> None:
    remember(str(directory), request("c1"))
    remember(str(directory), request("c2", "net1"))
    found = {read(path) for path in waiting(str(directory))}
    assert found == {Detachment("c1", "eth0"), Detachment("c2", "net1")}


def test_an_attachment_has_one_file_however_often_it_is_detached(directory: Path) -> None:
    for _ in range(3):
        remember(str(directory), request())
    assert len(list(directory.iterdir())) == 1


def test_only_root_reads_and_writes_there(directory: Path) -> None:
    remember(str(directory), request())
    (file,) = directory.iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, file)] == [0o700, 0o600]


def test_without_a_directory_nothing_waits(directory: Path) -> None:
    assert waiting(str(directory)) == ()


def refusal(directory: Path) -> CniError:
    with pytest.raises(CniError, match="cannot be remembered") as caught:
        remember(str(directory), request())
    return caught.value


def test_a_directory_others_can_write_is_not_used(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    assert refusal(directory).code == Code.TRY_AGAIN_LATER
    assert list(directory.iterdir()) == []


def test_a_link_in_the_directorys_place_is_not_followed(directory: Path, tmp_path: Path) -> None:
    directory.parent.mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "elsewhere")
    assert "no directory" in refusal(directory).message


def test_a_place_that_cannot_be_written_is_said_with_code_11(directory: Path) -> None:
    directory.parent.parent.joinpath("n1").write_text("a file where the directory should be")
    assert refusal(directory).code == Code.TRY_AGAIN_LATER


def test_there_is_a_bound_on_how_many_wait(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MAX_FILES", 1)
    remember(str(directory), request())
    remember(str(directory), request())
    with pytest.raises(CniError, match="holds 1 detachments"):
        remember(str(directory), request("c2"))


@given(
    st.binary(max_size=80)
    | st.recursive(st.none() | st.text(max_size=9), lambda inner: st.dictionaries(st.text(max_size=9), inner)).map(
        lambda value: json.dumps(value).encode()
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_says_is_a_detachment_or_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    assert read(str(file)) is None


@pytest.mark.parametrize(
    "content",
    [
        b'{"container_id": "../a", "ifname": "eth0"}',
        b'{"container_id": "a", "ifname": "\\ud800"}',
        b'{"container_id": 1, "ifname": "a"}',
        b'{"container_id": "a", "ifname": "b"' + b" " * 4096 + b"}",
    ],
)
def test_a_file_of_another_shape_or_size_says_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    assert read(str(file)) is None
