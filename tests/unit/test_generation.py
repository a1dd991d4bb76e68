"""Which programs a node loads, and where."""

from __future__ import annotations

import pytest

from netloom.agent.generation import assign
from netloom.datapath.registry import CallSlot
from netloom.model.errors import PluginError
from netloom.plugins.contract import BpfProgram
from netloom.plugins.owned import OwnedProgram

STAGE = BpfProgram(name="stage", file="stage.bpf.c", source="", target=CallSlot.CUSTOM_FROM_CONTAINER)


def test_the_stage_behind_a_plugins_is_loaded_only_where_there_is_such_a_plugin() -> None:
    assert CallSlot.FORWARD not in assign([])
    assert assign([OwnedProgram("stages", STAGE)])[CallSlot.FORWARD].name == "forward"


def test_two_plugins_that_want_one_place_are_named() -> None:
    with pytest.raises(PluginError, match='"stage" and "stage" of plugin "one" both want slot CUSTOM_FROM_CONTAINER'):
        assign([OwnedProgram("one", STAGE), OwnedProgram("two", STAGE)])
