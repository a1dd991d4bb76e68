"""Rules of a protocol, read from what a policy says."""

from __future__ import annotations

from typing import Any

from netloom.config.document import compose
from netloom.config.schema import Reader
from netloom.plugins.protocols import L7Protocol


def read_rule(protocol: L7Protocol, text: str) -> Any:
    """An instance of the protocol's rule type, from JSON. Raises ConfigError."""
    reader = Reader("rule")
    found = reader.section(protocol.rule_type, compose(text, "rule"), "")
    reader.finish()
    return found
