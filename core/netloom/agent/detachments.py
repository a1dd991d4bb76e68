"""Detachments that came while the agent was away or not ready: remembered as files, finished here.

See :mod:`netloom.cni.pending` for the files.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from netloom.agent.endpoints import EndpointManager
from netloom.cni import pending
from netloom.cni.request import Request
from netloom.edge.files import FileError, remove_file
from netloom.model.endpoint import Attachment
from netloom.model.errors import NetloomError


class Detachments:
    """Those of one node. A file goes only after what it asks for is done."""

    def __init__(self, socket: Path, endpoints: EndpointManager) -> None:
        """``socket``: the agent's, beside which the files lie."""
        self._directory = pending.directory_of(str(socket))
        self._endpoints = endpoints
        self._log = structlog.get_logger()

    async def detach(self, attachment: Attachment) -> None:
        """Undo an attachment, and whatever was remembered of that. Raises NetloomError; it is then still to be done."""
        await self._endpoints.detach(attachment)
        remove_file(self._file(attachment))

    async def settle(self, attachment: Attachment) -> None:
        """Finish a detachment that waits, so that the same container may be attached again. Raises NetloomError."""
        if self._file(attachment).exists():
            await self.detach(attachment)

    def remember(self, request: Request) -> None:
        """Have a DEL done later; raises CniError when it cannot be written down."""
        pending.remember(self._directory, request)

    async def finish_all(self) -> None:
        """Finish everything that waits; what fails is told, and stays for the next time."""
        try:
            waiting = pending.waiting(self._directory)
        except OSError as error:
            raise FileError(f'directory "{self._directory}" cannot be read: {error.strerror}') from error
        await asyncio.gather(*(self._try_to_finish(Path(path)) for path in waiting))

    async def _try_to_finish(self, path: Path) -> None:
        try:
            found = pending.read(str(path))
        except FileNotFoundError:
            return
        except OSError as error:
            self._log.error("detachment.unreadable", file=str(path), error=error.strerror)
            return
        if found is None:
            self._set_aside(path)
            return
        try:
            await self.detach(Attachment(container_id=found.container_id, ifname=found.ifname, netns=""))
        except NetloomError as error:
            self._log.warning(
                "detachment.not_finished", container=f"{found.container_id}/{found.ifname}", error=str(error)
            )
            return
        self._log.info("detachment.finished", container=f"{found.container_id}/{found.ifname}")

    def _set_aside(self, path: Path) -> None:
        aside = path.with_suffix(".unreadable")
        path.replace(aside)
        self._log.error("detachment.set_aside", file=str(aside), hint="it names no attachment")

    def _file(self, attachment: Attachment) -> Path:
        return Path(pending.file_of(self._directory, attachment.container_id, attachment.ifname))
