"""Which proxy a node wants, by its settings."""

from __future__ import annotations

import sys
from collections.abc import Callable

from netloom.agent.proxy.supervisor import ProxySupervisor, Wanted
from netloom.config.load import Loaded
from netloom.model.l7_messages import Access
from netloom.plugins.manager import PluginManager

DIRECTORY = "proxy"
"""Below the node's run directory."""


def proxy_of(loaded: Loaded, plugins: PluginManager, heard: Callable[[Access], None]) -> ProxySupervisor:
    """``heard`` is called with each record of the access log."""
    settings = loaded.settings
    config = () if loaded.path is None else ("--config", str(loaded.path.absolute()))
    return ProxySupervisor(
        Wanted(
            argv=(sys.executable, "-m", "netloom.proxy.main", *config),
            directory=settings.paths.run_dir / settings.node.name / DIRECTORY,
            fingerprint=plugins.fingerprint(loaded),
            drain_timeout_s=settings.proxy.drain_timeout_s,
        ),
        heard,
    )
