"""The built-in store, open while a test needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from netloom_local.store import LocalStore

NEVER_S = 3600.0
"""A polling interval that no test lives to see."""


@asynccontextmanager
async def opened(path: Path, poll_interval_s: float = NEVER_S) -> AsyncIterator[LocalStore]:
    """The store of a file; closed at the end, whatever happens."""
    store = LocalStore(path, poll_interval_s)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
