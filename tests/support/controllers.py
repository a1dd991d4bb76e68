"""An agent's background loops, as its status shows them."""

from __future__ import annotations

from typing import Any


def runs_of(controller: str, status: Any) -> int:
    """How often a controller has run, by the answer to ``/v1/status``."""
    (found,) = (shown["runs"] for shown in status["controllers"] if shown["name"] == controller)
    return int(found)
