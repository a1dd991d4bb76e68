"""The node's maps: pinned where the API says, plugins' under their plugin's name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netloom.agent.node_maps import SHARED_MAPS, NodeMaps, maps_by_plugin
from netloom.datapath.maps import Counter, Index, MapKind, MapSpec
from netloom.datapath.registry import CallSlot
from netloom.model.errors import Invalid
from netloom.plugins.contract import BpfProgram
from netloom.plugins.owned import OwnedProgram
from support.leaks import MARK

pytestmark = pytest.mark.bpf

MAILS: MapSpec[Index, Counter] = MapSpec("mails", MapKind.ARRAY, Index, Counter, 1, "mails seen")
PROGRAM = BpfProgram(name="p", file="p.bpf.c", source="", target=CallSlot.CUSTOM_FROM_CONTAINER, maps=(MAILS,))


@pytest.fixture
def pins() -> Iterator[Path]:
    """A directory for pins that is empty again in the end."""
    directory = Path("/sys/fs/bpf") / f"{MARK}-maps"
    yield directory
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def test_a_map_that_two_programs_of_a_plugin_share_stands_once() -> None:
    """Equal declarations are one map."""
    owned = (OwnedProgram("mail", PROGRAM), OwnedProgram("mail", replace(PROGRAM, name="q")))
    assert maps_by_plugin(owned) == {"mail": (MAILS,)}


def test_a_plugins_map_is_pinned_under_its_name_beside_the_agents(pins: Path) -> None:
    """And is found again, with what it held."""
    first = NodeMaps(pins, [OwnedProgram("mail", PROGRAM)], {})
    first.all.of(MAILS).put(Index(0), Counter(3, 4))
    first.close()
    again = NodeMaps(pins, [OwnedProgram("mail", PROGRAM)], {})
    assert again.all.of(MAILS).get(Index(0)) == Counter(3, 4)
    assert again.pin_of("mails") == pins / "mail_mails_v1"
    again.close()
    assert {path.name for path in pins.iterdir()} == {"mail_mails_v1", *(spec.pin_name for spec in SHARED_MAPS)}


def test_a_plugins_map_cannot_take_the_name_of_an_agents(pins: Path) -> None:
    """The sentence names it."""
    clash = replace(PROGRAM, maps=(replace(MAILS, name="endpoints"),))
    with pytest.raises(Invalid, match="endpoints"):
        NodeMaps(pins, [OwnedProgram("mail", clash)], {})
