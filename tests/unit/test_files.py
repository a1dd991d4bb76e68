"""Files: whole or as before, closed to others, bounded when read."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.edge.files import FileError, read_bytes, remove_file, remove_unfinished, write_atomic
from netloom.model.errors import Invalid, NotFound


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for data in (b"first, and longer", b"second"):
        write_atomic(tmp_path / "x", data)
        assert read_bytes(tmp_path / "x") == data


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x", b"")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_nothing_else_stays_in_the_directory(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_write_that_was_interrupted_does_not_hinder_the_next(tmp_path: Path) -> None:
    (tmp_path / ".x.new").write_bytes(b"half")
    write_atomic(tmp_path / "x", b"whole")
    assert read_bytes(tmp_path / "x") == b"whole"


def test_a_link_put_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".x.new").symlink_to(victim)
    with pytest.raises(FileError, match="cannot be written"):
        write_atomic(tmp_path / "x", b"y")
    assert victim.read_bytes() == b"precious"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A directory in the file's place stands for every reason a write can fail late."""
    (tmp_path / "x").mkdir()
    with pytest.raises(FileError, match=r'"[^"]*/x" cannot be written'):
        write_atomic(tmp_path / "x", b"y")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_no_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        read_bytes(tmp_path / "x")


def test_something_else_than_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_bytes(tmp_path)


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1])
def test_a_file_is_read_up_to_a_bound(tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(bytes(size))
    if size > 1 << 20:
        with pytest.raises(Invalid, match="longer than"):
            read_bytes(tmp_path / "x")
    else:
        assert len(read_bytes(tmp_path / "x")) == size


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x", b"")
    for _ in range(2):
        remove_file(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_not_removed(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be removed"):
        remove_file(tmp_path)


def test_what_was_begun_when_a_process_died_is_removed(tmp_path: Path) -> None:
    """And nothing else."""
    for name in (".1.json.new", "1.json", ".hidden", "2.new"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "1.json", "2.new"]
