"""What maps and programs have in common: the kernel's own are held by file descriptors."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self


class Held:
    """Something in the kernel. Pinned, attached, or used by something else there, it lives on when it is let go of."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        """Take ``fd`` over."""
        self._fd = fd

    @property
    def fd(self) -> int:
        """File descriptor; -1 after :meth:`close`."""
        return self._fd

    def close(self) -> None:
        """Let go of it. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
