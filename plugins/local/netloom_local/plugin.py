"""The plugin: names the store and its config section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from netloom.plugins import Context, Doc, PluginInfo, Range, Role, Store, hookimpl
from netloom_local.store import LocalStore


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """``plugins.local``: the store in a file."""

    path: Annotated[Path, Doc("The file; all agents of this machine that form one cluster name the same one.")] = Path(
        "/var/lib/netloom/store.db"
    )
    poll_interval_s: Annotated[
        float, Range(0.05, 60), Doc("Seconds after which a change is seen even if its writer died before telling.")
    ] = 0.5

    def __post_init__(self) -> None:
        # A damaged store file is set aside: the ending sees to it that this never happens to another kind of file.
        if self.path.suffix != ".db":
            raise ValueError(f"path {self.path}, which does not end in .db")


class Local:
    """Cluster state in a SQLite file, for clusters whose nodes share a machine."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name="local", role=Role.STORE, summary="Keeps the cluster's state in a file of this machine.")

    @hookimpl
    def netloom_config_type(self) -> type:
        """The section's type."""
        return LocalSettings

    @hookimpl
    def netloom_store(self, context: Context) -> Store:
        """The store."""
        settings = context.config if context.config is not None else LocalSettings()
        return LocalStore(settings.path, settings.poll_interval_s)
