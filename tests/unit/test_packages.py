"""What is installed is all there is."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_of_the_sources_is_installed() -> None:
    """Found where it stands in a checkout, one that is left out would be missed only by whoever installs Netloom."""
    found = ConfigParser()
    found.read(ROOT / "setup.cfg")
    roots = (ROOT / "core", *(ROOT / "plugins").iterdir())
    there = {".".join(file.parent.relative_to(root).parts) for root in roots for file in root.rglob("__init__.py")}
    assert set(found["options"]["packages"].split()) == there | {"netloom_bpf"}
