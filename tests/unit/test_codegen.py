"""Generated headers and pages say what the registry says."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.datapath import codegen
from netloom.datapath.codegen import field_docs, main, render_docs, render_headers, stale
from netloom.datapath.maps import MapSpec
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import MAPS, CallSlot, EndpointInfo, NodeConfig
from netloom.model.identity import Reserved

ROOT = Path(__file__).parents[2]


def test_generated_files_are_fresh() -> None:
    """Whoever changes the registry runs ``python -m netloom.datapath.codegen`` and commits what it wrote."""
    assert stale(ROOT) == ()


def test_a_changed_file_is_stale(tmp_path: Path) -> None:
    """And so is a missing one."""
    for path, text in codegen.outputs(tmp_path).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "bpf/gen/slots.h").write_text("edited by hand")
    (tmp_path / "docs/maps.md").unlink()
    assert set(stale(tmp_path)) == {tmp_path / "bpf/gen/slots.h", tmp_path / "docs/maps.md"}


def test_checking_a_fresh_tree_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    """Silently, with status 0."""
    assert (main(["--check"]), capsys.readouterr().out) == (0, "")


def test_wrong_usage_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt ``--check`` must not rewrite the tree."""
    assert main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("reason", DropReason, ids=lambda reason: reason.name)
def test_every_drop_reason_is_negative_in_c(reason: DropReason) -> None:
    """No TC_ACT_ verdict is negative but TC_ACT_UNSPEC (-1), which is no reason."""
    assert f"\t{reason.c_name} = {-reason}, " in render_headers()["reasons.h"]


@pytest.mark.parametrize("slot", CallSlot, ids=lambda slot: slot.name)
def test_every_slot_has_its_number_in_c(slot: CallSlot) -> None:
    """C and Python fill and call the same slot."""
    assert f"\tSLOT_{slot.name} = {int(slot)}," in render_headers()["slots.h"]


@pytest.mark.parametrize("identity", Reserved, ids=lambda identity: identity.name)
def test_every_reserved_identity_has_its_number_in_c(identity: Reserved) -> None:
    """They travel between nodes."""
    assert f"\tIDENTITY_{identity.name} = {int(identity)}," in render_headers()["layouts.h"]


@pytest.mark.parametrize("spec", MAPS, ids=lambda spec: spec.name)
def test_every_map_is_declared_and_described(spec: MapSpec[object, object]) -> None:
    """In C under its own name, on the page under a heading."""
    assert f"{spec.name}, 1" in render_headers()["maps.h"]
    assert f"\n## {spec.name}\n" in render_docs()["maps.md"]


def test_every_field_of_a_struct_is_asserted() -> None:
    """So that a compiler with other rules of alignment refuses instead of misreading."""
    layouts = render_headers()["layouts.h"]
    for name in EndpointInfo.__slots__:
        assert f"__builtin_offsetof(struct endpoint_info, {name}) == " in layouts


def test_strings_below_fields_become_comments() -> None:
    """The registry's words reach the reader of C."""
    assert field_docs(NodeConfig)["host_ifindex"] == "loom_host."
    assert "__u32 host_ifindex; /* loom_host. */" in render_headers()["layouts.h"]
