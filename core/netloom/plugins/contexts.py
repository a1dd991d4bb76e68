"""What a node tells each of its plugins of itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netloom.config.settings import Settings
from netloom.plugins.contract import Context


def context_of(plugin: str, settings: Settings, sections: Mapping[str, Any]) -> Context:
    """For the plugin of that name; ``config`` is None where the node config has no section for it."""
    name = settings.node.name
    return Context(
        node_name=name,
        config=sections.get(plugin),
        node_labels=settings.node.labels,
        run_dir=settings.paths.run_dir / name,
    )
