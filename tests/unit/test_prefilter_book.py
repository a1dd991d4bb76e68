"""The prefilter's file: read as it was written, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.agent.prefilter import book
from netloom.agent.prefilter.book import Kept
from netloom.edge.files import FileError
from netloom.model.errors import Invalid
from netloom.plan.prefilter import parse_all

KEPT = Kept(7, parse_all(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    book.write(tmp_path / "prefilter.json", KEPT)
    assert book.read(tmp_path / "prefilter.json") == KEPT


def test_without_a_file_nothing_is_refused(tmp_path: Path) -> None:
    assert book.read(tmp_path / "prefilter.json") == Kept(1, frozenset())


def test_it_is_for_root_alone_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    book.write(tmp_path / "prefilter.json", KEPT)
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("prefilter.json", 0o600)]


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    """Never taken for a shorter list, and never for none."""
    path = tmp_path / "prefilter.json"
    book.write(path, KEPT)
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(Invalid, match=r"prefilter file .* is damaged.*`netctl prefilter update --replace`"):
            book.read(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"10.0.0.0/8"', b'"11.0.0.0/8"'),
        (b'"10.0.0.0/8"', b'"10.0.0.1/8"'),
        (b'"revision": 7', b'"revision": 8'),
        (b'"version": 1', b'"version": 2'),
        (b'"cidrs"', b'"cards"'),
        (b"10.0", b"\xff0.0"),
    ],
)
def test_a_changed_character_is_noticed(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Whether or not it makes sense."""
    path = tmp_path / "prefilter.json"
    book.write(path, KEPT)
    whole = path.read_bytes()
    assert before in whole
    path.write_bytes(whole.replace(before, after, 1))
    with pytest.raises(Invalid, match="is damaged"):
        book.read(path)


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """The directory has become none."""
    (tmp_path / "none").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        book.write(tmp_path / "none" / "prefilter.json", KEPT)
