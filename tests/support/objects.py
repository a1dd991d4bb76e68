"""Where tests keep compiled programs: a directory of the run's own, or one that is filled already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

OBJECTS_VARIABLE = "NETLOOM_TEST_OBJECTS"
"""A directory that outlives the run: a slow machine need not compile what a fast one has compiled already."""


def given_objects_dir() -> Path | None:
    """The directory that is filled already, if there is one."""
    given = os.environ.get(OBJECTS_VARIABLE)
    return Path(given) if given else None


def with_given_objects(config: Mapping[str, Any]) -> dict[str, Any]:
    """A node config by which agents use the directory that is filled already, if there is one."""
    given = given_objects_dir()
    return {**config, **({"paths": {"cache_dir": str(given)}} if given else {})}


def objects_dir(factory: pytest.TempPathFactory) -> Path:
    """For a compiler's cache."""
    return given_objects_dir() or factory.mktemp("objects")
