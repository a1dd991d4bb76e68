"""The lab's journal: what was written is read again, whatever interrupted the writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.lab.journal import Journal
from netloom.lab.processes import ProcessRecord
from netloom.lab.racks import RackSpec
from netloom.lab.topology import LabSpec
from netloom.model.errors import Invalid

RECORD = ProcessRecord(name="agent node1", pid=4711, started=123456, boot_id="b")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def test_a_lab_that_was_never_begun_has_an_empty_history(journal: Journal) -> None:
    """A directory may stand without a journal: the first step was not reached."""
    assert journal.read().spec is None


def test_what_is_written_is_read(journal: Journal) -> None:
    """Spec, namespaces, processes and completion."""
    journal.begin(LabSpec(name="x", nodes=3))
    journal.namespace("x-underlay")
    journal.process(RECORD)
    journal.complete()
    history = journal.read()
    assert history.spec == LabSpec(name="x", nodes=3)
    assert (history.namespaces, history.processes, history.complete) == (("x-underlay",), (RECORD,), True)


def test_a_lab_with_racks_is_read_as_it_was_asked_for(journal: Journal) -> None:
    """With the directories that its routers have outside of its own."""
    spec = LabSpec(name="x", nodes=2, racks=(RackSpec(name="a"),), uplinks=3, asn=65001)
    journal.begin(spec)
    journal.directory(Path("/etc/frr/x-tor1"))
    assert journal.read().spec == spec
    assert journal.read().directories == (Path("/etc/frr/x-tor1"),)


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_line_cut_short_belongs_to_a_step_not_taken(journal: Journal, tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a write must not keep the lab from being taken away."""
    journal.begin(LabSpec(name="x"))
    journal.namespace("x-node1")
    path = tmp_path / "journal"
    path.write_text(path.read_text()[:-cut])
    assert journal.read().spec == LabSpec(name="x")
    assert journal.read().namespaces == ()


def test_a_step_of_another_version_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Guessing what to remove would be worse than asking."""
    (tmp_path / "journal").write_text('{"step": "balloon"}\n')
    with pytest.raises(Invalid, match="balloon"):
        journal.read()
