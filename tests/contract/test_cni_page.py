"""``docs/cni.md`` says what the program does: its codes, its capabilities, its example."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from netloom.cli.cni_files import CAPABILITIES
from netloom.cni.errors import Code
from netloom.cni.options import options_of
from netloom.cni.request import COMMANDS, parse

PAGE = (Path(__file__).parents[2] / "docs" / "cni.md").read_text()


def test_every_code_is_explained_and_no_other() -> None:
    errors = PAGE.split("## Errors")[1]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", errors, re.MULTILINE)] == sorted(Code)


def test_every_command_is_explained() -> None:
    assert set(re.findall(r"^\* \*\*([A-Z]+)\*\*", PAGE, re.MULTILINE)) == set(COMMANDS)


def test_every_capability_that_is_declared_is_explained() -> None:
    table = PAGE.split("### What a runtime may ask for")[1].split("## ")[0]
    assert set(CAPABILITIES) <= set(re.findall(r"`([^`]+)`", table))


def test_the_example_is_what_is_installed_and_can_be_used() -> None:
    view: Any = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    (plugin,) = view["plugins"]
    assert set(plugin["capabilities"]) == set(CAPABILITIES)
    environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0"}
    config = {"cniVersion": view["cniVersion"], "name": view["name"], **plugin}
    assert options_of(parse(environment, json.dumps(config).encode())).labels == ()
